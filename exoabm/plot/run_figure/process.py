"""A process that draws the preview of a run: it loads Matplotlib on another core while the run computes.

It is forked before the run begins, receives the final state, and returns the PNG. Where it cannot be made, or
fails, the preview is drawn by the run itself; the file is the same.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from exoabm.state import State

MOST_BYTES = 1 << 26
"""Size of fields and single vesicles above which sending them takes longer than is gained; assumed."""


class DrawingProcess:
    """A process that draws one preview; as a context, it is ended on leaving.

    Forking is safe only as long as a process has one thread, so that this belongs at the start of a command.
    """

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection | None = None
        alone = threading.active_count() == 1 and threading.current_thread() is threading.main_thread()
        if not (alone and sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1):
            return
        context = multiprocessing.get_context("fork")
        own, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, own), daemon=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # idle threads of BLAS count as threads
                self._process.start()
        except OSError:  # no more processes, or no memory for one
            self._process = None
            own.close()
        else:
            self._pipe = own
        other.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def send(self, state: State, rows: list[dict[str, float]], **about: Any) -> None:
        """Have the preview drawn of this state; arguments as of ``draw_preview``."""
        if self._pipe is None or _size(state) > MOST_BYTES:
            return self._end()
        try:
            self._pipe.send((state, rows, about))
        except (
            OSError,
            TypeError,
            AttributeError,
            PicklingError,
        ):  # a behavior may be a function of no module
            self._end()

    def receive(self) -> bytes | None:
        """The PNG, awaited; None if it was not drawn here."""
        if self._pipe is None:
            return None
        try:
            return self._pipe.recv_bytes()
        except (OSError, EOFError):
            return None
        finally:
            self._end()

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._process.terminate()
            self._process.join()
            self._pipe = None


def _size(state: State) -> int:
    """Bytes of the largest arrays of a state."""
    return sum(field.nbytes for field in state.fields) + 64 * len(state.vesicles) + 1024 * len(state.cells)


def _serve(pipe: Connection, other: Connection) -> None:
    """Load Matplotlib, then draw what comes; the end of the run ends this."""
    other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the run ends this process
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)
    with contextlib.suppress(Exception):
        _load_matplotlib()
        from exoabm.plot.run_figure import draw_preview

        state, rows, about = pipe.recv()
        image = io.BytesIO()
        draw_preview(state, rows, image, **about)
        pipe.send_bytes(image.getvalue())


def _load_matplotlib() -> None:
    """Import and first use, without composing the documentation of each class, a third of an import."""
    from matplotlib import artist

    artist.kwdoc = lambda artist: ""
    artist.Artist._update_set_signature_and_docstring = classmethod(lambda _: None)  # type: ignore[attr-defined]
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.add_axes((0.0, 0.0, 1.0, 1.0)).set_title("fonts")
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
