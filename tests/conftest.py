# SPDX-License-Identifier: GPL-2.0-only
"""Carriers whose threads are kept across tests, and a look at the door behind each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.carriers.threads import threads
from mmsim.engine.door import door
from mmsim.engine.execution import Token


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
