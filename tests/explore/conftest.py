# SPDX-License-Identifier: GPL-2.0-only
"""The execution on which these tests explore."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.execution import Token


@pytest.fixture
def green() -> Iterator[Token]:
    """An execution on greenlets."""
    token = greenlets()
    yield token
    token.close()
