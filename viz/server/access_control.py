"""Who may see the page: those who were given its address, under the names that it has, and nobody else.

Other accounts of a machine reach its loopback addresses, and pages of other sites in the same browser reach
whatever that browser does. So the address that is opened carries a random token. The first visit with it
turns it into a cookie; requests and WebSockets without it are refused. A WebSocket is let in only from a page
of the same origin, and what is served may load nothing from elsewhere, which the browser enforces.

A class is served to other machines, too: under the addresses and the name of this one. Its teacher has a
token of their own, which also lets into the page of readers. What comes in by a WebSocket is let through in
the forms that the page uses, and at the speed of a person.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import struct
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psutil

from exoabm.errors import InputError
from exoabm.viz.server.classroom import CLASSROOM
from exoabm.viz.server.frames import PAINTED
from exoabm.viz.server.limits import SLOTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

HOST = "127.0.0.1"
HOSTS = (HOST, "localhost")
EVERYWHERE = "0.0.0.0"  # only for a class, and said at its start
COOKIE = "solara-session-id"
"""By which Solara knows a reader."""
TOKEN = "token"
"""What the address asks with."""
TEACHER = "/teacher"
"""Path of the teacher's page of a class."""
PAGES_EACH = 8
"""WebSockets at once of one browser of a class, also for pages that say that all models are in use."""
LARGEST_TEXT = 1 << 20
"""Bytes of a message without a file."""
MESSAGES, BURST = 60.0, 300.0
"""Messages a second of one page in the long run, and at once; a page at 24 frames/s sends 24."""
KINDS = ("kernel_info_request", "comm_info_request", "comm_open", "comm_msg", "comm_close")
COMMS = ("solara.control", "jupyter.widget.control")
"""What a page may open by itself."""
STRANGER = b"This page opens by the address that `exoabm dash` printed, with its token.\n"
PROXIES = (b"x-forwarded-host", b"x-forwarded-proto", b"script-name", b"x-script-name")
"""What proxies say of themselves; ``base_url`` says it here."""


class Address:
    """Where the page stands: its port on this machine, and what a proxy in front of it is called.

    Parameters
    ----------
    port : int
    base_url : str, optional
        Address under which a reverse proxy shows the page, such as
        ``https://hub.example.org/user/me/proxy/8765/``.
    shared : bool
        Whether other machines come in, without a proxy; with one, they come in by it.

    Raises
    ------
    InputError
        If ``base_url`` is no such address.
    """

    def __init__(self, port: int, base_url: str | None = None, *, shared: bool = False) -> None:
        self.port = port
        self.shared = shared and not base_url
        self.listen = EVERYWHERE if self.shared else HOST
        self.local = f"http://{HOST}:{port}/"
        self.base_url = base_url.rstrip("/") + "/" if base_url else self.local
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InputError(f"--base-url {base_url}: write an address, such as https://HOST/PATH/")
        self.root = parts.path.rstrip("/")
        self.netloc = parts.netloc
        self.hosts: tuple[str, ...] = (*HOSTS, parts.hostname)
        own = own_addresses() if self.shared else []
        self.links = [f"http://{host}:{port}/" for host in own] or [self.base_url]
        if self.shared:
            self.hosts = (*self.hosts, *own, socket.gethostname().lower())


