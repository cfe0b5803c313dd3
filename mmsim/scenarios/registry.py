# SPDX-License-Identifier: GPL-2.0-only
"""Finding scenarios and variants by name.  (A file of the user's own: ``own_file``.)

A folder ``s<number>_<name>`` of this package whose ``__init__.py`` defines ``SCENARIO`` is a
scenario; there is no list to keep.  Every way of naming something that does not exist ends in a
UsageError that names the nearest things that do.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import lru_cache

import mmsim.scenarios
import mmsim.scenarios.gates
from mmsim.errors import UsageError, nearest
from mmsim.scenarios.api import Scenario, Variant
from mmsim.scenarios.own_file import check_gates, check_names, check_twins


@lru_cache(maxsize=1)
def scenarios() -> tuple[Scenario, ...]:
    """Every scenario of the package, by id."""
    found: list[Scenario] = []
    for info in pkgutil.iter_modules(mmsim.scenarios.__path__):
        if info.ispkg:
            module = importlib.import_module(f"mmsim.scenarios.{info.name}")
            found.append(module.SCENARIO)
    check_names(found)
    check_gates(found)
    check_twins(found)
    return tuple(sorted(found, key=lambda s: s.id))


def find_scenario(name: str, more: Iterable[Scenario] = ()) -> Scenario:
    """By number ("002", "2") or name ("double_free_2002").  Raises UsageError."""
    known = {}
    for scenario in (*scenarios(), *more):
        known[scenario.id] = known[scenario.name] = scenario
    wanted = name.zfill(3) if name.isdigit() else name
    if wanted in known:
        return known[wanted]
    raise UsageError(f"unknown scenario {name!r}{nearest(name, known)}")


def find_variant(name: str, more: Iterable[Scenario] = ()) -> Variant:
    """By id ("002.flawed").  Raises UsageError."""
    known = {v.id: v for s in (*scenarios(), *more) for v in s.variants}
    if name in known:
        return known[name]
    raise UsageError(f"unknown variant {name!r}{nearest(name, known)}")
