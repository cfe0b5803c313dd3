# SPDX-License-Identifier: GPL-2.0-only
"""What is made once for all tests, and a look at the door behind each of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from mmsim import cli
from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.carriers.threads import threads
from mmsim.engine.door import door
from mmsim.engine.execution import Token
from tests.stress.in_threads import use_threads


@pytest.fixture(autouse=True)
def door_is_shut_behind_us() -> Iterator[None]:
    """A run that ends leaves points silent; else the next test would count or hang."""
    yield
    assert door.execution is None
    assert door.left == float("inf")


@pytest.fixture(scope="session", autouse=True)
def one_parser() -> Iterator[None]:
    """The command line of all commands: to build it takes longer than most commands that are tried."""
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
