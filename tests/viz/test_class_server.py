"""A class on one server: who is let in, what hostile readers cannot do, the teacher's page, the end."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from anyio.to_thread import run_sync

from exoabm.benchmarks.classroom_load import Client, ServerProcess, ages, cookies_of, until
from exoabm.errors import ResourceError
from exoabm.viz.server import classroom
from exoabm.viz.server.access_control import SocketFilter, content_of
from exoabm.viz.server.classroom import CLOSING_NOTICE
from exoabm.viz.server.serve import _listener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SMALL = "?scenario=two_cells&domain.voxel=20&clock.duration=1000"


OPENS_A_LIST = {
    "header": {"msg_type": "comm_open"},
    "channel": "shell",
    "content": {"comm_id": ["y"], "target_name": "jupyter.widget.control", "data": {}},
}
"""A message whose id is of another type than the page sends."""


NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")


def get(url: str, cookies: str = "") -> tuple[int, str]:
    """A request as it is; the status and the body."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers={"Cookie": cookies}), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def teacher_token(server: ServerProcess) -> str:
    found = re.search(r"/teacher\?token=(\S+)", server.log)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("two_cells", "--class", "--port", str(free_port())) as running:
        yield running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_class_says_whom_it_lets_in_and_listens_to_other_machines(server: ServerProcess) -> None:
    assert "Other machines are admitted, without encryption" in server.log
    listening = {c.laddr.ip for c in server.ps.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert listening == {"0.0.0.0"}
    links = re.findall(r"readers: (http://\S+)\?token=", server.log)
    assert links
    assert all(get(link)[0] == 403 for link in links)
    assert all(get(link, cookies_of(link, server.token))[0] == 200 for link in links)


def test_the_teacher_sees_readers_by_number_and_readers_do_not(server: ServerProcess) -> None:
    page = f"{server.address}teacher"
    assert get(page)[0] == 403
    assert get(page, cookies_of(server.address, server.token))[0] == 403
    led = cookies_of(server.address, teacher_token(server))

    async def visit() -> tuple[str, str]:
        client = Client(server.address, server.token, SMALL)
        await client.open()
        await client.press("go")
        end, table = time.monotonic() + 60, ""
        while not runs.search(table) and time.monotonic() < end:  # the page notes its state in its own time
            table = (await asyncio.to_thread(get, f"{page}?table", led))[1]
        await client.close()
        return table, client.cookies

    runs = re.compile(r"<td>reader \d+</td><td>no lesson</td><td>two_cells</td><td>runs, [\d.]+ of")
    table, cookies = asyncio.run(visit())
    assert runs.search(table)
    status, whole = get(page, led)
    assert status == 200
    assert server.token in whole
    assert get(f"{page}?key")[0] == get(f"{page}?key", cookies)[0] == 403
    assert "Right answer" in get(f"{page}?key", led)[1]
    secret = dict(part.split("=", 1) for part in cookies.split("; "))["solara-session-id"]
    assert secret not in whole + table


def test_a_page_is_old_while_it_is_due_to_move_only() -> None:
    """Ages of four pages whose last frame came after 10 s, seen for 40 s."""

    def page(*runs: tuple[float, bool], more: tuple[float, ...] = ()) -> Client:
        came = [*np.arange(0, 10, 0.1), *more]
        return Client("", "", arrivals=[(at, at) for at in came], runs=list(runs))

    finished, stuck = page((0, True), (10, False)), page((0, True))
    goes_on = page((0, True), (10, False), (20, True), more=tuple(np.arange(20.3, 40, 0.1)))
    never = page((0, True), (10, False), (20, True))
    assert ages(finished, 0, 40).max() < 0.25
    assert ages(stuck, 0, 40).max() > 29
    assert ages(goes_on, 0, 40).max() < 0.6
    assert ages(never, 0, 40).max() == pytest.approx(20, abs=0.1), "Go was pressed, and nothing came"


def test_the_page_of_a_model_that_ends_is_not_old(server: ServerProcess) -> None:
    async def visit() -> Client:
        client = Client(server.address, server.token, SMALL.replace("1000", "0.1"))
        await client.open()
        await client.press("go")
        await until(lambda: client.finished, 60)
        await client.press("pause")
        await client.press("go")
        await client.close()
        return client

    client = asyncio.run(visit())
    assert client.finished
    assert [on for _, on in client.runs][-2:] == [True, False]
    assert len(client.presses) == 1, "a page that is at its end has no Go"
    begin = client.arrivals[0][0]
    assert ages(client, begin, client.runs[-1][0] + 60).max() < 10


def test_hostile_readers_change_nothing_for_the_others(server: ServerProcess) -> None:
    """A reader's run goes on while others send junk, too much, and what the page never asks."""
    junk = [
        "",
        "{",
        "[" * 50_000,
        json.dumps({"header": {}}),
        "x" * 2_000_000,
        b"\xff" * 40,
        b"",
        b"\0\0\0\1" * 9,
        json.dumps(OPENS_A_LIST),
    ]
    other_form = {"event": "go", "data": {}, "more": 1}

    async def attack(client: Client) -> None:
        for message in junk:
            other = Client(server.address, server.token, cookies=client.cookies)
            await connect_only(other)
            await other.socket.send(message)
            await other.socket.close()
        other = Client(server.address, server.token)
        await other.open()
        await other.send(
            "comm_msg", {"comm_id": other._canvas, "data": {"method": "custom", "content": other_form}}
        )
        await other.send("comm_open", {"comm_id": "y", "target_name": "jupyter.widget", "data": {}})
        for event in ("pick", "set_layers", "painted"):
            await other.act(other._canvas, event, {"a": ["b"] * 100})
        await other.socket.send("y" * 3_000_000)
        for guess in range(100):
            assert (await asyncio.to_thread(get, f"{server.address}?token={guess}"))[0] == 403
        assert await refused(client, "http://evil.example")
        await other.close()

    async def both() -> tuple[int, int]:
        steady = Client(server.address, server.token, SMALL)
        await steady.open()
        await steady.press("go")
        attacker = Client(server.address, server.token)
        attacker.cookies = await asyncio.to_thread(cookies_of, server.address, server.token)
        await attack(attacker)
        before = len(steady.arrivals)
        end = time.monotonic() + 120
        while len(steady.arrivals) < before + 20 and time.monotonic() < end:
            await asyncio.sleep(0.05)
        await steady.press("pause")
        await steady.close()
        return len(steady.arrivals) - before, steady.socket.close_code

    frames, code = asyncio.run(both())
    assert frames >= 20
    assert code in (1000, None)
    assert server.process.poll() is None


async def connect_only(client: Client) -> None:
    """Open a WebSocket without a page."""
    from websockets.asyncio.client import connect

    host = client.address.split("/")[2]
    client.socket = await connect(
        f"ws://{host}/jupyter/api/kernels/k/channels?session_id=s",
        origin=f"http://{host}",  # type: ignore[arg-type]
        additional_headers={"Cookie": client.cookies},
        proxy=None,
    )


async def refused(client: Client, origin: str) -> bool:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    host = client.address.split("/")[2]
    try:
        await connect(
            f"ws://{host}/jupyter/api/kernels/k/channels?session_id=s",
            origin=origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": client.cookies},
            proxy=None,
        )
    except InvalidStatus as error:
        return error.response.status_code == 403
    return False


@pytest.mark.parametrize("kind", ["comm_open", "comm_msg", "comm_close", "comm_info_request"])
def test_an_id_that_is_no_text_is_dropped(kind: str) -> None:
    message = OPENS_A_LIST | {"header": {"msg_type": kind}}
    assert content_of(json.dumps(message), None) is None

    async def next_one() -> dict[str, Any]:
        waiting = [
            {"type": "websocket.disconnect"},
            {"type": "websocket.receive", "text": json.dumps(message)},
        ]

        async def receive() -> dict[str, Any]:
            return waiting.pop()

        return dict(await SocketFilter(receive).receive())

    assert asyncio.run(next_one()) == {"type": "websocket.disconnect"}, "dropped, and the connection goes on"


@pytest.mark.skipif(NGINX is None, reason="no nginx on this machine")
def test_behind_nginx_under_a_path_a_class_runs_and_is_told_its_end(tmp_path: Path) -> None:
    outer, inner = free_port(), free_port()
    base = f"http://127.0.0.1:{outer}/course/exoabm/"
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f"""
daemon off; pid {tmp_path}/pid; error_log {tmp_path}/errors; worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
    uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
    server {{
        listen 127.0.0.1:{outer};
        location /course/exoabm/ {{
            proxy_pass http://127.0.0.1:{inner}/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
}}
"""
    )
    nginx = subprocess.Popen([str(NGINX), "-c", str(conf), "-p", str(tmp_path)])
    try:
        with ServerProcess("two_cells", "--class", "--port", str(inner), "--base-url", base) as server:
            assert f"readers: {base}?token={server.token}" in server.log
            assert f"teacher: {base}teacher?token=" in server.log
            assert "without encryption" not in server.log
            listening = {
                c.laddr.ip for c in server.ps.net_connections("tcp") if c.status == psutil.CONN_LISTEN
            }
            assert listening == {"127.0.0.1"}, "the proxy is the only way in"
            assert get(f"{base}teacher", cookies_of(base, teacher_token(server)))[0] == 200
            ended, notice, frames = asyncio.run(_until_the_end(server, Client(base, server.token, SMALL)))
    finally:
        nginx.terminate()
        nginx.wait(20)
    assert notice == CLOSING_NOTICE
    assert frames >= 5
    assert ended < 8.0


