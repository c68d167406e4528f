"""Drawings of the page as SVG text: communication, and what lessons show beside a question."""
