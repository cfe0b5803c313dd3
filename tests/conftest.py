# SPDX-License-Identifier: GPL-2.0-only
"""For all tests: the corpus comes first, threads are kept, the door is looked at behind each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.carriers.threads import threads
from mmsim.engine.door import door
from mmsim.engine.execution import Token


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The corpus first: seconds, and they say which races a change of the code has moved."""
    items.sort(key=lambda item: item.path.parent.name != "corpus")


@pytest.fixture(autouse=True)
def door_is_shut_behind_us() -> Iterator[None]:
    """A run that ends leaves points silent; else the next test would count or hang."""
    yield
    assert door.execution is None
    assert door.left == float("inf")


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
