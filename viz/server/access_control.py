"""Who may see the page: those who were given its address, under the names that it has, and nobody else.

Other accounts of a machine reach its loopback addresses, and pages of other sites in the same browser reach
whatever that browser does. So the address that is opened carries a random token. The first visit with it
turns it into a cookie; requests and WebSockets without it are refused. A WebSocket is let in only from a page
of the same origin, and what is served may load nothing from elsewhere, which the browser enforces.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from exoabm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

HOST = "127.0.0.1"
HOSTS = (HOST, "localhost")
COOKIE = "solara-session-id"
"""By which Solara knows a reader."""
TOKEN = "token"
"""What the address asks with."""
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

    Raises
    ------
    InputError
        If ``base_url`` is no such address.
    """

    def __init__(self, port: int, base_url: str | None = None) -> None:
        self.port = port
        self.local = f"http://{HOST}:{port}/"
        self.base_url = base_url.rstrip("/") + "/" if base_url else self.local
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InputError(f"--base-url {base_url}: write an address, such as https://HOST/PATH/")
        self.root = parts.path.rstrip("/")
        self.netloc = parts.netloc
        self.hosts = (*HOSTS, parts.hostname)


class Tokens:
    """The token of a page, and the ticket by which this machine's browser is shown in, once.

    A ticket stands among the arguments of the browser, which other accounts can see.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.ticket = secrets.token_urlsafe(32)

    def opens(self, key: str) -> bool:
        """Whether this is the token, or the ticket, which then is used up; compared in constant time."""
        if secrets.compare_digest(key.encode(), self.ticket.encode()):
            self.ticket = secrets.token_urlsafe(32)
            return True
        return secrets.compare_digest(key.encode(), self.token.encode())


class AccessControl:
    """ASGI middleware: known hosts, a token, WebSockets only from the page's own origin, strict headers."""

    def __init__(self, app: Callable[..., Awaitable[None]], place: Address, keys: Tokens) -> None:
        self.app, self.place, self.keys = app, place, keys
        self.cookie = f"exoabm-{place.port}"
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
        scope = self._inner(scope)
        if scope["type"] == "websocket":
            origin = headers.get("origin", "").partition("//")[2]
            own = origin != "" and origin in (headers.get("host"), self.place.netloc)
            # Who never loaded the page has no cookie; Solara would let it in, and write a line to the log.
            if not (known and own and inside and any(name.startswith(COOKIE) for name in cookies)):
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for name, value in query if name == TOKEN), "")
        if not known:
            await self._answer(send, 400, b"unknown host")
        elif given and self.keys.opens(given):
            await self._let_in(scope, send, [pair for pair in query if pair[0] != TOKEN])
        elif not inside:
            await self._answer(send, 403, STRANGER)
        else:
            await self.app(scope, receive, self._with_headers(send))

    async def _let_in(self, scope: Message, send: Send, query: list[tuple[str, str]]) -> None:
        """Give the token as a cookie, and send the reader on to the same page without it."""
        where = self.place.root + scope["path"] + (f"?{urlencode(query)}" if query else "")
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{self.cookie}={self.keys.token}; Path={self.place.root}/; HttpOnly; SameSite=Lax{secure}"
        # One slash only: two would lead to another host.
        location = "/" + where.lstrip("/")
        told = [(b"location", location.encode("latin-1", "ignore")), (b"set-cookie", cookie.encode())]
        await self._answer(send, 303, b"", told)

    async def _answer(
        self, send: Send, status: int, body: bytes, more: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), *self.headers, *(more or [])]
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


def _host_of(netloc: str) -> str | None:
    try:
        return urlsplit(f"//{netloc}").hostname
    except ValueError:
        return None


def _cookies(header: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return {name: value for name, _, value in pairs}


def _policy(place: Address) -> str:
    sockets = {f"ws://{host}:*" for host in HOSTS} | {f"{s}://{place.netloc}" for s in ("ws", "wss")}
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        f"connect-src 'self' {' '.join(sorted(sockets))} data: blob:; frame-ancestors 'none'; "
        "base-uri 'self'; form-action 'none'"
    )
