"""How messages quote what stands in a file of somebody else."""

from __future__ import annotations

from collections.abc import Iterable

from exoabm.errors import visible

LONGEST_QUOTE = 80


def short(text: str) -> str:
    """Quote the beginning of a text, so that no message carries a page of junk."""
    return repr(text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 3] + "...")


def listed(names: Iterable[str], most: int = 40) -> str:
    """Names in quotes, the first ``most`` of them."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(short, names[:most])) + more


def option(key: str, value: str) -> str:
    """An option of the command line, quoted for a shell."""
    return f"--set 'layout.{key}={visible(value)}'"
