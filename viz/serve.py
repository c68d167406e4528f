"""The server behind ``exoabm dash``: this machine only, no telemetry, nothing from outside.

It answers to requests that name it by a loopback address, and opens a WebSocket only to pages that it
served itself: a page of another site in the same browser gets neither. What it serves may load nothing from
elsewhere, which the browser enforces by the content security policy.
"""

from __future__ import annotations

import os
import socket
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from exoabm.errors import InputError, ResourceError
from exoabm.viz.limits import SEATS
from exoabm.viz.openings import first_setup
from exoabm.viz.rehearsal import rehearse
from exoabm.viz.uploads import is_run, open_run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

HOST = "127.0.0.1"
PORT = 8765
PORTS_TRIED = 20
HOSTS = (HOST, "localhost")
LARGEST_MESSAGE = 32 << 20
"""Bytes of a WebSocket message, an uploaded file among them."""

SETTINGS = {
    "SOLARA_APP": "exoabm.viz.app",
    "SOLARA_MODE": "production",
    "SOLARA_TELEMETRY_MIXPANEL_ENABLE": "false",
    "SOLARA_THEME_SHOW_BANNER": "false",
    "SOLARA_THEME_TITLE": "exoabm",
    "SOLARA_ASSETS_FONTAWESOME_ENABLED": "false",
    "SOLARA_KERNEL_CULL_TIMEOUT": "2m",
    "SOLARA_KERNEL_MAX_COUNT": "64",
}
"""A tab that was closed is forgotten at once; one that went silent, after two minutes."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' ws://127.0.0.1:* ws://localhost:* data: blob:; frame-ancestors 'none'; "
    "base-uri 'self'; form-action 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


COOKIE = "solara-session-id="
"""By which Solara knows a reader."""


class Guard:
    """ASGI middleware: loopback hosts only, WebSockets only from the page's own origin, strict headers."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let a request through, or turn it away."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        known = urlsplit(f"//{host}").hostname in HOSTS
        if scope["type"] == "websocket":
            # Who never loaded the page has no cookie; Solara would let it in, and write a line to the log.
            own = urlsplit(headers.get("origin", "")).netloc == host and COOKIE in headers.get("cookie", "")
            if not known or not own:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        if not known:
            await send({"type": "http.response.start", "status": 400, "headers": [*HEADERS]})
            await send({"type": "http.response.body", "body": b"unknown host"})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self.app({**scope, "headers": _as_localhost(scope["headers"])}, receive, with_headers)


def _as_localhost(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers under the one loopback name by which Solara knows that no encryption is needed."""
    return [
        (name, value.replace(HOST.encode(), b"localhost") if name == b"host" else value)
        for name, value in headers
    ]


def serve(scenario: str, *, port: int | None = None, browser: bool = True, seats: int = 16) -> None:
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
        Models that may run at once, one for each open tab.

    Raises
    ------
    InputError
        If the scenario or the run is wrong, or the files of the page are not installed.
    ResourceError
        If the port is taken.
    """
    if is_run(scenario):
        open_run(Path(scenario))
        scenario = str(Path(scenario).resolve())
    else:
        rehearse(first_setup(scenario, trusted=True).load())
    _settle(scenario)
    SEATS.most = seats
    port = _free_port(port)
    import uvicorn
    from solara.server.starlette import app

    address = f"http://{HOST}:{port}/"
    config = uvicorn.Config(
        Guard(app),
        host=HOST,
        port=port,
        log_level="warning",
        loop="asyncio",
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,  # on loopback packing costs more than it saves
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_announce, args=(server, address, browser), daemon=True).start()
    server.run()


def _announce(server: Any, address: str, browser: bool) -> None:
    """Say where the page is as soon as it is there."""
    import time

    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.05)
    print(f"exoabm is at {address}  (Ctrl+C ends it)", flush=True)
    if browser:
        webbrowser.open(address)


def _settle(scenario: str) -> None:
    """Set what Solara reads from the environment when it is imported."""
    os.environ.update(SETTINGS)
    os.environ["EXOABM_SCENARIO"] = scenario
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


def _free_port(wanted: int | None) -> int:
    for port in [wanted] if wanted is not None else range(PORT, PORT + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    taken = f"port {wanted} is taken" if wanted is not None else f"ports {PORT} to {port} are all taken"
    raise ResourceError(f"{taken}; name another with --port")
