"""What becomes of a vesicle in a step, and how the work is cut for threads."""

STAYS, CAPTURED, CLEARED, ESCAPED = range(4)
"""Codes of the ways in which a step ends for a free vesicle."""

CHUNK = 8192
"""Vesicles of one task, whatever the number of threads."""
