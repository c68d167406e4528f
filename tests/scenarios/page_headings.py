"""The parts of the page of every scenario."""

HEADINGS = [
    "What is it",
    "How it works",
    "How to use it",
    "Things to notice",
    "Things to try",
    "Extend",
    "References",
]