async def _until_the_end(server: ServerProcess, client: Client) -> tuple[float, str, int]:
    """Run a model, end the server, and see what the reader is told and how long it takes."""
    await client.open()
    await client.press("go")
    end = time.monotonic() + 120
    while len(client.arrivals) < 5 and time.monotonic() < end:
        await asyncio.sleep(0.05)
    ended = await asyncio.to_thread(server.end)
    return ended, client.notice, len(client.arrivals)


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_is_taken_from_the_start_of_a_server_on(shared: bool) -> None:
    """Not first when it answers: a second server found the port free, and failed when it was to serve."""
    with _listener(None, shared=shared) as first, _listener(None, shared=shared) as second:
        port = first.getsockname()[1]
        assert port != second.getsockname()[1]
        with pytest.raises(ResourceError, match=f"port {port} is taken; name another with --port"):
            _listener(port, shared=shared)
    with _listener(port, shared=shared) as again:
        assert again.getsockname()[1] == port


def test_threads_of_readers_who_have_left_end(monkeypatch) -> None:
    """Solara serves each page in a thread of AnyIO, which ends idle ones only when one of them gets work."""
    from anyio._backends._asyncio import WorkerThread

    def threads() -> int:
        return sum(isinstance(each, WorkerThread) for each in threading.enumerate())

    async def readers() -> tuple[int, int]:
        together = threading.Barrier(6)
        await asyncio.gather(*(run_sync(together.wait) for _ in range(6)))
        before, room.open = threads(), True
        parking = asyncio.create_task(room.park())
        for _ in range(600):
            if threads() <= 1:
                break
            await asyncio.sleep(0.05)
        room.open = False
        await parking
        return before, threads()

    room = classroom.Classroom()
    monkeypatch.setattr(classroom, "IDLE", 0.3)
    monkeypatch.setattr(WorkerThread, "MAX_IDLE_TIME", 0)
    before, after = asyncio.run(readers())
    assert before >= 6
    assert after == 1
