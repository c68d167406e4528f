"""What one reader of a class may send and take: messages, sockets, pages, models."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from typing import Any

import pytest

from exoabm.scenario.loader import shipped
from exoabm.scenario.state_builder import blueprint
from exoabm.viz.run_setup import first_setup
from exoabm.viz.server.access_control import AccessControl, Address, SocketFilter, Tokens, content_of
from exoabm.viz.server.classroom import CLASSROOM
from exoabm.viz.server.limits import SLOTS, ModelSlots, class_limits


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ({"content": {"event": "go", "data": {}}, "method": "custom"}, True),
        ({"state": {"value": 1}, "method": "update"}, True),
        ({"content": {"more": 1}, "method": "custom"}, False),
        ({"content": {"event": "go", "more": {}}, "method": "custom"}, False),
        ("junk", False),
    ],
)
def test_only_events_of_the_page_pass(text: Any, passes: bool) -> None:
    message = {
        "header": {"msg_type": "comm_msg"},
        "channel": "shell",
        "content": {"comm_id": "c", "data": text},
    }
    assert (content_of(json.dumps(message), None) is not None) is passes
    packed = json.dumps(message).encode()
    assert (content_of(None, struct.pack("!2I", 1, 8) + packed) is not None) is passes
    with pytest.raises(ValueError, match="parts"):
        content_of(None, struct.pack("!2I", 1, 9_999_999) + packed)
    assert content_of(json.dumps(message | {"header": {"msg_type": "execute_request"}}), None) is None


def test_who_sends_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exoabm.viz.server.access_control.BURST", 5.0)

    async def receive() -> dict[str, Any]:
        return {
            "type": "websocket.receive",
            "text": json.dumps({"header": {"msg_type": "comm_close"}, **rest}),
        }

    rest = {"channel": "shell", "content": {}}

    async def many() -> float:
        filtered, began = SocketFilter(receive), time.monotonic()
        for _ in range(17):
            await filtered.receive()
        return time.monotonic() - began

    assert asyncio.run(many()) >= 0.19, "12 more than at once, at 60 a second"


def test_readers_behind_one_address_all_come_in_and_one_browser_only_eight_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CLASSROOM, "open", True)
    monkeypatch.setattr(SLOTS, "most", 10)
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def all_come(browsers: list[str]) -> tuple[int, int]:
        """How many of these pages came in, and how many a first and a later page of another browser."""
        inside, leave = [], asyncio.Event()

        async def app(scope: Any, *_: Any) -> None:
            inside.append(scope)
            await leave.wait()

        keys = Tokens()
        control = AccessControl(app, Address(8765), keys)

        def come(browser: str) -> asyncio.Task[None]:
            cookies = f"exoabm-8765={keys.token}; solara-session-id={browser}"
            headers = {"host": "localhost:8765", "origin": "http://localhost:8765", "cookie": cookies}
            scope = {"type": "websocket", "path": "/", "client": ("192.0.2.7", 50000)}
            pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
            return asyncio.create_task(control(scope | {"headers": pairs}, receive, send))

        pages = [come(browser) for browser in browsers]
        await asyncio.sleep(0)
        let_in = len(inside)
        leave.set()
        await asyncio.gather(*pages)
        await come(browsers[0])
        return let_in, len(inside) - let_in

    assert asyncio.run(all_come([f"{i}" for i in range(15)])) == (15, 1)
    assert sent == []
    assert asyncio.run(all_come(["a"] * 9)) == (8, 1), "who has left leaves room"
    assert asyncio.run(all_come([f"{i}" for i in range(25)])) == (20, 1), "two for each model"
    assert sent == ["websocket.close"] * 6


def test_a_reader_has_so_many_pages_at_once() -> None:
    slots = ModelSlots(5, each=2)
    assert slots.take(1, "a")
    assert slots.take(2, "a")
    assert not slots.take(3, "a")
    assert slots.take(4, "b")
    slots.leave(1)
    assert slots.take(3, "a")


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_included_scenario_is_admitted_in_a_class(name: str) -> None:
    loaded = first_setup(name).load()
    caps = class_limits(40, 4e9)
    caps.admit_cells(loaded.scenario)
    caps.admit(blueprint(loaded, 1), float(loaded.scenario.clock.duration) / 3600)
