# SPDX-License-Identifier: GPL-2.0-only
"""For all tests: the corpus comes first, what is made once, a look at the door behind each of them,
and what they cost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from mmsim import cli
from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.carriers.threads import threads
from mmsim.engine.door import door
from mmsim.engine.execution import Token
from tests.stress.in_threads import use_threads


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The corpus first: seconds, and they say which races a change of the code has moved."""
    items.sort(key=lambda item: item.path.parent.name != "corpus")


@pytest.fixture(autouse=True)
def door_is_shut_behind_us() -> Iterator[None]:
    """A run that ends leaves points silent; else the next test would count or hang."""
    yield
    assert door.execution is None
    assert door.left == float("inf")


@pytest.fixture(scope="session", autouse=True)
def one_parser() -> Iterator[None]:
    """The parser of all commands: to build it takes longer than most commands that are tried."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "build", cache(cli.build))
        yield


@pytest.fixture
def workers_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a campaign with one worker: a process takes a second to start."""
    use_threads(monkeypatch)


@pytest.fixture(scope="session")
def token() -> Iterator[Token]:
    """The token carrier, its threads kept for the whole session."""
    carrier = threads()
    yield carrier
    carrier.close()


@pytest.fixture(scope="session")
def green() -> Iterator[Token]:
    """The greenlet carrier."""
    carrier = greenlets()
    yield carrier
    carrier.close()


@pytest.fixture(scope="session")
def free() -> Iterator[FreeCarrier]:
    """The free carrier, its threads kept for the whole session."""
    carrier = FreeCarrier()
    yield carrier
    carrier.close()


# -- what they cost -----------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cpu-seconds", action="store_true", help="CPU time of the tests, by folder and by file"
    )


class Cost:
    """CPU time of this process and of those it started and waited for, since the last look."""

    def __init__(self) -> None:
        self.seen = 0.0

    def since(self) -> float:
        before, self.seen = self.seen, sum(os.times()[:4])
        return self.seen - before


_cost = Cost()
_spent: Counter[str] = Counter()


def pytest_runtestloop() -> None:
    _cost.since()  # collection is nobody's


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """The report carries it from a worker of xdist to the process that prints."""
    outcome: Any = yield
    outcome.get_result().cpu_seconds = _cost.since()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    file = report.nodeid.partition("::")[0]
    for name in (os.path.dirname(file) + "/", file):
        _spent[name] += getattr(report, "cpu_seconds", 0.0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("--cpu-seconds"):
        folders = Counter({name: n for name, n in _spent.items() if name.endswith("/")})
        terminalreporter.section(f"{folders.total():.0f} CPU seconds, collection left out")
        for names in (folders, _spent - folders):
            for name, seconds in names.most_common(25):
                terminalreporter.write_line(f"{seconds:7.1f}  {name}")
