"""A small reverse proxy on real sockets, that can be cut off or go silent."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class Relay:
    """Hands connections on to a port of this machine; takes ``prefix`` off the paths that are asked for."""

    def __init__(self, port: int, prefix: str = "") -> None:
        self._to, self._prefix = port, prefix.encode()
        self._held: list[socket.socket] = []
        self._lost = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def silence(self) -> None:
        """Hand nothing on any more, and close nothing: as where a cable is pulled."""
        self._lost.set()

    def cut(self) -> None:
        """End all connections at once, without closing them properly, and take no new ones."""
        self._lost.set()
        self._server.close()
        for each in self._held:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self._held.append(near)
                if not self._lost.is_set():
                    threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError):  # cut off while it was read
            self._answer(near)

    def _answer(self, near: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            got = near.recv(65536)
            if not got:
                return
            head += got
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        verb, path, version = first.split(b" ")
        path = path.removeprefix(self._prefix) or b"/"
        if b"upgrade: websocket" not in head.lower():  # one request to a connection keeps this simple
            lines = [line for line in lines if not line.lower().startswith(b"connection:")]
            lines.append(b"Connection: close")
        far = socket.create_connection(("127.0.0.1", self._to))
        self._held.append(far)
        far.sendall(b"\r\n".join([b" ".join([verb, path, version]), *lines, b"", b""]) + rest)
        threading.Thread(target=self._pass_on, args=(far, near), daemon=True).start()
        self._pass_on(near, far)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while got := source.recv(65536):
                if self._lost.is_set():
                    return
                sink.sendall(got)
            if not self._lost.is_set():
                sink.shutdown(socket.SHUT_WR)