def own_addresses() -> list[str]:
    """IPv4 addresses of this machine that others can reach, the one of the default route first."""
    found = [
        each.address
        for name, addresses in psutil.net_if_addrs().items()
        for each in addresses
        if each.family == socket.AF_INET and not each.address.startswith("127.")
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks for the route
            first = probe.getsockname()[0]
        except OSError:
            first = ""
    return sorted(found, key=lambda address: address != first)


class Tokens:
    """The token of a page, and the ticket by which this machine's browser is shown in, once.

    A ticket stands among the arguments of the browser, which other accounts can see.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.ticket = secrets.token_urlsafe(32)
        self.teacher = secrets.token_urlsafe(32)

    def opens(self, key: str) -> bool:
        """Whether this is the token, or the ticket, which then is used up; compared in constant time."""
        if secrets.compare_digest(key.encode(), self.ticket.encode()):
            self.ticket = secrets.token_urlsafe(32)
            return True
        return secrets.compare_digest(key.encode(), self.token.encode())

    def leads(self, key: str) -> bool:
        """Whether this is the teacher's token."""
        return secrets.compare_digest(key.encode(), self.teacher.encode())


class AccessControl:
    """ASGI middleware: known hosts, a token, WebSockets only from the page's own origin, strict headers."""

    def __init__(self, app: Callable[..., Awaitable[None]], place: Address, keys: Tokens) -> None:
        self.app, self.place, self.keys = app, place, keys
        self.cookie = f"exoabm-{place.port}"
        self.open: Counter[str] = Counter()
        self.headers = [
            (b"content-security-policy", _policy(place).encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let a request through, or turn it away."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        cookies = _cookies(headers.get("cookie", ""))
        known = _host_of(headers.get("host", "")) in self.place.hosts
        inside = secrets.compare_digest(cookies.get(self.cookie, "").encode(), self.keys.token.encode())
        came, scope = str(scope["path"]), self._inner(scope)
        if scope["type"] == "websocket":
            origin = headers.get("origin", "").partition("//")[2]
            own = origin != "" and origin in (headers.get("host"), self.place.netloc)
            # Who never loaded the page has no cookie; Solara would let it in, and write a line to the log.
            if not (known and own and inside and any(name.startswith(COOKIE) for name in cookies)):
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._connect(scope, receive, send, cookies)
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for name, value in query if name == TOKEN), "")
        if not known:
            await self._answer(send, 400, b"unknown host")
        elif given and ((leads := self.keys.leads(given)) or self.keys.opens(given)):
            rest = [pair for pair in query if pair[0] != TOKEN]
            await self._let_in(scope, send, _relative(came, scope["path"], rest), leads=leads)
        elif CLASSROOM.open and scope["path"] == TEACHER:
            led = self.keys.leads(cookies.get(f"{self.cookie}-teacher", ""))
            part = next((name for name, _ in query if name in ("table", "key")), "")
            await self._teach(send, part, allowed=led)
        elif not inside:
            await self._answer(send, 403, STRANGER)
        else:
            await self.app(scope, receive, self._with_headers(send))

    async def _connect(self, scope: Message, receive: Receive, send: Send, cookies: dict[str, str]) -> None:
        """Serve a WebSocket, unless a class has too many open of this browser, or in all.

        Addresses do not count: behind a router or a proxy all readers have the same one.
        """
        browser = next((cookies[name] for name in cookies if name.startswith(COOKIE)), "")
        if CLASSROOM.open and (self.open[browser] >= PAGES_EACH or self.open.total() >= most_sockets()):
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        self.open[browser] += 1
        try:
            await self.app(scope, SocketFilter(receive).receive, send)
        finally:
            self.open[browser] -= 1
            self.open += Counter()

    async def _teach(self, send: Send, part: str, *, allowed: bool) -> None:
        """The teacher's page, its table alone, or the key to the lessons."""
        if not allowed:
            await self._answer(send, 403, b"This page opens by the teacher's address that was printed.\n")
            return
        make = {"table": CLASSROOM.table, "key": CLASSROOM.key}.get(
            part, lambda: CLASSROOM.page(self._share())
        )
        body = (await asyncio.to_thread(make)).encode()
        await self._answer(send, 200, body, kind="text/html; charset=utf-8")

    def _share(self) -> str:
        return f"{self.place.links[0]}?{TOKEN}={self.keys.token}"

    async def _let_in(self, scope: Message, send: Send, where: str, *, leads: bool = False) -> None:
        """Give the token as a cookie, and send the reader on to the same page without it."""
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        given = {self.cookie: self.keys.token}
        if leads:
            given[f"{self.cookie}-teacher"] = self.keys.teacher
        rest = f"Path={self.place.root}/; HttpOnly; SameSite=Lax{secure}"
        cookies = [(b"set-cookie", f"{name}={value}; {rest}".encode()) for name, value in given.items()]
        await self._answer(send, 303, b"", [(b"location", where.encode()), *cookies])

    async def _answer(
        self,
        send: Send,
        status: int,
        body: bytes,
        more: list[tuple[bytes, bytes]] | None = None,
        kind: str = "text/plain; charset=utf-8",
    ) -> None:
        headers = [(b"content-type", kind.encode()), *self.headers, *(more or [])]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _with_headers(self, send: Send) -> Send:
        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        return send_with

    def _inner(self, scope: Message) -> Message:
        """The request as Solara is to see it: without what a proxy put before the path, on localhost.

        That is the one loopback name by which Solara knows that no encryption is needed.
        """
        path = scope["path"]
        if self.place.root and (path + "/").startswith(self.place.root + "/"):
            path = path[len(self.place.root) :] or "/"
        headers = [
            (name, f"localhost:{self.place.port}".encode() if name == b"host" else value)
            for name, value in scope["headers"]
            if name not in PROXIES
        ]
        return {**scope, "path": path, "raw_path": path.encode(), "headers": headers}


def most_sockets() -> int:
    """WebSockets at once in all: two for each model that may run; one without a model says so."""
    return 2 * SLOTS.most


class SocketFilter:
    """What comes in by a WebSocket, in the forms that the page uses, and at the speed of a person.

    A message that cannot be read ends the connection; one of another form than those of the page is dropped.
    Who sends more than ``MESSAGES`` a second waits, with nobody else.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._credit, self._since = BURST, time.monotonic()

    async def receive(self) -> Message:
        """The next message that may pass."""
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return message
            await self._pace()
            try:
                content = content_of(message.get("text"), message.get("bytes"))
            except (ValueError, KeyError, TypeError, RecursionError, struct.error):
                return {"type": "websocket.disconnect", "code": 1003}
            if content is not None and not painted(content):
                return message

    async def _pace(self) -> None:
        now = time.monotonic()
        self._credit = min(BURST, self._credit + (now - self._since) * MESSAGES) - 1
        self._since = now
        if self._credit < 0:
            await asyncio.sleep(-self._credit / MESSAGES)


def content_of(text: str | None, data: bytes | None) -> dict[str, Any] | None:
    """The content of a message, if it is one of those that the page sends.

    Raises
    ------
    ValueError, KeyError, TypeError, RecursionError, struct.error
        If it cannot be read.
    """
    if data is not None:
        count = struct.unpack_from("!I", data)[0]
        at = [*struct.unpack_from(f"!{count}I", data, 4), len(data)] if 0 < count <= 16 else []
        if not at or sorted(at) != at or at[0] < 4 + 4 * count:
            raise ValueError("no parts")
        text = bytes(data[at[0] : at[1]]).decode()
    if text is None or len(text) > LARGEST_TEXT:
        raise ValueError("no text, or too long")
    message = json.loads(text)
    kind, content = message["header"]["msg_type"], message["content"]
    if kind not in KINDS or not isinstance(message["channel"], str) or not isinstance(content, dict):
        return None
    if not isinstance(content.get("comm_id", ""), str):
        return None
    if kind == "comm_open" and content.get("target_name") not in COMMS:
        return None
    if kind == "comm_msg":
        inner = content["data"]
        if "comm_id" not in content or not isinstance(inner, dict):
            return None
        event = inner.get("content")
        if inner.get("method") == "custom" and not (
            isinstance(event, dict) and {*event} <= {"event", "data"}
        ):
            return None
    return content


def painted(content: dict[str, Any]) -> bool:
    """Whether a message said that a frame is on the screen, which then was handed over."""
    inner = content.get("data")
    event = inner.get("content") if isinstance(inner, dict) else None
    tell = PAINTED.get(content.get("comm_id", ""))
    if tell is None or not isinstance(event, dict) or event.get("event") != "painted":
        return False
    if isinstance(event.get("data"), int):
        tell(event["data"])
    return True


def _relative(came: str, path: str, query: list[tuple[str, str]]) -> str:
    """A page by its address relative to itself, which no proxy changes and which leads to no other host.

    ``came`` is the path as it came in, and ``path`` that without the prefix of the page.
    """
    last = quote(came.rpartition("/")[2])
    slash = "/" if last and path == "/" else ""
    return f"./{last}{slash}" + (f"?{urlencode(query)}" if query else "")


def _host_of(netloc: str) -> str | None:
    try:
        return urlsplit(f"//{netloc}").hostname
    except ValueError:
        return None


def _cookies(header: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return {name: value for name, _, value in pairs}


def _policy(place: Address) -> str:
    sockets = {f"ws://{host}:*" for host in place.hosts} | {f"{s}://{place.netloc}" for s in ("ws", "wss")}
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        f"connect-src 'self' {' '.join(sorted(sockets))} data: blob:; frame-ancestors 'none'; "
        "base-uri 'self'; form-action 'none'"
    )
