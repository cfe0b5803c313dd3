# SPDX-License-Identifier: GPL-2.0-only
"""The game's server: what it answers, and to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from mmsim.play.known import find
from mmsim.play.web import Table, application
from tests.play.games import flawed

pytest.importorskip("starlette", reason="the extra `lab` is not installed")
httpx = pytest.importorskip("httpx")
BASE = "http://127.0.0.1:1"
TOKEN = "a-token"
JSON = {"Content-Type": "application/json"}


class Client:
    """Asks the application in this thread, which is where the engine's stacks belong."""

    def __init__(self, app: Any) -> None:
        self._transport = httpx.ASGITransport(app=app)

    def get(self, path: str, **options: Any) -> Any:
        return asyncio.run(self._ask("GET", path, options))

    def post(self, path: str, **options: Any) -> Any:
        return asyncio.run(self._ask("POST", path, options))

    async def _ask(self, method: str, path: str, options: dict[str, Any]) -> Any:
        async with httpx.AsyncClient(transport=self._transport, base_url=BASE) as client:
            return await client.request(method, path, **options)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with flawed() as session:
        table = Table(session, find(session), lambda line, over: f"{over} {line}")
        yield Client(application(table, TOKEN))


def move(client: Client, **asked: Any) -> dict[str, Any]:
    answer = client.post(f"/{TOKEN}/move", json=asked)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()
    return data


def test_the_page(client: Client) -> None:
    answer = client.get(f"/{TOKEN}/")
    assert answer.status_code == 200
    assert 'class="play"' in answer.text
    assert "connect-src &#x27;self&#x27;" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/move", f"/{TOKEN}/other", "/docs"])
def test_nothing_is_served_beyond(client: Client, path: str) -> None:
    assert client.get(path).status_code in (404, 405)
    assert client.post(path, json={"do": "undo"}).status_code in (404, 405)


def test_another_name_for_this_host_is_refused(client: Client) -> None:
    """A page whose name was made to point here knows no token; with one it is refused, too."""
    assert client.get(f"/{TOKEN}/", headers={"Host": "evil.example:1"}).status_code == 404


def test_a_form_of_another_page_is_refused(client: Client) -> None:
    answer = client.post(f"/{TOKEN}/move", content='{"do":"undo"}')
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"do": "everything"},
        {"do": "step"},
        {"do": "step", "ctx": "0"},
        {"do": "step", "ctx": True},
        {"do": "step", "ctx": 77},
        {"do": "run", "ctx": 0, "until": "dawn"},
        {"do": "undo", "times": -1},
    ],
)
def test_bad_moves_are_answered_in_words(client: Client, asked: dict[str, Any]) -> None:
    answer = client.post(f"/{TOKEN}/move", json=asked)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert client.post(f"/{TOKEN}/move", content="{", headers=JSON).status_code == 400
    assert client.post(f"/{TOKEN}/move", content="[1]", headers=JSON).status_code == 422
    assert client.post(f"/{TOKEN}/move", content=" " * 9_999, headers=JSON).status_code == 413


def test_a_game(client: Client) -> None:
    state = move(client, do="undo", times=100)
    kswapd = next(k for k, c in enumerate(state["contexts"]) if c["comm"] == "kswapd")
    id = state["play"]["contexts"][kswapd]["id"]
    state = move(client, do="step", ctx=id)
    state = move(client, do="run", ctx=id, until="lock")
    assert state["play"]["contexts"][kswapd]["next"] == "take pagemap_lru_lock"
    assert state["standing"][str(kswapd)]
    steps = len(state["steps"]["n"])
    assert len(move(client, do="undo")["steps"]["n"]) < steps
    state = move(client, do="show")
    assert state["play"]["undone"] > 10
    state = move(client, do="redo", times=1000)
    assert state["play"]["won"]
    assert "double free" in state["play"]["report"]
    assert state["play"]["line"].startswith("True mm1:2:")
    assert "7 February" in state["play"]["story"]
