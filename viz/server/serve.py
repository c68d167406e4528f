"""The server behind ``exoabm dash``: without telemetry, and with all files of the page from its own disk.

It listens on the loopback address alone, unless it serves a class without a proxy: then on all addresses of
the machine, which is said at its start. ``access_control`` determines who may see what it serves. Readers of
a class have the caps of ``class_limits`` and turns by processor time, and its teacher has a page of
``classroom``.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import socket
import sys
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from exoabm.errors import InputError, ResourceError
from exoabm.scenario.loader import shipped
from exoabm.viz.run_setup import first_setup
from exoabm.viz.server.access_control import (
    EVERYWHERE,
    HOST,
    TEACHER,
    TOKEN,
    AccessControl,
    Address,
    Tokens,
    most_sockets,
)
from exoabm.viz.server.classroom import CLASSROOM
from exoabm.viz.server.held_model import compiled_for
from exoabm.viz.server.limits import LIMITS, SLOTS, class_limits
from exoabm.viz.server.uploads import is_run, open_run

if TYPE_CHECKING:
    from types import FrameType

PORT = 8765
PORTS_TRIED = 20
SEATS, CLASS_SEATS = 16, 40
"""Pages at once, by default."""
PAGES_OF_READER = 3
"""Pages at once of one reader of a class."""
LARGEST_MESSAGE = 2 << 20
"""Bytes of a WebSocket message; files are uploaded in parts of half of that."""

SETTINGS = {
    "SOLARA_APP": "exoabm.viz.app",
    "SOLARA_MODE": "production",
    "SOLARA_TELEMETRY_MIXPANEL_ENABLE": "false",
    "SOLARA_THEME_SHOW_BANNER": "false",
    "SOLARA_THEME_TITLE": "exoabm",
    "SOLARA_ASSETS_FONTAWESOME_ENABLED": "false",
    "REACTON_FAST": "1",
}
"""Of a page, only the parts that show a changed value are made again, and the rest is not visited.
"""
LEAST_KERNELS = 64
"""WebSockets that Solara serves at once, at least; those beyond wait without an answer."""
SWITCH = 1e-3
"""Seconds after which a thread that computes lets another one have the interpreter, in a class."""
M_ARENA_MAX, ARENAS = -8, 2
"""Option of ``mallopt`` in malloc.h, and its value; 30 readers who left then leave 20 MB less behind."""
HEARTBEAT = 4.0
"""Seconds between two questions to a socket, which browsers answer unasked."""


class Patience(NamedTuple):
    """Seconds that a socket has to answer, and that the model of a lost one is kept."""

    answer: float
    keep: int


PATIENCE, SINGLE = Patience(20.0, 30), Patience(4.0, 5)
"""With several seats, for browsers that stall on a loaded machine; with one, for those who wait."""


def serve(
    scenario: str,
    *,
    port: int | None = None,
    browser: bool = True,
    seats: int | None = None,
    base_url: str | None = None,
    classroom: bool = False,
) -> None:
    """Serve the page until interrupted.

    Parameters
    ----------
    scenario
        A shipped name, a path to a scenario file, or a finished run folder to look at.
    port
        Taken if free; by default the first free one from ``PORT`` on.
    browser
        Whether to open the page in the browser.
    seats
        Models that may run at once, one for each open tab; ``SEATS``, or ``CLASS_SEATS`` for a class.
    base_url
        Address under which a reverse proxy shows the page; see ``Address``.
    classroom
        Whether to serve a class: to other machines, with caps for each reader and a page for the teacher.

    Raises
    ------
    InputError
        If the scenario, the run or the address is wrong, or the files of the page are not installed.
    ResourceError
        If the port is taken.
    """
    Address(port or PORT, base_url)
    if is_run(scenario):
        open_run(Path(scenario))
        scenario = str(Path(scenario).resolve())
    else:
        compiled_for(first_setup(scenario, trusted=True).load())
    shared = classroom and not base_url
    listener = _listener(port, shared=shared)
    place, keys = Address(listener.getsockname()[1], base_url, shared=shared), Tokens()
    SLOTS.most = seats or (CLASS_SEATS if classroom else SEATS)
    patience = PATIENCE if SLOTS.most > 1 else SINGLE
    _settle(scenario, place, patience)
    if classroom:
        _open_class()
    import uvicorn
    from solara.server.starlette import app

    config = uvicorn.Config(
        AccessControl(app, place, keys),
        host=place.listen,
        port=place.port,
        log_level="warning",
        loop="asyncio",
        ws_max_size=LARGEST_MESSAGE,
        ws_ping_interval=HEARTBEAT,
        ws_ping_timeout=patience.answer,
        ws_per_message_deflate=False,  # 23 to 44 % of a frame, for the time of drawing it
        timeout_graceful_shutdown=1,
    )
    server = _server(config)
    threading.Thread(target=_announce, args=(server, place, keys, browser), daemon=True).start()
    server.run([listener])


def _server(config: Any) -> Any:
    """A server that tells its readers that it ends, before it does; a second signal ends it at once."""
    import uvicorn

    class Server(uvicorn.Server):
        """Ends after every page shows that it ends."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Serve, and tidy up after the readers of a class."""
            await super().startup(sockets)
            self._parking = asyncio.create_task(CLASSROOM.park())

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Show the end on all pages, then end; at a second signal, end."""
            if getattr(self, "_closing", False):
                logging.getLogger("uvicorn.error").disabled = True  # its tasks are cut off
                super().handle_exit(sig, frame)
                return
            self._closing = True

            def leave() -> None:
                CLASSROOM.close()
                super(Server, self).handle_exit(sig, frame)

            threading.Thread(target=leave, daemon=True, name="exoabm-closing").start()

    return Server(config)


def _open_class() -> None:
    """Lower the caps, and compile what the included scenarios need, one after the other."""
    caps = class_limits(SLOTS.most, float(psutil.virtual_memory().available))
    vars(LIMITS).update(vars(caps))
    SLOTS.each = PAGES_OF_READER
    _use_few_arenas()
    CLASSROOM.start()
    sys.setswitchinterval(SWITCH)

    def prepare() -> None:
        for name in shipped():
            compiled_for(first_setup(name).load()).wait()

    threading.Thread(target=prepare, daemon=True, name="exoabm-prepare").start()


def _use_few_arenas() -> None:
    """Let all threads share few arenas of glibc, each of which keeps free memory, not 8 per processor."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_ARENA_MAX, ARENAS)


