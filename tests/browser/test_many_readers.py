"""Readers apart, strangers out, and nothing left behind by those who leave."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Reader, Server

HOSTILE = (
    "?scenario=<script>alert(1)</script>",
    "?scenario=signaling&domain.voxel=0.5&hours=1e9",
    "?seed=1&seed=2",
    "?" + "x" * 3000,
    "?%ff%fe",
)


def shake_hands(server: Server, **headers: str) -> int:
    """The status of a request to open a WebSocket."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    preferred = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    connection.request("GET", "/jupyter/api/kernels/abc/channels?session_id=x", headers=preferred | headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_two_readers_are_apart(reader: Callable[..., Reader]) -> None:
    one, other = reader(locale="en").open(), reader(locale="de").open()
    one.go(frames=10)
    one.page.wait_for_function("+document.querySelector('.exo-clock b').textContent > 0")
    assert other.clock == 0.0
    other.page.fill("#control-cell-type-recipient-uptake-rate-number", "140")
    other.page.keyboard.press("Tab")
    other.page.wait_for_selector(".exo-pending")
    assert one.page.locator(".exo-pending").count() == 0
    before = one.frames
    one.page.wait_for_function(f"window.exoabmFrames > {before + 5}")


def test_hostile_addresses_are_answered_in_words(reader: Callable[..., Reader]) -> None:
    someone = reader(width=1280, height=720)
    said: list[str] = []
    someone.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    for query in HOSTILE:
        someone.open(query)
        someone.page.wait_for_selector(".exo-trouble")
        words = someone.page.inner_text(".exo-trouble")
        for part in (".exo-trouble", ".exo-go"):
            box = someone.page.locator(part).bounding_box()
            assert 0 <= box["y"] <= 720 - box["height"], "it is seen, and so is Go"
        assert "Traceback" not in words, query
        assert "root:" not in words, query
        assert someone.clock == 0.0, query
    someone.go(frames=3)
    assert said == []


def test_strangers_are_turned_away(server: Server) -> None:
    here = f"127.0.0.1:{server.port}"
    assert server.get("")[0] == 200
    assert server.get("", Host=f"localhost:{server.port}")[0] == 200
    assert server.get("", Host="evil.example")[0] == 400
    assert server.get("", Host="127.0.0.1.evil.example")[0] == 400
    token = "=".join(server.cookie)
    own = {"Cookie": f"{token}; solara-session-id=someone"}
    assert shake_hands(server, Host=here, Origin=f"http://{here}", **own) == 101
    assert shake_hands(server, Host=here, Origin=f"http://{here}", Cookie=token) == 403, "never loaded"
    for origin in ("http://evil.example", "null", "", f"http://127.0.0.1:{server.port + 1}"):
        assert shake_hands(server, Host=here, Origin=origin, **own) == 403
    assert shake_hands(server, Host="evil.example", Origin="http://evil.example", **own) == 403


def test_the_log_is_one_line_with_the_address(server: Server, reader: Callable[..., Reader]) -> None:
    reader().open()
    lines = server.log.read_text().splitlines()
    assert lines == [f"exoabm is at {server.address}?token={server.cookie[1]}  (Ctrl+C ends it)"]


def test_it_listens_to_this_machine_only(server: Server) -> None:
    process = psutil.Process(server.process.pid)
    listening = {c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}, "although HOST says otherwise"


def test_the_browser_is_told_to_load_nothing_from_elsewhere(reader: Callable[..., Reader]) -> None:
    someone = reader().open()
    blocked = someone.page.evaluate(
        "fetch('https://example.org/').then(() => 'loaded', error => 'blocked: ' + error.message)"
    )
    assert blocked.startswith("blocked")
    assert any("Content Security Policy" in error for error in someone.errors)
    someone.errors.clear()


def test_when_all_seats_are_taken_a_page_says_so(small: Server, reader: Callable[..., Reader]) -> None:
    one = reader(small).open()
    late = reader(small)
    late.page.goto(small.address)
    late.page.wait_for_selector("h1:has-text('All models are in use')")
    one.page.close()
    late.page.wait_for_timeout(500)
    for _ in range(20):
        late.page.goto(small.address)
        late.page.wait_for_selector(".exo-full, .exo-stage")
        if late.page.locator(".exo-stage").count():
            break
    late.page.wait_for_function("window.exoabmFrames > 0")


@pytest.mark.slow
def test_thirty_readers_come_and_go(
    server: Server, reader: Callable[..., Reader], record_property: Any
) -> None:
    process = psutil.Process(server.process.pid)

    def kernels() -> int:
        return int(json.loads(server.get("resourcez")[1])["kernels"]["total"])

    def five_visits() -> None:
        """Each page is left for the next, and the tab of the last one closed."""
        someone = reader(width=420, height=420)
        for _ in range(5):
            someone.open()
            someone.go(frames=3)
        someone.page.close(run_before_unload=False)

    def settled() -> dict[str, Any]:
        """Once no reader is left, what the process holds."""
        end = time.monotonic() + 60
        while kernels() > strangers:
            assert time.monotonic() < end, "a kernel stayed"
            time.sleep(0.1)
        time.sleep(1.0)
        return {"threads": process.num_threads(), "bytes": process.memory_info().rss}

    strangers = kernels()  # those of tests before, who only shook hands, and are forgotten in time
    five_visits()
    early = settled()
    for _ in range(5):
        five_visits()
    late = settled()
    record_property("threads", (early["threads"], late["threads"]))
    record_property("bytes", (early["bytes"], late["bytes"]))
    assert late["threads"] <= early["threads"] + 2
    assert late["bytes"] <= early["bytes"] + 40e6, "two megabytes a visit would be seen"
