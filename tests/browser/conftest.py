"""A served page and a browser with its network cut off, for tests that press what a reader presses."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from exoabm.scenario.loader import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENT = 60_000
"""Milliseconds that a busy machine is given."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, and say why it is skipped where there is no browser."""
    here = os.path.dirname(__file__)  # noqa: PTH120
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))


@dataclass
class Server:
    """``exoabm dash`` in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def cookie(self) -> tuple[str, str]:
        """By which the server knows who was given its address."""
        found = re.search(r"token=(\S+)", self.log.read_text())
        assert found
        return f"exoabm-{self.port}", found[1]

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        own = {"Cookie": "=".join(self.cookie)}
        request = urllib.request.Request(self.address + path, headers=own | headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """A function that serves a scenario; all servers are ended with the session."""
    running: list[Server] = []

    def serve(scenario: str = "signaling", *options: str) -> Server:
        port, log = free_port(), tmp_path_factory.mktemp("dash") / "log.txt"
        # Whatever the server would ask of the world outside goes nowhere.
        nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
        command = [sys.executable, "-m", "exoabm", "dash", scenario, "--port", str(port), "--no-browser"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, *options],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | nowhere | {"no_proxy": "127.0.0.1", "HOST": "0.0.0.0"},
                cwd=log.parent,
            )
        server = Server(process, port, log)
        running.append(server)
        end = time.monotonic() + PATIENT / 1000
        while "exoabm is at" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        return server

    yield serve
    for server in running:
        server.process.terminate()
    for server in running:
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="session")
def server(start: Callable[..., Server]) -> Server:
    """The page of the first scenario, shared by the tests."""
    return start()


@pytest.fixture(scope="session")
def small(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A page with one seat, of a scenario of one's own, with a wall along its lower side."""
    path = tmp_path_factory.mktemp("own") / "walled.toml"
    wall = (
        'thickness = "10 um"\n[[domain.zone]]\nname = "wall"\nobstacle = true\n'
        'low = ["0 um", "0 um"]\nhigh = ["1100 um", "20 um"]'
    )
    path.write_text(shipped()["signaling"].read_text().replace('thickness = "10 um"', wall))
    return start(str(path), "--seats", "1")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a network, for one module: while it runs, `asyncio.run` of other tests is refused."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield chromium
        chromium.close()


@dataclass
class Reader:
    """Someone at the page, and what went wrong in their browser."""

    page: Any
    server: Server
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, query: str = "") -> Reader:
        """Open the page and wait for its first frame."""
        self.page.goto(self.server.address + query)
        self.page.wait_for_function("window.exoabmFrames > 0")
        return self

    @property
    def frames(self) -> int:
        return int(self.page.evaluate("window.exoabmFrames"))

    @property
    def clock(self) -> float:
        """Hours shown on the canvas."""
        return float(self.page.inner_text(".exo-clock b"))

    def picture(self) -> str:
        """The canvas as it is."""
        return str(self.page.evaluate("document.querySelector('.exo-canvas').toDataURL()"))

    def words(self) -> str:
        return str(self.page.inner_text(".exo-words"))

    def until_words(self, pattern: str) -> str:
        """The words below the picture, once they match; they follow the run twice a second or less often."""
        self.page.wait_for_function(
            "p => new RegExp(p).test(document.querySelector('.exo-words').innerText)", arg=pattern
        )
        return self.words()

    def until_picture(self, of: str) -> None:
        """Wait until the canvas is this picture again."""
        self.page.wait_for_function("of => document.querySelector('.exo-canvas').toDataURL() === of", arg=of)

    def until_another_picture(self, *than: str) -> str:
        """The canvas, once it is none of these pictures."""
        self.page.wait_for_function(
            "than => !than.includes(document.querySelector('.exo-canvas').toDataURL())", arg=list(than)
        )
        return self.picture()

    def go(self, frames: int = 5) -> None:
        """Press Go and wait until it moves."""
        before = self.frames
        self.page.click(".exo-go")
        self.page.wait_for_function(f"window.exoabmFrames >= {before + frames}")

    def pause(self) -> None:
        self.page.click(".exo-go:has-text('Pause')")
        self.page.wait_for_selector(".exo-go:has-text('Go')")

    def cell_at(self, kind: str) -> tuple[int, float, float]:
        """Birth id and place on the screen of some cell of a type that nothing lies over."""
        found = self.page.wait_for_function(  # a scenario that was just chosen has no frame yet
            """kind => {
              const v = document.querySelector('.exo-stage')?.__vue__, f = v?.last, m = v?.map;
              if (!f || !m) return null;
              const box = v.$refs.box.getBoundingClientRect();
              const type = v.world.types.findIndex(t => t.name === kind);
              for (let i = 0; i < f.n; i++) {
                if (f.type[i] !== type) continue;
                const x = (f.xy[2 * i] * m.kx + m.ox) / v.ratio;
                const y = (m.oy - f.xy[2 * i + 1] * m.ky) / v.ratio;
                if (x > 80 && x < box.width - 80 && y > 140 && y < box.height - 80)
                  return [f.birth[i], box.left + x, box.top + y];
              }
            }""",
            arg=kind,
        ).json_value()
        return int(found[0]), float(found[1]), float(found[2])


@pytest.fixture(scope="module")
def tabs(browser: Any) -> Iterator[Callable[[], Any]]:
    """A function that gives an empty tab of a window that readers share, if there is one that was left empty.

    What all pages load is then loaded and compiled only once.
    """
    window = browser.new_context()

    def tab() -> Any:
        return next((page for page in window.pages if page.url == "about:blank"), None) or window.new_page()

    yield tab
    window.close()


@pytest.fixture
def reader(browser: Any, tabs: Callable[[], Any], server: Server) -> Iterator[Callable[..., Reader]]:
    """A function that seats a new reader at the page; afterwards their browser must have had no errors.

    Readers share a window, but for those with options such as ``color_scheme``, who get one of their own.
    """
    seated: list[tuple[Reader, dict[str, Any]]] = []
    local = re.compile(r"^(https?|wss?)://127\.0\.0\.1[:/]|^(data|blob):")

    def seat(at: Server = server, *, width: int = 1280, height: int = 900, **options: Any) -> Reader:
        someone = Reader(browser.new_context(**options).new_page() if options else tabs(), at)
        name, value = at.cookie
        someone.page.context.add_cookies([{"name": name, "value": value, "url": at.address}])
        someone.page.set_default_timeout(PATIENT)
        someone.page.set_viewport_size({"width": width, "height": height})
        hears = {
            "request": lambda r: local.match(r.url) or someone.outside.append(r.url),
            "pageerror": lambda e: someone.errors.append(str(e)),
            "console": lambda m: m.type == "error" and someone.errors.append(m.text),
        }
        for event, hear in hears.items():
            someone.page.on(event, hear)
        someone.page.goto("about:blank#taken")
        seated.append((someone, {} if options else hears))
        return someone

    yield seat
    for someone, hears in seated:
        if someone.page.is_closed():
            pass
        elif hears:
            someone.page.goto("about:blank")
            for event, hear in hears.items():
                someone.page.remove_listener(event, hear)
        else:
            someone.page.context.close()
        assert someone.errors == []
        assert someone.outside == []
