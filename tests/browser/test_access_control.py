"""Who is let in, under which names, and how long a seat is kept for one who went silent."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

import pytest
from interruptible_proxy import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Reader, Server


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """A request as it is, without cookies of its own and without following where it is sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    told = {name.lower(): value for name, value in answer.getheaders()}
    answer.read()
    connection.close()
    return answer.status, told


def test_without_the_token_nothing_is_shown(server: Server) -> None:
    name, token = server.cookie
    paths = ("/", "/?token=", "/?token=x", f"/?token={token[:-1]}", f"/?tokens={token}", "/resourcez")
    for path in (*paths, "/_solara/cdn/x.js", "/static/main.js", "/readyz"):
        assert get(server.port, path)[0] == 403, path
    for cookie in (name, f"{name}=", f"{name}={token}x", f"exoabm-1={token}", f"solara-session-id={token}"):
        assert get(server.port, "/", Cookie=cookie)[0] == 403, cookie
    assert get(server.port, "/", Cookie=f"a=b; {name}={token}")[0] == 200


def test_the_token_becomes_a_cookie_and_leaves_the_address(server: Server) -> None:
    name, token = server.cookie
    status, told = get(server.port, f"/?scenario=relay&token={token}&seed=3")
    assert status == 303
    assert told["location"] == "./?scenario=relay&seed=3"
    assert told["set-cookie"] == f"{name}={token}; Path=/; HttpOnly; SameSite=Lax"
    for path, location in (
        ("//evil.example/", "./"),
        ("//evil.example", "./evil.example"),
        ("/a:b", "./a%3Ab"),
    ):
        assert get(server.port, f"{path}?token={token}")[1]["location"] == location, "never another host"
    assert get(server.port, f"/?token={token}", Host="evil.example")[0] == 400
    assert len(token) >= 40


def test_a_new_browser_comes_in_by_the_address(server: Server, browser: Any) -> None:
    page = browser.new_context().new_page()
    page.goto(server.address)
    assert "token" in page.inner_text("body")
    page.goto(f"{server.address}?token={server.cookie[1]}&scenario=two_cells")
    page.wait_for_function("window.exoabmFrames > 0", timeout=60_000)
    assert page.url.endswith("/?scenario=two_cells")
    page.context.close()


def test_a_ticket_lets_in_once() -> None:
    from exoabm.viz.server.access_control import Tokens

    keys = Tokens()
    ticket = keys.ticket
    assert keys.opens(ticket)
    assert not keys.opens(ticket)
    assert keys.opens(keys.token)
    assert keys.opens(keys.token)
    assert not keys.opens("")
    assert Tokens().token != keys.token


@pytest.mark.parametrize("end", ["cut", "silence"])
def test_who_went_away_without_a_word_holds_no_seat(
    small: Server, reader: Callable[..., Reader], browser: Any, end: str
) -> None:
    """Two minutes it once took; a heartbeat and the memory of a kernel are 13 s together."""
    relay = Relay(small.port)
    lost = browser.new_context().new_page()
    name, value = small.cookie
    lost.context.add_cookies([{"name": name, "value": value, "url": small.address}])
    for _ in range(60):  # a seat of a test before may have to be freed
        lost.goto(f"http://127.0.0.1:{relay.port}/")
        lost.wait_for_selector(".exo-full, .exo-stage", timeout=60_000)
        if lost.locator(".exo-stage").count():
            break
        lost.wait_for_timeout(500)
    lost.wait_for_function("window.exoabmFrames > 0", timeout=60_000)
    getattr(relay, end)()
    late = reader(small)
    for _ in range(60):
        late.page.goto(small.address)
        late.page.wait_for_selector(".exo-full, .exo-stage")
        if late.page.locator(".exo-stage").count():
            break
        late.page.wait_for_timeout(500)
    assert late.page.locator(".exo-stage").count() == 1
    late.page.goto("about:blank")
    lost.context.close()
    relay.cut()


def test_behind_a_proxy_that_takes_a_prefix_off(start: Callable[..., Server], browser: Any) -> None:
    """As JupyterHub's: https://hub/user/me/proxy/8765/ is / here; what the page asks for has the prefix."""
    prefix = "/user/me/proxy/1"
    base = f"http://hub.example.org{prefix}/"
    server = start("two_cells", "--base-url", base)
    assert f"{base}?token=" in server.log.read_text()
    relay = Relay(server.port, prefix)
    name, token = server.cookie
    status, told = get(relay.port, f"{prefix}/?token={token}", Host="hub.example.org")
    assert (status, told["location"]) == (303, "./"), "an absolute one gets the prefix of JupyterHub's twice"
    kept = get(server.port, f"{prefix}?token={token}", Host="hub.example.org")[1]
    assert kept["location"] == "./1/", "of a proxy that keeps the prefix, without the last slash"
    assert told["set-cookie"].startswith(f"{name}={token}; Path={prefix}/;")
    assert get(relay.port, f"{prefix}/", Host="hub.example.org")[0] == 403
    assert get(relay.port, f"{prefix}/", Host="other.example.org", Cookie=f"{name}={token}")[0] == 400
    page = browser.new_context().new_page()
    failed: list[str] = []
    page.on("response", lambda r: r.status >= 400 and failed.append(f"{r.status} {r.url}"))
    page.goto(f"http://127.0.0.1:{relay.port}{prefix}/?token={token}")
    page.wait_for_function("window.exoabmFrames > 0", timeout=60_000)
    assert page.url == f"http://127.0.0.1:{relay.port}{prefix}/"
    assert not failed
    page.context.close()
    relay.cut()


@pytest.mark.parametrize("url", ["hub.example.org", "ftp://x/", "https:///a", "https://x/?a=1"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    from exoabm.errors import InputError
    from exoabm.viz.server.access_control import Address

    with pytest.raises(InputError, match="--base-url"):
        Address(8765, url)
