# SPDX-License-Identifier: GPL-2.0-only
"""Campaign profiles: how many runs a variant is worth, as data.

A profile is a small TOML file in `stress/`:

    summary = "what this campaign is for"
    scenarios = ["002", "000"]     # or variants = ["002.*"]; everything if neither is there
    store = "night.sqlite"         # keep the campaign there, as --store does
    propose = true                 # and propose lines of new kinds of findings for stress/corpus/
    cpus = 8                       # cpus, seed, engine, policy: the command line wins over these

    [never]                        # budgets by declared verdict
    runs = 400                     # each with its own cast
    most = 20000                   # and up to so many, if that is what its twin's rate asks for
    [sometimes]
    runs = 3000                    # at most
    stop_after = 10                # findings that are enough
    [always]
    runs = 30

    [[variant]]                    # exceptions, by id or pattern; a later one wins
    id = "003.stale-pte"
    runs = 20000
    stop_after = 1

A right variant and its twin (`against`) run until the clean runs of the one mean something beside
the findings of the other; without `most` the runs are fixed, and may be too few to tell. A profile
that says `pairs = false` at the top compares nothing.

Budgets are in runs and not in seconds, because then two people with the same seed count the same
things, whatever their machines. `seconds = 600` at the top gives that up for a campaign of fixed
length.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmsim.engine.policy.portfolio import Portfolio
from mmsim.errors import UsageError, one_line

PLACE = Path("stress")
VERDICTS = ("never", "sometimes", "always")
_TOP = (
    "summary",
    "scenarios",
    "variants",
    "skip",
    "cpus",
    "seed",
    "engine",
    "policy",
    "seconds",
    "pairs",
    "store",
    "propose",
)
_BUDGET = ("runs", "stop_after", "most")
MOST = 2**64


@dataclass(frozen=True)
class Budget:
    """How long to go on with one variant: at most so many runs, or until so many findings."""

    runs: int | None = None
    stop_after: int | None = None
    most: int | None = None
    """Runs that a right variant may get for the sake of a pair; None: `runs` and no more."""
    portfolio: Portfolio | None = None
    """How the runs are shared among policies; None where the campaign has only one."""
    learns: bool = False
    """The shares are only those to begin with: see `odds`."""


@dataclass(frozen=True)
class Override:
    """A budget for the variants whose id matches a pattern."""

    pattern: str
    budget: Budget


@dataclass(frozen=True)
class Profile:
    """A campaign profile, checked."""

    name: str
    summary: str = ""
    scenarios: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    cpus: int | None = None
    seed: int | None = None
    engine: str | None = None
    policy: str | None = None
    seconds: float | None = None
    pairs: bool = True
    """Right variants are compared with their twins."""
    skip: tuple[str, ...] = ()
    """Variants whose races random runs hardly ever meet: a search settles them."""
    store: str | None = None
    """A file in the working directory that keeps the campaign, unless another one is named."""
    propose: bool = False
    """Make lines of kinds of findings that the corpus does not have, and keep them in the store."""
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    built_in: bool = False
    """It speaks of the variants of mmsim, whatever is run."""

    def budget(self, variant_id: str, verdict: str) -> Budget:
        """The budget of one variant: the last override that matches, else its verdict's."""
        chosen = self.budgets.get(verdict.lower(), Budget(runs=1000))
        for override in self.overrides:
            if fnmatch.fnmatchcase(variant_id, override.pattern):
                chosen = Budget(
                    override.budget.runs or chosen.runs,
                    override.budget.stop_after or chosen.stop_after,
                    override.budget.most or chosen.most,
                )
        return chosen

    def check_ids(self, known: Iterable[str]) -> None:
        """Refuse a profile that speaks of variants nobody has: it has gone stale."""
        ids = list(known)
        for override in self.overrides:
            if not fnmatch.filter(ids, override.pattern):
                raise UsageError(f"profile {self.name}: no variant matches {override.pattern!r}")


def directories() -> list[Path]:
    """Where a bare profile name is looked up: in the checkout, in the installed package.

    Not in the working directory: what lies there is not taken for one of these by its name.
    """
    package = Path(__file__).resolve().parent
    return [package.parent.parent / PLACE, package / "profiles"]