def _announce(server: Any, place: Address, keys: Tokens, browser: bool) -> None:
    """Say where the page is as soon as it is there."""
    import time

    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.05)
    if CLASSROOM.open:
        print(f"A class of up to {SLOTS.most} pages, {PAGES_OF_READER} for each reader.")
        if place.shared:
            print("Other machines are admitted, without encryption: use it only in a trusted network.")
        for link in place.links:
            print(f"readers: {link}?{TOKEN}={keys.token}")
            print(f"teacher: {link.rstrip('/')}{TEACHER}?{TOKEN}={keys.teacher}")
    print(f"exoabm is at {place.base_url}?{TOKEN}={keys.token}  (Ctrl+C ends it)", flush=True)
    if browser:
        webbrowser.open(f"{place.base_url}?{TOKEN}={keys.ticket}")


def _settle(scenario: str, place: Address, patience: Patience) -> None:
    """Set what Solara reads from the environment when it is imported."""
    os.environ.update(SETTINGS)
    os.environ["SOLARA_KERNEL_CULL_TIMEOUT"] = f"{patience.keep}s"
    os.environ["SOLARA_KERNEL_MAX_COUNT"] = str(max(LEAST_KERNELS, most_sockets()))
    os.environ["EXOABM_SCENARIO"] = scenario
    os.environ["SOLARA_ROOT_PATH"], os.environ["SOLARA_BASE_URL"] = place.root, place.base_url
    data = _data_folder()
    os.environ["SOLARA_ASSETS_PROXY_CACHE_DIR"] = str(data / "share" / "solara" / "cdn")
    os.environ.setdefault("JUPYTER_PATH", str(data / "share" / "jupyter"))
    os.environ.setdefault("JUPYTER_CONFIG_PATH", str(data / "etc" / "jupyter"))


def _data_folder() -> Path:
    """Where the scripts of the page are installed: above the packages that brought them.

    That is not always the prefix of the interpreter, as where an environment sees another's packages.
    """
    spec = find_spec("ipyvue")
    for folder in Path(spec.origin).parents if spec is not None and spec.origin is not None else ():
        if (folder / "share" / "jupyter" / "nbextensions" / "jupyter-vue").is_dir():
            if (folder / "share" / "solara" / "cdn").is_dir():
                return folder
            break
    raise InputError("the scripts of the page are not installed; run: pip install 'exoabm[offline]'")


def _listener(wanted: int | None, *, shared: bool = False) -> socket.socket:
    """A socket that listens at the port, so that a server that starts meanwhile sees that it is taken."""
    for port in [wanted] if wanted is not None else range(PORT, PORT + PORTS_TRIED):
        listener = socket.socket()
        if os.name == "posix":  # elsewhere this would admit a second server
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((EVERYWHERE if shared else HOST, port))
            listener.listen()
        except OSError:
            listener.close()
            continue
        return listener
    taken = f"port {wanted} is taken" if wanted is not None else f"ports {PORT} to {port} are all taken"
    raise ResourceError(f"{taken}; name another with --port")
