"""Readers of a class on one server: frames per second, time from press to change, age of the page, memory.

Run it as ``python -m exoabm.benchmarks.classroom_load --readers 30``; it starts ``exoabm dash --class`` and
connects light clients that speak the protocol of the page: they acknowledge each frame as a browser does,
press Go and Pause, and leave.

The age of a page is the time since the moment that it shows was drawn. A frame says when it was sent, at
once after it was drawn. The browser interpolates the motion from the frame before to this one, which takes as
long as the two were apart, so that what it shows is between the two. It counts from a press of Go until the
page says that the model is paused or finished, since no other moment is due then.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

PRESS = 5.0
"""Seconds between two presses of a reader."""
REFUSED = "That cannot be run."
"""What a page says of a model that it does not open."""
FLUENT, SLOWEST = 0.048, 1.5
"""Seconds between two frames from which motion is interpolated, and at most taken for it; of the page."""
SETTLE = 20.0
"""Seconds after which what readers left behind is gone."""


@dataclass
class Client:
    """A reader without a browser: a WebSocket that acknowledges frames and presses buttons.

    Attributes
    ----------
    arrivals : list of (float, float)
        For each frame, when it came and when it was sent, in s of the clock of the machine.
    presses : list of float
        Seconds from a press of Go or Pause until the page said that it plays, or no longer does.
    runs : list of (float, bool)
        Times of the clock at which the page began to be due to move, by a press of Go, and ceased to be.
    finished : bool
        Whether the model has come to its end, as the page says.
    notice : str
        The last one of the server.
    refused : bool
        Whether the page could not open the model of its address, and opened another one.
    """

    address: str
    token: str
    query: str = ""
    arrivals: list[tuple[float, float]] = field(default_factory=list)
    presses: list[float] = field(default_factory=list)
    painting: float = 0.012
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    cookies: str = ""
    socket: Any = None
    runs: list[tuple[float, bool]] = field(default_factory=list)
    finished: bool = False
    notice: str = ""
    refused: bool = False
    _canvas: str = ""
    _player: str = ""
    _playing: asyncio.Event = field(default_factory=asyncio.Event)
    _paused: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def open(self) -> None:
        """Load the page, connect, and wait for the first frame."""
        from websockets.asyncio.client import connect

        self.cookies = self.cookies or await asyncio.to_thread(cookies_of, self.address, self.token)
        name, parts = self.name, urlsplit(self.address)
        self.socket = await connect(
            f"ws://{parts.netloc}{parts.path}jupyter/api/kernels/{name}/channels?session_id={name}",
            origin=f"http://{parts.netloc}",  # type: ignore[arg-type]
            additional_headers={"Cookie": self.cookies},
            max_size=None,
            compression=None,
            proxy=None,
        )
        self._start(self._listen())
        control = uuid.uuid4().hex
        await self.send("comm_open", {"comm_id": control, "target_name": "solara.control", "data": {}})
        run = {"method": "run", "args": {"path": f"/{self.query}", "dark": False, "themes": {}}}
        await self.send("comm_msg", {"comm_id": control, "data": run})
        await asyncio.wait_for(self._ready.wait(), 120)

    async def press(self, event: str) -> None:
        """Press Go or Pause, unless the model has come to its end, and wait until the page shows it."""
        if self.finished:
            return
        wanted = self._playing if event == "go" else self._paused
        if event == "go":
            self._note(moving=True)
        began = time.monotonic()
        await self.act(self._player, event, {})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wanted.wait(), 30)
        self.presses.append(time.monotonic() - began)

    async def act(self, widget: str, event: str, data: object) -> None:
        """Send an event of a widget."""
        content = {"method": "custom", "content": {"event": event, "data": data}}
        await self.send("comm_msg", {"comm_id": widget, "data": content})

    async def send(self, kind: str, content: dict[str, Any]) -> None:
        """Send a message of the protocol of Jupyter."""
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": "x", "version": "5.2"}
        header |= {"username": "", "date": "2026-01-01T00:00:00Z"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await self.socket.send(json.dumps(message | {"channel": "shell", "buffers": []}))

    async def close(self) -> None:
        """Close the page as a browser does, which says so to the server, and the connection."""
        for task in self._tasks:
            task.cancel()
        await self.socket.close()
        await asyncio.to_thread(self._leave)

    def _leave(self) -> None:
        url = f"{self.address}_solara/api/close/{self.name}?session_id={self.name}"
        request = urllib.request.Request(url, data=b"", headers={"Cookie": self.cookies})
        with contextlib.suppress(OSError):  # the server may have ended
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).close()

    def _start(self, what: Any) -> None:
        task = asyncio.ensure_future(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            async for message in self.socket:
                self._receive(message)

    def _receive(self, message: str | bytes) -> None:
        buffers: list[bytes] = []
        if isinstance(message, bytes):
            n = struct.unpack_from("!i", message)[0]
            at = [*struct.unpack_from(f"!{n}I", message, 4), len(message)]
            parts = [message[a:b] for a, b in itertools.pairwise(at)]
            message, buffers = parts[0].decode(), parts[1:]
        elif '"comm_' not in message[:400] and '"comm_' not in message:
            return
        self.refused = self.refused or REFUSED in message
        read = json.loads(message)
        content = read["content"]
        data = content.get("data") or {}
        state = data.get("state") or {}
        if "target_name" in content and "world" in state:
            self._canvas = content["comm_id"]
        elif "target_name" in content and "times" in state:
            self._player = content["comm_id"]
        if (
            content.get("comm_id") == self._canvas
            and ["frame"] in data.get("buffer_paths", [])
            and buffers[-1]
        ):
            sent = datetime.fromisoformat(read["header"]["date"]).timestamp()
            self._frame(struct.unpack_from("<I", buffers[-1])[0], sent)
        if content.get("comm_id") == self._player:
            self.finished = state.get("finished", self.finished)
            if "playing" in state:
                (self._playing if state["playing"] else self._paused).set()
                (self._paused if state["playing"] else self._playing).clear()
                self._note(moving=state["playing"])
        self.notice = state.get("words") or self.notice

    def _note(self, *, moving: bool) -> None:
        if not self.runs or self.runs[-1][1] != moving:
            self.runs.append((time.time(), moving))

    def _frame(self, number: int, sent: float) -> None:
        self.arrivals.append((time.time(), sent))
        self._start(self._paint(number))

    async def _paint(self, number: int) -> None:
        from websockets.exceptions import ConnectionClosed

        await asyncio.sleep(self.painting)
        with contextlib.suppress(ConnectionClosed):
            await self.act(self._canvas, "painted", number)
        self._ready.set()


def cookies_of(address: str, token: str) -> str:
    """Cookies that a browser has after it came in by the address with the token."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
    found: dict[str, str] = {}
    for url in (f"{address}?token={token}", address):
        request = urllib.request.Request(url, headers={"Cookie": _joined(found)})
        try:
            answer = opener.open(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        for line in answer.headers.get_all("set-cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            found[name] = value
    return _joined(found)


def _joined(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


class ServerProcess:
    """``exoabm dash`` in a process of its own, ended with the block; its memory and its processor time."""

    def __init__(self, *options: str) -> None:
        self._options = options

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="exoabm-class-")
        self._log = Path(self._folder.name) / "log.txt"
        command = [sys.executable, "-m", "exoabm", "dash", "--no-browser", *self._options]
        with self._log.open("wb") as out:
            nowhere = {"no_proxy": "127.0.0.1"}
            self.process = subprocess.Popen(  # outside a checkout, whose package has another layout
                command, stdout=out, stderr=out, env=os.environ | nowhere, cwd=self._folder.name
            )
        try:
            self.ps = psutil.Process(self.process.pid)
            while not (found := re.search(r"exoabm is at \S+?:(\d+)/\S*\?token=(\S+)", self.log)):
                if self.process.poll() is not None:
                    raise SystemExit(self.log)
                time.sleep(0.1)
        except BaseException:
            self.__exit__()
            raise
        self.address, self.token = f"http://127.0.0.1:{found[1]}/", found[2]
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        self._folder.cleanup()

    @property
    def log(self) -> str:
        """What the server has printed."""
        return self._log.read_text()

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        return float(self.ps.memory_info().rss / 1e6)

    def cpu(self) -> float:
        """Processor seconds until now."""
        times = self.ps.cpu_times()
        return float(times.user + times.system)

    def end(self) -> float:
        """Seconds from the signal until the process has ended."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(60)
        return time.monotonic() - began


async def read(client: Client, seconds: float, rest: float) -> None:
    """A reader who presses Go, and from time to time Pause and Go again."""
    await asyncio.sleep(rest)
    end = time.monotonic() + seconds
    await client.press("go")
    while time.monotonic() < end:
        await asyncio.sleep(PRESS)
        await client.press("pause")
        await client.press("go")


async def until(true: Callable[[], bool], seconds: float) -> None:
    """Wait until something is true, that long at most."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        await asyncio.sleep(0.05)


async def settled(server: ServerProcess) -> float:
    """Megabytes once all that readers have left behind is gone."""
    await asyncio.sleep(SETTLE)
    return server.megabytes


def ages(client: Client, start: float, end: float) -> np.ndarray:
    """Ages of what the page shows while it is due to move, s, at times 20 ms apart."""
    (came, drawn), (switched, on) = np.array(client.arrivals).T, np.array(client.runs).T
    times = np.arange(start, end, 0.02)
    run, last = (np.searchsorted(each, times) - 1 for each in (switched, came))
    due = (run >= 0) & (last >= 1) & (on[run] == 1)
    times, run, last = times[due], run[due], last[due]
    gap = came[last] - came[last - 1]
    moves = (gap > FLUENT) & (gap < 2 * SLOWEST)
    share = np.where(moves, np.clip((times - came[last]) / np.minimum(gap, SLOWEST), 0, 1), 1)
    shown = drawn[last - 1] + share * (drawn[last] - drawn[last - 1])
    return times - np.maximum(shown, switched[run])


async def load(options: argparse.Namespace, server: ServerProcess) -> dict[str, float]:
    """Let classes come one after the other; what was measured of the first, and memory after each.

    Memory before is that of a server that has opened each model once. What one class leaves and the next
    does not add to is free memory between blocks in use.
    """
    for query in dict.fromkeys(queries(options)):
        one = Client(server.address, server.token, query.partition("&seed")[0])
        await one.open()
        await one.press("go")
        await until(lambda one=one: len(one.arrivals) > 5, 180)  # type: ignore[misc]
        if one.refused:
            raise SystemExit(f"{query}: the page does not open this model")
        await one.close()
    base = await settled(server)
    measured = {"MB before": base, **await attend(options, server)}
    measured["MB per reader"] = (measured.pop("MB with all readers") - base) / options.readers
    measured["MB after all have left"] = await settled(server)
    for number in range(2, options.classes + 1):
        await attend(options, server)
        measured[f"MB after class {number}"] = await settled(server)
    return measured | {"s to end the server": server.end()}


async def attend(options: argparse.Namespace, server: ServerProcess) -> dict[str, float]:
    """Let the readers of a class come, run models and go."""
    readers = [Client(server.address, server.token, query) for query in queries(options)]
    opened = []
    for client in readers:
        began = time.monotonic()
        await client.open()
        opened.append(time.monotonic() - began)
    start, busy = time.time(), server.cpu()
    rests = np.linspace(0, PRESS, len(readers))
    await asyncio.gather(*(read(c, options.seconds, float(r)) for c, r in zip(readers, rests, strict=True)))
    end, used, full = time.time(), server.cpu() - busy, server.megabytes
    for client in readers:
        await client.close()
    begin = start + PRESS + 5
    frames = [sum(begin < came < end for came, _ in c.arrivals) / (end - begin) for c in readers]
    age = np.concatenate([ages(c, begin, end) for c in readers])
    presses = np.concatenate([c.presses[1:] for c in readers])
    worst = max(float(np.percentile(ages(c, begin, end), 95)) for c in readers)
    return {
        "readers": len(readers),
        "seconds to open, median": float(np.median(opened)),
        "frames/s of a reader, mean": float(np.mean(frames)),
        "frames/s of a reader, least": min(frames),
        "press to change, median s": float(np.median(presses)),
        "press to change, p95 s": float(np.percentile(presses, 95)),
        "presses": len(presses),
        "age of the page, p95 s": float(np.percentile(age, 95)),
        "age of the page, p95 s of the worst reader": worst,
        "processors used": used / (end - start),
        "MB with all readers": full,
    }


def queries(options: argparse.Namespace) -> list[str]:
    """What the readers open: ``--large`` of them a large model, the others included scenarios in turn."""
    names = options.scenarios.split(",")
    kinds = [
        f"?scenario={names[i % len(names)]}&seed={i + 1}" for i in range(options.readers - options.large)
    ]
    return [f"?scenario=signaling&{options.large_model}"] * options.large + kinds


def main() -> None:
    """Parse the command line, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--readers", type=int, default=30)
    parser.add_argument("--large", type=int, default=5, help="readers who run the large model")
    parser.add_argument(
        "--large-model",
        default="domain.voxel=5&layout.group.recipient.count=1500",
        help="changed values of the scenario signaling; by default 48,400 voxels and 1,507 cells",
    )
    parser.add_argument(
        "--scenarios", default="signaling,two_cells,tissue,relay,tissue_repair,tumor_niche,chemotaxis"
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--classes", type=int, default=1, help="classes, one after the other")
    parser.add_argument("server", nargs="*", default=["--class"], help="options of exoabm dash, after --")
    options = parser.parse_args()
    with ServerProcess(*options.server) as server:
        measured = asyncio.run(load(options, server))
    for name, value in measured.items():
        print(f"{name:48s}{value:10.2f}")


if __name__ == "__main__":
    main()
