"""A progress bar and warnings on a terminal or in a notebook; nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from html import escape
from typing import TYPE_CHECKING, Any

from exoabm.errors import visible
from exoabm.parameters.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    ProgressUpdate = Callable[..., Any]

WIDTH = 30
"""Letters of a bar."""
EVERY = 0.2
"""Least time between two drawings, s."""


@contextlib.contextmanager
def progress_bar(title: str, asked: bool | ProgressUpdate | None = None) -> Iterator[ProgressUpdate | None]:
    """A function to be called with the share done, or with the number done and that of all.

    The bar shows what is done and the estimated time left. It stands there from the beginning, also while
    the code is compiled, and is removed at the end.

    Parameters
    ----------
    title : str
    asked : bool or callable, optional
        A function of the caller, which is handed on; whether to draw a bar; by default one is drawn where
        standard error is a terminal, and in a notebook.
    """
    if callable(asked):
        yield asked
        return
    if not shown(asked):
        yield None
        return
    bar = _Bar(title, _notebook())
    try:
        yield bar.update
    finally:
        bar.close()


def shown(asked: bool | ProgressUpdate | None) -> bool:
    """Whether a bar is drawn by this module; see ``progress_bar``."""
    if callable(asked) or asked is not None:
        return asked is True
    return _notebook() is not None or sys.stderr.isatty()


def show_warnings(warnings: Iterable[str], asked: bool | ProgressUpdate | None) -> None:
    """Print warnings to standard error where a bar is drawn; elsewhere only the result has them."""
    if shown(asked):
        for text in warnings:
            print(f"Warning: {visible(text)}", file=sys.stderr)


class _Bar:
    """The bar; drawn at most every ``EVERY`` s, removed at the end."""

    def __init__(self, title: str, notebook: Any) -> None:
        self._title, self._start, self._drawn = visible(title), time.monotonic(), -EVERY
        self._notebook, self._handle, self._length = notebook, None, 0
        self._draw(0.0, "starting")

    def update(self, done: float, total: float | None = 1.0) -> None:
        now = time.monotonic() - self._start
        if now - self._drawn < EVERY:
            return
        self._drawn = now
        count = f"{done:,.0f}" + (f" of {total:,.0f}" if total else "") if total != 1.0 else ""
        share = min(max(done / total, 0.0), 1.0) if total else 0.0
        left = f"{duration_text(now * (1 - share) / share)} left" if 0 < share < 1 and now > 1 else ""
        self._draw(share, " ".join(word for word in (f"{share:.0%}" if total else "", count, left) if word))

    def _draw(self, share: float, words: str) -> None:
        if self._notebook is not None:
            bar = f"<progress value='{share:.4f}' max='1'></progress>"
            html = f"{escape(self._title)} {bar} {escape(words)}"
            self._show({"text/html": html, "text/plain": f"{self._title} {words}"})
            return
        full = round(WIDTH * share)
        text = f"{self._title} [{'=' * full}{' ' * (WIDTH - full)}] {words}"
        sys.stderr.write("\r" + text.ljust(self._length))
        sys.stderr.flush()
        self._length = len(text)

    def _show(self, content: dict[str, str]) -> None:
        """Display content in a notebook; always of the same types, since JupyterLab redraws no others."""
        if self._handle is None:
            self._handle = self._notebook(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def close(self) -> None:
        if self._notebook is not None:
            self._show({"text/html": "", "text/plain": ""})
        elif self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            sys.stderr.flush()


def _notebook() -> Any:
    """``IPython.display.display`` where a kernel of a notebook runs this, else None."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    if found is None or not hasattr(found, "kernel"):
        return None
    from IPython.display import display  # type: ignore[import-not-found,unused-ignore]

    return display
