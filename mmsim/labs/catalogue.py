# SPDX-License-Identifier: GPL-2.0-only
"""The labs there are: folders ``labN`` of this package, each with a ``LAB``."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import lru_cache

import mmsim.labs
from mmsim.errors import UsageError
from mmsim.labs.lab import Lab


@lru_cache(maxsize=1)
def numbers() -> tuple[int, ...]:
    """Of all labs."""
    found = [re.fullmatch(r"lab(\d+)", info.name) for info in pkgutil.iter_modules(_where())]
    return tuple(sorted(int(match[1]) for match in found if match))


def labs() -> list[Lab]:
    """All of them, in order."""
    return [find(number) for number in numbers()]


def find(number: int) -> Lab:
    """One of them.  Raises UsageError."""
    if number not in numbers():
        known = ", ".join(map(str, numbers()))
        raise UsageError(f"there is no lab {number}; there are {known}: `python -m mmsim lab list`")
    lab: Lab = importlib.import_module(f"mmsim.labs.lab{number}").LAB
    return lab


def _where() -> list[str]:
    return list(mmsim.labs.__path__)
