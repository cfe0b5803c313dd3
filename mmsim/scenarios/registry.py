# SPDX-License-Identifier: GPL-2.0-only
"""Finding scenarios and variants by name, and a user's own scenario by file.

A folder ``s<number>_<name>`` of this package whose ``__init__.py`` defines ``SCENARIO`` is a
scenario; there is no list to keep.  Every way of naming something that does not exist ends in a
UsageError that names the nearest things that do.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import mmsim.scenarios
import mmsim.scenarios.gates
from mmsim.errors import UsageError
from mmsim.model.era import ERAS
from mmsim.model.gate import GATES
from mmsim.scenarios.api import Scenario, Variant, Verdict

_CONDITION = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


@lru_cache(maxsize=1)
def scenarios() -> tuple[Scenario, ...]:
    """Every scenario of the package, by id."""
    found: list[Scenario] = []
    for info in pkgutil.iter_modules(mmsim.scenarios.__path__):
        if info.ispkg:
            module = importlib.import_module(f"mmsim.scenarios.{info.name}")
            found.append(module.SCENARIO)
    for scenario in found:
        _check_kernel(scenario)
        _check_twins(scenario)
    return tuple(sorted(found, key=lambda s: s.id))


def find_scenario(name: str, more: Iterable[Scenario] = ()) -> Scenario:
    """By number ("002", "2") or name ("double_free_2002").  Raises UsageError."""
    known = {}
    for scenario in (*scenarios(), *more):
        known[scenario.id] = known[scenario.name] = scenario
    wanted = name.zfill(3) if name.isdigit() else name
    if wanted in known:
        return known[wanted]
    raise UsageError(f"unknown scenario {name!r}: {_nearest(name, known)}")


def find_variant(name: str, more: Iterable[Scenario] = ()) -> Variant:
    """By id ("002.flawed").  Raises UsageError."""
    known = {v.id: v for s in (*scenarios(), *more) for v in s.variants}
    if name in known:
        return known[name]
    raise UsageError(f"unknown variant {name!r}: {_nearest(name, known)}")


@lru_cache(maxsize=16)
def load_file(path: str) -> Scenario:
    """The ``SCENARIO`` of a Python file.  Raises UsageError with one line if it has none."""
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"scenario file {path!r}: no such file")
    name = "mmsim_user_" + hashlib.sha1(str(file.resolve()).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"scenario file {path!r}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        scenario = getattr(module, "SCENARIO", None)
        if not isinstance(scenario, Scenario):
            raise UsageError(f"scenario file {path!r}: it has to define SCENARIO = Scenario(...)")
        for variant in scenario.variants:
            _check_declared(variant)
        _check_kernel(scenario)
        _check_twins(scenario)
    except UsageError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"line {last.lineno}" if last.filename == str(file) else "while it was read"
        if isinstance(error, SyntaxError):
            where = f"line {error.lineno}"
        raise UsageError(
            f"scenario file {path!r}: {where}: {type(error).__name__}: {_one_line(error)}"
        ) from error
    return scenario


def _check_declared(variant: Any) -> None:
    """A declaration that no run could be compared with is told before the runs, not after."""
    who = f"variant {variant.id}"
    if not isinstance(variant.expect, Verdict):
        allowed = ", ".join(verdict.name for verdict in Verdict)
        raise UsageError(f"{who}: expect is {variant.expect!r}; it has to be one of {allowed}")
    for name in ("findings", "gates"):
        if isinstance(getattr(variant, name), str):
            raise UsageError(f"{who}: {name} is a text; it has to be a tuple of texts")
    for pattern in variant.findings:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"{who}: {pattern!r} is no regular expression: {error}") from error
    for metric, condition in variant.metrics.items():
        if not _CONDITION.fullmatch(condition):
            raise UsageError(
                f"{who}: metric {metric}: {condition!r} is not a comparison and a number, "
                "such as '> 0'"
            )


def _check_kernel(scenario: Scenario) -> None:
    for variant in scenario.variants:
        for gate in variant.gates:
            if gate not in GATES:
                raise UsageError(
                    f"variant {variant.id}: gate {gate!r} is not declared: {_nearest(gate, GATES)}"
                )
        if variant.era not in ERAS:
            raise UsageError(
                f"variant {variant.id}: unknown era {variant.era!r}: it has to be one of "
                f"{', '.join(ERAS)}"
            )


def _check_twins(scenario: Scenario) -> None:
    """A right variant is compared with wrong ones of its own scenario."""
    known = {variant.id: variant for variant in scenario.variants}
    for variant in scenario.variants:
        who = f"variant {variant.id}: against"
        if variant.twins and variant.expect is not Verdict.NEVER:
            raise UsageError(f"{who} is for variants that are declared Never")
        for twin in variant.twins:
            if twin not in known:
                raise UsageError(f"{who} {twin!r}: no such variant: {_nearest(twin, known)}")
            if known[twin].expect is Verdict.NEVER:
                raise UsageError(f"{who} {twin!r}: that one is declared Never, too")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no message"


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    if near:
        return f"did you mean {' or '.join(near)}? (--list shows all)"
    return f"known are {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"
