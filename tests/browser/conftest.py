# SPDX-License-Identifier: GPL-2.0-only
"""A real browser, cut off from the network, that fails a test which makes it complain."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsim.cli import main
from tests.report.told import told

NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1280, "height": 720}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; a skip that says what is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"there is no browser here: none of {', '.join(NAMES)}")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to run as root with one
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


Opens = Callable[..., Any]


@pytest.fixture
def opens(chromium: Any) -> Iterator[Opens]:
    """``opens(url, **context options)``: a page.  Errors, and requests elsewhere, fail the test."""
    troubles: list[str] = []
    contexts = []

    def open_page(url: str, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": SIZE, **options})
        contexts.append(context)
        page = context.new_page()
        here = url.partition("#")[0].rpartition("/")[0]
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console",
            lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((here, "data:"))
                else troubles.append(f"asks for {request.url}")
            ),
        )
        if url.startswith("file:"):
            context.set_offline(True)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a failing run of 002.flawed, as `replay --html` draws it."""
    path = tmp_path_factory.mktemp("html") / "flawed.html"
    assert main(["replay", "002.flawed", told("002.flawed")[2], "--html", str(path)]) == 0
    return path.as_uri()


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """The address of a game of 002.flawed on two CPUs, by one server for all tests."""
    command = [sys.executable, "-m", "mmsim", "play", "002.flawed", "--cpus", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        lines = (line.decode().strip() for line in server.stdout)
        yield next(line for line in lines if re.match(r"http://127\.0\.0\.1:\d+/[\w-]+/$", line))
        server.terminate()


@pytest.fixture
def game(served: str) -> str:
    """The same, with everything that another test has done there undone."""
    request = urllib.request.Request(
        f"{served}move",
        json.dumps({"do": "undo", "times": 1_000_000}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert not json.load(answer)["steps"]["n"]
    return served
