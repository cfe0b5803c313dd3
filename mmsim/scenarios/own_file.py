# SPDX-License-Identifier: GPL-2.0-only
"""A scenario file of the user's own: executed, and looked over before anything is run.

The file is a Python program and is executed as one. It defines ``SCENARIO``, or ``SCENARIOS`` if
there are several, and perhaps ``CLAIMS`` and ``LEVELS``. Whatever is wrong with it ends in a
UsageError of one line that says where and what is allowed: a declaration that no run could be
compared with is told before the runs, not after them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

import mmsim
import mmsim.scenarios.gates  # the kernel's own functions ask for them
from mmsim.errors import UsageError, nearest, one_line
from mmsim.model.cite import forget
from mmsim.model.era import ERAS
from mmsim.model.gate import GATES
from mmsim.scenarios.api import Scenario, Variant, Verdict

CONDITION = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
"""What a variant says of a metric: a comparison and a number."""
_ID = re.compile(r"\w[\w.+:-]*")
_ASKED = re.compile(r"""(?:IS_ENABLED\(|config\.get\(|config\[)\s*["'](\w+)["']""")
_NO_ARGUMENT = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_BUILT_IN = ("PREEMPT", "SMP")
LONGEST_ID = 100


@dataclass(frozen=True)
class OwnFile:
    """What a file defines. ``claims`` are told by ``python -m mmsim claims --file``, ``functions``
    by ``where --file``; ``levels`` are for ``rare --file``, None if there are none.
    """

    scenarios: tuple[Scenario, ...]
    claims: tuple[Any, ...]
    functions: tuple[FunctionType, ...]
    levels: Any = None


def load_file(path: str) -> OwnFile:
    """Execute a file and look over what it defines; the same file, unchanged, is executed once.

    Raises UsageError.
    """
    try:
        file = Path(path).resolve()
        if not file.is_file():
            raise UsageError(f"scenario file {path!r}: no such file")
        stat = file.stat()
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, a NUL, links in a ring
        why = getattr(error, "strerror", None) or one_line(error)
        shown = repr(path if len(path) <= 60 else f"{path[:60]}...")
        raise UsageError(f"scenario file {shown}: {why}") from error
    try:
        return _load(file, (stat.st_mtime_ns, stat.st_size))
    except UsageError as error:
        raise UsageError(f"scenario file {path!r}: {one_line(error)}") from error


_declared: dict[Path, set[str]] = {}
"""The gates that a file has declared: it may declare them again when it has changed."""


@lru_cache(maxsize=64)
def _load(file: Path, version: tuple[int, int]) -> OwnFile:
    name = "mmsim_user_" + hashlib.sha1(str(file).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError("not a Python file; its name has to end in .py")
    for gate in _declared.pop(file, ()):
        GATES.pop(gate, None)
    forget(str(file))
    before = set(GATES)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        found = _look_over(module, file)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(_blame(error, file)) from error
    finally:
        _declared[file] = set(GATES) - before
    return found


def _blame(error: BaseException, file: Path) -> str:
    """Where in the file, and what."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file)
    ]
    where = f"line {lines[-1]}" if lines else "while it was read"
    if isinstance(error, SyntaxError):
        where = f"line {error.lineno}"
    return f"{where}: {type(error).__name__}: {one_line(error)}{_meant(error)}"


def _meant(error: BaseException) -> str:
    """The nearest argument, if one of Scenario's or Variant's is misspelt."""
    found = _NO_ARGUMENT.search(str(error)) if isinstance(error, TypeError) else None
    made = {kind.__name__: kind for kind in (Scenario, Variant)}.get(found[1]) if found else None
    if found is None or made is None:
        return ""
    return nearest(found[2], [field.name for field in fields(made) if field.init])


def _look_over(module: Any, file: Path) -> OwnFile:
    scenarios = _scenarios(module)
    for scenario in scenarios:
        _check_scenario(scenario)
        if not scenario.file or not Path(scenario.file).is_file():
            scenario.file = str(file)
        for variant in scenario.variants:
            _check_variant(variant, file)
    check_names(scenarios)
    check_gates(scenarios)
    check_twins(scenarios)
    claims = getattr(module, "CLAIMS", ())
    if not isinstance(claims, tuple | list):
        raise UsageError("CLAIMS has to be a tuple of claims")
    levels = getattr(module, "LEVELS", None)
    return OwnFile(scenarios, tuple(claims), _functions(module, file), levels)


def _functions(module: Any, file: Path) -> tuple[FunctionType, ...]:
    """Those that are written there, in the order of the file."""
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, FunctionType) and value.__code__.co_filename == str(file)
    ]
    return tuple(sorted(set(found), key=lambda f: f.__code__.co_firstlineno))


def _scenarios(module: Any) -> tuple[Scenario, ...]:
    found = getattr(module, "SCENARIOS", None)
    if found is None:
        found = (getattr(module, "SCENARIO", None),)
    if not isinstance(found, tuple | list) or not found:
        raise UsageError("SCENARIOS has to be a tuple of scenarios")
    if not all(isinstance(scenario, Scenario) for scenario in found):
        raise UsageError(
            "it has to define SCENARIO = Scenario(...), or SCENARIOS = (Scenario(...), ...)"
        )
    return tuple(found)


def _check_scenario(scenario: Any) -> None:
    who = f"scenario {_short(scenario.id)}"
    _check_id(who, "id", scenario.id)
    _check_id(who, "name", scenario.name)
    for name in ("title", "story", "thread", "file"):
        if not isinstance(getattr(scenario, name), str | None):
            raise UsageError(f"{who}: {name} is {_short(getattr(scenario, name))}, and not a text")
    if not callable(scenario.setup):
        raise UsageError(f"{who}: setup is {_short(scenario.setup)}; it has to be a function")
    if scenario.check is not None and not callable(scenario.check):
        raise UsageError(f"{who}: check is {_short(scenario.check)}; it has to be a function")
    steps = scenario.max_steps
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise UsageError(f"{who}: max_steps is {_short(steps)}; it has to be a number above 0")
    if not isinstance(scenario.variants, tuple | list) or not scenario.variants:
        raise UsageError(f"{who}: variants has to be a tuple with at least one Variant")


def _check_variant(variant: Any, file: Path) -> None:
    if not isinstance(variant, Variant):
        raise UsageError(f"{_short(variant)} stands among the variants and is none")
    who = f"variant {_short(variant.id)}"
    _check_id(who, "id", variant.id)
    expect: object = variant.expect
    if not isinstance(expect, Verdict):
        allowed = ", ".join(verdict.name for verdict in Verdict)
        raise UsageError(f"{who}: expect is {_short(expect)}; it has to be one of {allowed}")
    if not isinstance(variant.summary, str):
        raise UsageError(f"{who}: summary is {_short(variant.summary)}, and not a text")
    for name in ("findings", "gates"):
        value = getattr(variant, name)
        if isinstance(value, str):
            raise UsageError(f"{who}: {name} is a text; it has to be a tuple of texts")
        if not isinstance(value, tuple | list) or not all(isinstance(v, str) for v in value):
            raise UsageError(f"{who}: {name} is {_short(value)}; it has to be a tuple of texts")
    for pattern in variant.findings:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"{who}: {pattern!r} is no regular expression: {error}") from error
    for name in ("config", "metrics"):
        value = getattr(variant, name)
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise UsageError(f"{who}: {name} is {_short(value)}; it has to be a dict with names")
    for metric, condition in variant.metrics.items():
        if not isinstance(condition, str) or not CONDITION.fullmatch(condition):
            raise UsageError(
                f"{who}: metric {metric}: {_short(condition)} is not a comparison and a number, "
                "such as '> 0'"
            )
    if variant.era not in ERAS:
        hint = nearest(str(variant.era), ERAS)
        raise UsageError(f"{who}: no era {_short(variant.era)}{hint}")
    _check_config(who, variant.config, file)


def _check_config(who: str, config: Mapping[str, Any], file: Path) -> None:
    """An option that nobody asks for is a slip of the pen: the variant would be another's twin."""
    for name in config:
        if name in _BUILT_IN or name in _options(file):
            continue
        known = {*_BUILT_IN, *_options(file), *kernel_options()}
        if name not in known:
            raise UsageError(f"{who}: no code asks for the option {name!r}{nearest(name, known)}")


def _options(file: Path) -> set[str]:
    return set(_ASKED.findall(file.read_text(encoding="utf-8", errors="replace")))


@lru_cache(maxsize=1)
def kernel_options() -> frozenset[str]:
    """Every option that mmsim's own code asks for."""
    files = Path(mmsim.__file__).parent.rglob("*.py")
    return frozenset(option for file in files for option in _options(file))


def _check_id(who: str, what: str, value: object) -> None:
    if isinstance(value, str) and len(value) <= LONGEST_ID and _ID.fullmatch(value):
        return
    raise UsageError(
        f"{who}: {what} is {_short(value)}; it has to be a word of letters, digits and . _ - + : "
        f"of at most {LONGEST_ID} characters"
    )


def check_names(scenarios: Iterable[Scenario]) -> None:
    """Two with one name: one of them would never be run. Raises UsageError."""
    found = list(scenarios)
    names = {
        "scenarios have the id": [scenario.id for scenario in found],
        "scenarios have the name": [scenario.name for scenario in found],
        "variants have the id": [v.id for scenario in found for v in scenario.variants],
    }
    for what, given in names.items():
        name, times = Counter(given).most_common(1)[0]
        if times > 1:
            raise UsageError(f"{times} {what} {name!r}")


def check_gates(scenarios: Iterable[Scenario]) -> None:
    """Every gate that a variant names is declared. Raises UsageError."""
    for scenario in scenarios:
        for variant in scenario.variants:
            for gate in variant.gates:
                if gate not in GATES:
                    hint = nearest(gate, GATES)
                    raise UsageError(f"variant {variant.id}: gate {gate!r} is not declared{hint}")


def check_twins(scenarios: Iterable[Scenario]) -> None:
    """A right variant is compared with wrong ones of its own scenario.  Raises UsageError."""
    for scenario in scenarios:
        known = {variant.id: variant for variant in scenario.variants}
        for variant in scenario.variants:
            who = f"variant {variant.id}: against"
            if variant.twins and variant.expect is not Verdict.NEVER:
                raise UsageError(f"{who} is for variants that are declared Never")
            for twin in variant.twins:
                if twin not in known:
                    raise UsageError(f"{who} {twin!r}: no such variant{nearest(twin, known)}")
                if known[twin].expect is Verdict.NEVER:
                    raise UsageError(f"{who} {twin!r}: that one is declared Never, too")


def _short(value: object) -> str:
    """A value as it would be written, on one line and not too long."""
    text = one_line(repr(value))
    return text if len(text) <= 60 else f"{text[:60]}..."
