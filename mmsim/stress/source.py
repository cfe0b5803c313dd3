# SPDX-License-Identifier: GPL-2.0-only
"""Where variants come from, and how one is made to run.

The campaign, the workers and the pytest fixtures see variants only through a Source, for two
reasons. A worker process must be able to open the very same collection again, from a value
small enough to send it; and the tests can put in a source of their own, so that the counting,
the stopping and the dying of workers are tested without a kernel underneath.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol

from mmsim.errors import UsageError, nearest
from mmsim.stress import endless

SEE = "; `python -m mmsim list` shows all"

if TYPE_CHECKING:
    from mmsim.run import Runner
    from mmsim.scenarios.api import Scenario, Variant
    from mmsim.scenarios.own_file import OwnFile


class Source(Protocol):
    """A collection of scenarios. It crosses process borders, so it must pickle."""

    @property
    def file(self) -> str | None:
        """The user's own scenario file, or None for the scenarios of mmsim."""

    def scenarios(self) -> Sequence[Scenario]: ...
    def engines(self) -> Sequence[str]: ...
    def policies(self) -> Sequence[str]:
        """Names; the first is the default."""

    def runner(
        self, variant: Variant, *, cpus: int, seed: int, engine: str, policy: str
    ) -> Runner: ...


@dataclass(frozen=True)
class Library:
    """The scenarios of mmsim, or those of one file of the user's own, which is executed."""

    file: str | None = None

    def scenarios(self) -> Sequence[Scenario]:
        from mmsim.scenarios import registry

        return registry.scenarios() if self.file is None else self._own(self.file).scenarios

    def claims(self) -> Sequence[Any]:
        """What the file claims; nothing if there is no file."""
        return () if self.file is None else self._own(self.file).claims

    def functions(self) -> Sequence[FunctionType]:
        """Those written in the file; none if there is no file."""
        return () if self.file is None else self._own(self.file).functions

    def levels(self) -> Any:
        """The steps of its races, for `rare`; None if there is no file, or none in it."""
        return None if self.file is None else self._own(self.file).levels

    def _own(self, file: str) -> OwnFile:
        from mmsim.scenarios.own_file import load_file

        with endless.watched(file):
            return load_file(file)

    def engines(self) -> Sequence[str]:
        from mmsim.run import ENGINES

        return ENGINES

    def policies(self) -> Sequence[str]:
        from mmsim.run import POLICIES

        return POLICIES

    def runner(self, variant: Variant, *, cpus: int, seed: int, engine: str, policy: str) -> Runner:
        from mmsim.run import Runner

        return Runner(variant, cpus=cpus, seed=seed, engine=engine, policy=policy)


def all_variants(source: Source) -> dict[str, Variant]:
    """Every variant of the source by id, in the order of the scenarios."""
    return {v.id: v for scenario in source.scenarios() for v in scenario.variants}


def find_variant(source: Source, variant_id: str) -> Variant:
    """The variant of that id, or a message with the nearest names.

    `002.pagelocked@002.flawed` is the first on the cast of the second.
    """
    from mmsim.scenarios.cast import CAST, on_cast_of

    known = all_variants(source)
    right, on_cast, wrong = variant_id.partition(CAST)
    if on_cast and variant_id not in known:
        one, other = find_variant(source, right), find_variant(source, wrong)
        if one.scenario is not other.scenario:
            raise UsageError(f"no variant {variant_id!r}: a cast belongs to its own scenario")
        return on_cast_of(one, other)
    if variant_id not in known:
        raise UsageError(f"no variant {variant_id!r}{nearest(variant_id, known)}{SEE}")
    return known[variant_id]


def select(
    source: Source, scenarios: Iterable[str] = (), variants: Iterable[str] = ()
) -> list[Variant]:
    """The variants that were asked for, in the source's order; everything if nothing was.

    A scenario is given by number or name; a variant by its id, a pattern (``002.*``) or the
    scenario it belongs to. Each may be a comma list. With both, the variants narrow the scenarios.
    """
    known = all_variants(source)
    within = set(known)
    if words := _words(scenarios):
        within = {v for word in words for v in _of_scenario(source, word, "scenario")}
    chosen = within
    if words := _words(variants):
        chosen = {v for word in words for v in _matching(source, known, word)} & within
        if not chosen:
            raise UsageError(f"no variant {', '.join(words)} in {', '.join(_words(scenarios))}")
    return [v for v in known.values() if v.id in chosen]


def _matching(source: Source, known: Iterable[str], word: str) -> list[str]:
    if word in known:
        return [word]
    if not any(c in word for c in "*?["):
        return _of_scenario(source, word, "variant")
    matching = fnmatch.filter(known, word)
    if not matching:
        raise UsageError(f"no variant matches {word!r}{nearest(word, known)}{SEE}")
    return matching


def _words(options: Iterable[str]) -> list[str]:
    words: list[str] = []
    for option in options:
        parts = [part.strip() for part in option.split(",")]
        if not all(parts):
            raise UsageError(f"{option!r} names nothing; give names with commas between them")
        words += parts
    return words


def _of_scenario(source: Source, word: str, what: str) -> list[str]:
    scenarios = source.scenarios()
    number = word.zfill(3) if word.isdigit() else word
    for scenario in scenarios:
        if number == scenario.id or word == scenario.name:
            return [v.id for v in scenario.variants]
    if what == "variant":
        names = [v.id for scenario in scenarios for v in scenario.variants]
    else:
        names = [name for scenario in scenarios for name in (scenario.id, scenario.name)]
    raise UsageError(f"no {what} {word!r}{nearest(word, names)}{SEE}")