def available() -> dict[str, Path]:
    """The profiles that can be given by name."""
    found: dict[str, Path] = {}
    for directory in directories():
        if directory.is_dir():
            for path in sorted(directory.glob("*.toml")):
                found.setdefault(path.stem, path)
    return found


def load(name: str) -> Profile:
    """Read a profile by path (`./mine.toml`) or by bare name (`smoke`)."""
    known = available()
    path = known.get(name, Path(name))
    try:
        if not path.is_file() or not (name in known or "/" in name or path.suffix):
            why = "does not exist"
            if path.is_dir():
                why = "is a directory"
            elif path.is_file():
                why = f"is none of the built-in ones; for the file give './{name}'"
            shown = ", ".join(sorted(known)) or "none"
            raise UsageError(f"profile {_short(name)} {why}; give a .toml file or one of: {shown}")
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"profile {_short(name)} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise UsageError(f"profile {_short(name)} is nested too deeply") from None
    except ValueError as error:  # no TOML, no UTF-8, a number of 5,000 digits, a NUL in the name
        raise UsageError(f"profile {_short(name)} is not valid TOML: {one_line(error)}") from None
    return replace(parse(path.stem, data), built_in=name in known)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def parse(name: str, data: Mapping[str, Any]) -> Profile:
    """A profile from its TOML data, every key checked."""
    allowed = (*_TOP, *VERDICTS, "variant")
    for key in data:
        if key not in allowed:
            known = ", ".join(allowed)
            raise UsageError(f"profile {name}: unknown key {_short(key)}; allowed: {known}")
    overrides = data.get("variant", [])
    if not isinstance(overrides, list) or not all(isinstance(o, dict) for o in overrides):
        raise UsageError(f"profile {name}: exceptions are written as [[variant]] tables")
    seconds = data.get("seconds")
    if seconds is not None and not (_is_number(seconds) and 0 < seconds < 1e9):
        raise UsageError(f"profile {name}: seconds = {_short(seconds)} is not a number above 0")
    return Profile(
        name=name,
        summary=_text(name, data, "summary") or "",
        scenarios=_texts(name, data, "scenarios"),
        variants=_texts(name, data, "variants"),
        cpus=_whole(name, data, "cpus"),
        seed=_whole(name, data, "seed", least=0),
        engine=_text(name, data, "engine"),
        policy=_text(name, data, "policy"),
        seconds=seconds,
        pairs=_yes_no(name, data, "pairs", default=True),
        skip=_texts(name, data, "skip"),
        store=_text(name, data, "store"),
        propose=_yes_no(name, data, "propose", default=False),
        budgets={v: _budget(name, data[v], f"[{v}]") for v in VERDICTS if v in data},
        overrides=tuple(_override(name, o) for o in overrides),
    )


def _budget(name: str, data: object, where: str) -> Budget:
    if not isinstance(data, dict):
        raise UsageError(f"profile {name}: {where} is a table with {', '.join(_BUDGET)}")
    for key in data:
        if key not in _BUDGET:
            raise UsageError(
                f"profile {name}: unknown key {key!r} in {where}; allowed: {', '.join(_BUDGET)}"
            )
    runs, stop_after, most = (_whole(name, data, key) for key in _BUDGET)
    return Budget(runs, stop_after, most)


def _override(name: str, data: Mapping[str, Any]) -> Override:
    pattern = data.get("id")
    if not isinstance(pattern, str) or not pattern:
        raise UsageError(f"profile {name}: a [[variant]] needs an id")
    rest = {key: value for key, value in data.items() if key != "id"}
    return Override(pattern, _budget(name, rest, f"[[variant]] {pattern}"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(name: str, data: Mapping[str, Any], key: str, least: int = 1) -> int | None:
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < MOST:
        raise UsageError(
            f"profile {name}: {key} = {_short(value)} is not a whole number of at least {least}"
        )
    return value


def _yes_no(name: str, data: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = data.get(key, default)
    if not isinstance(value, bool):
        raise UsageError(f"profile {name}: {key} = {value!r} is neither true nor false")
    return value


def _text(name: str, data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"profile {name}: {key} = {_short(value)} is not a text")
    return value


def _texts(name: str, data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"profile {name}: {key} is a list of texts")
    return tuple(value)
