"""A process that draws the preview of a run: it loads Matplotlib on another core while the run computes.

It is forked before the run begins, receives the final state, and returns the PNG. Where it cannot be made, or
fails, the preview is drawn by the run itself; the file is the same.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from exoabm.state import State

MOST_BYTES = 1 << 26
"""Size of a state as it is sent above which sending it takes longer than is gained; assumed."""
LIMIT_S = 60
"""Time after which a process that neither reads nor answers is given up; drawing takes about 2 s. Assumed."""


class DrawingProcess:
    """A process that draws one preview; as a context, it is ended on leaving.

    It belongs at the start of a command, as it is made only while there is no other thread of Python. Threads
    of linear algebra are idle then; a process that waits for a lock that one of them held is given up.
    """

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection | None = None
        alone = threading.active_count() == 1 and threading.current_thread() is threading.main_thread()
        if not (alone and sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1):
            return
        context = multiprocessing.get_context("fork")
        own, other = context.Pipe()
        _limit_waiting(own)
        self._process = context.Process(target=_serve, args=(other, own), daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _signals())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # idle threads of BLAS count as threads
                self._process.start()
        except OSError:  # no more processes, or no memory for one
            self._process = None
            own.close()
        else:
            self._pipe = own
        finally:
            other.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def send(self, state: State, rows: list[dict[str, float]], **about: Any) -> None:
        """Have the preview drawn of this state; arguments as of ``draw_preview``."""
        if self._pipe is None:
            return
        content = _Bounded()
        try:
            pickle.Pickler(content, 5, buffer_callback=content.takes).dump((state, rows, about))
            self._pipe.send_bytes(content.getbuffer())
        except Exception:  # what a user's class raises, too: the picture is not worth the run
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
            self._process.kill()  # it may have stopped anywhere, and leaves nothing
            self._process.join()
            self._pipe = None


class _Bounded(io.BytesIO):
    """Bytes in memory, at most ``MOST_BYTES``."""

    def write(self, data: Any) -> int:
        self._check(memoryview(data).nbytes)
        return super().write(data)

    def takes(self, array: pickle.PickleBuffer) -> bool:
        """Whether an array is written here, true; one that is too large is refused before it is copied."""
        self._check(array.raw().nbytes)
        return True

    def _check(self, more: int) -> None:
        if self.tell() + more > MOST_BYTES:
            raise ValueError("too large")


def _limit_waiting(pipe: Connection) -> None:
    """Have reading and writing fail with an ``OSError`` when nothing happens for ``LIMIT_S``."""
    seconds, fraction = divmod(LIMIT_S, 1)
    limit = struct.pack("ll", int(seconds), round(1e6 * fraction))
    with socket.socket(fileno=os.dup(pipe.fileno())) as end:  # the limits are those of the socket itself
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _signals() -> set[signal.Signals]:
    """Those whose handlers are of the run, and are not for this process."""
    return {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def _serve(pipe: Connection, other: Connection) -> None:
    """Load Matplotlib, then draw what comes; the end of the run ends this."""
    other.close()
    for number in _signals():  # Ctrl-C reaches the whole group; the run ends this process
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())
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
