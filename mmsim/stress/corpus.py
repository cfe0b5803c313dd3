# SPDX-License-Identifier: GPL-2.0-only
"""The corpus: of every kind of finding of every variant that fails, one small line.

It stands in `stress/corpus/lines.toml`, sorted, a table a kind, so that a review sees what became
smaller, what is new and what is gone. To replay all of it takes seconds, and says before any
sampling does which races a change of the code has moved.

A line that no longer comes to its finding is *stale*: mostly because the modelled code has other
accesses than before. Then the races are looked for again, as the default campaign does it; what
that does not find is taken from the record of proofs, with the small cast it was found in.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsim.engine.schedule import BadSchedule, Schedule
from mmsim.errors import StaleSchedule, UsageError, one_line
from mmsim.proofs import record
from mmsim.proofs.prove import pairs_of
from mmsim.scenarios.cast import with_cast
from mmsim.stress import interrupts, profile, shrinking
from mmsim.stress.settings import Request, resolve
from mmsim.stress.shrinking import Shrinking
from mmsim.stress.source import Library, all_variants, find_variant
from mmsim.stress.store import write_text
from mmsim.stress.tally import Shrunk

if TYPE_CHECKING:
    from mmsim.run import Runner
    from mmsim.scenarios.api import Variant

NAME = Path("corpus") / "lines.toml"
HEAD = """\
# SPDX-License-Identifier: GPL-2.0-only
#
# The smallest run known of every kind of finding of every variant that fails.
# `python -m mmsim corpus check` replays all; `... corpus refresh VARIANT` makes lines anew.
"""
SOURCE = Library()
_TEXTS = ("variant", "fingerprint", "title", "line")
_NUMBERS = ("preemptions", "turns", "points")
_MORE = ("old_values", "cast")


@dataclass(frozen=True)
class Entry:
    """A kind of finding of a variant, and a line that ends in it."""

    variant: str
    fingerprint: str
    title: str
    line: str
    preemptions: int
    turns: int
    points: int
    old_values: int | None = None
    cast: str = ""
    """The small cast that it was found in; empty: the variant's own people."""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.variant, self.fingerprint

    @property
    def size(self) -> tuple[bool, int, int, int, int]:
        """The smaller, the better. A line of the variant's own people comes before any other."""
        return bool(self.cast), self.old_values or 0, self.preemptions, self.turns, self.points

    @property
    def people(self) -> Variant:
        """The variant with the cast of the line. Raises UsageError if there is none."""
        variant = find_variant(SOURCE, self.variant)
        if not self.cast:
            return variant
        if self.cast not in variant.scenario.casts:
            raise UsageError(f"{self.variant} has no cast {self.cast!r}")
        return with_cast(variant, self.cast)


def entry(variant: str, shrunk: Shrunk, cast: str = "") -> Entry:
    """The entry of a line that was made small."""
    finding, size = shrunk.sample.finding, shrunk.size
    return Entry(
        variant,
        finding.fingerprint,
        finding.title,
        shrunk.sample.schedule,
        size.preemptions,
        size.turns,
        size.points,
        size.old_values,
        cast,
    )


def shipped() -> Path:
    """The corpus of this checkout, or of the installed package. Raises UsageError."""
    for directory in profile.directories():
        if (directory / NAME).is_file():
            return directory / NAME
    raise UsageError(f"this copy of mmsim has no corpus: there is no {profile.PLACE / NAME}")


def read(file: Path) -> list[Entry]:
    """The entries of a file, in its order. Raises UsageError for one that is none."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"corpus {file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"corpus {file} is not valid TOML: {one_line(error)}") from None
    rows = data.get("finding", [])
    if set(data) - {"finding"} or not isinstance(rows, list):
        raise UsageError(f"corpus {file}: it consists of [[finding]] tables and nothing else")
    entries = [_entry(file, place, row) for place, row in enumerate(rows, 1)]
    seen: set[tuple[str, str]] = set()
    for one in entries:
        if one.key in seen:
            raise UsageError(f"corpus {file}: {one.variant} {one.fingerprint} is there twice")
        seen.add(one.key)
    return entries


def _entry(file: Path, place: int, row: Any) -> Entry:
    where = f"corpus {file}: [[finding]] number {place}"
    if not isinstance(row, dict):
        raise UsageError(f"{where} is no table")
    missing = [key for key in (*_TEXTS, *_NUMBERS) if key not in row]
    unknown = [key for key in row if key not in (*_TEXTS, *_NUMBERS, *_MORE)]
    if missing or unknown:
        what = f"has no {missing[0]}" if missing else f"has an unknown key {unknown[0]!r}"
        allowed = ", ".join((*_TEXTS, *_NUMBERS, *_MORE))
        raise UsageError(f"{where} {what}; its keys are {allowed}")
    for key, value in row.items():
        wanted = str if key in (*_TEXTS, "cast") else int
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise UsageError(f"{where}: {key} = {value!r} is no {_WORDS[wanted]}")
    return Entry(**row)


_WORDS = {str: "text", int: "whole number"}


def text(entries: Iterable[Entry]) -> str:
    """The entries as TOML, sorted."""
    return "".join("\n" + _table(one) for one in sorted(entries, key=lambda one: one.key))


def _table(one: Entry) -> str:
    rows = [("variant", one.variant), ("fingerprint", one.fingerprint), ("title", one.title)]
    lines = [f"{key} = {_quoted(value)}" for key, value in rows]
    if one.cast:
        lines.append(f"cast = {_quoted(one.cast)}")
    lines += [f"{key} = {getattr(one, key)}" for key in _NUMBERS]
    if one.old_values is not None:
        lines.append(f"old_values = {one.old_values}")
    lines.append(f"line = {_quoted(one.line)}")
    return "\n".join(["[[finding]]", *lines]) + "\n"


def _quoted(value: str) -> str:
    """A basic string of TOML; what JSON escapes, TOML does as well."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def write(entries: Iterable[Entry], file: Path) -> None:
    """Put the entries into the file, in place of what was there. Raises UsageError."""
    try:
        write_text(str(file), HEAD + text(entries))
    except OSError as error:
        raise UsageError(f"corpus {file}: {error.strerror}") from None


def replayed(entries: Iterable[Entry], engine: str = "green") -> Iterator[tuple[Entry, str]]:
    """Each entry with what is wrong with it; empty: its line comes to its finding.

    Entries of one variant, one after the other, share a runner.
    """

    for _, group in groupby(entries, key=lambda one: (one.variant, one.cast)):
        several = list(group)
        try:
            people = several[0].people
        except UsageError as error:
            yield from ((one, one_line(error)) for one in several)
            continue
        runners: dict[int, Runner] = {}
        try:
            for one in several:
                yield one, _trouble(one, people, runners, engine)
        finally:
            for runner in runners.values():
                runner.close()


def _trouble(one: Entry, people: Variant, runners: dict[int, Runner], engine: str) -> str:
    from mmsim.run import Runner

    try:
        schedule = Schedule.parse(one.line)
        if schedule.fingerprint != one.fingerprint:
            return f"its line is one of {schedule.fingerprint}"
        if schedule.cpus not in runners:
            runners[schedule.cpus] = Runner(people, cpus=schedule.cpus, seed=0, engine=engine)
        runners[schedule.cpus].replay(schedule)
    except (BadSchedule, UsageError) as error:
        return one_line(error)
    return ""


def remedy(one: Entry) -> str:
    """The command that makes its line anew, or takes it out where there is no such variant."""
    there = one.variant in all_variants(SOURCE)
    return "python -m mmsim corpus refresh" + (f" {one.variant}" if there else "")


@dataclass(frozen=True)
class Refreshed:
    """What a refresh came to."""

    entries: list[Entry]
    """The whole corpus as it is now."""
    new: list[Entry]
    changed: list[Entry]
    """Stale ones that were made anew, and those for which a smaller line was found."""
    gone: list[Entry]


Sampled = Sequence[tuple[str, str, str]]
"""Variant, fingerprint, line."""


def refresh(
    old: Sequence[Entry],
    variants: Sequence[Variant],
    jobs: int | None = None,
    told: Callable[[str], None] = lambda text: None,
    sampled: Callable[[Sequence[Variant], int | None], Sampled] | None = None,
) -> Refreshed:
    """Look again for everything that can go wrong in these variants, and make it small.

    An old line that still comes to its finding stays, unless a smaller one was found. Raises
    KeyboardInterrupt if it is interrupted: half of a corpus is none.
    """
    wanted = {variant.id for variant in variants}
    found = list((sampled or sample)(variants, jobs))
    keys = {(id, fingerprint) for id, fingerprint, _ in found}
    lines = [(id, line, "") for id, _, line in found]
    for variant in variants:
        for key, cast, line in on_record(variant):
            if key not in keys:
                keys.add(key)
                lines.append((variant.id, line, cast))
    sound = {
        one.key: one
        for one, why in replayed(one for one in old if one.variant in wanted)
        if not why
    }
    best = dict(sound)
    for place, (id, line, cast) in enumerate(lines):
        told(f"{place} of {len(lines)} lines made small")
        try:
            now = small(id, line, cast)
        except StaleSchedule:  # a record of proofs may be older than the code
            continue
        if interrupts.heard():  # noted and not raised, once a campaign has run
            raise KeyboardInterrupt
        if now.key not in best or now.size < best[now.key].size:
            best[now.key] = now
    before = {one.key: one for one in old}
    mine = {key for key in before if key[0] in wanted}
    return Refreshed(
        sorted(
            [*(one for one in old if one.variant not in wanted), *best.values()],
            key=lambda one: one.key,
        ),
        new=[one for key, one in best.items() if key not in before],
        changed=[one for key, one in best.items() if key in before and one != before[key]],
        gone=[before[key] for key in sorted(mine - best.keys())],
    )


def sample(variants: Sequence[Variant], jobs: int | None) -> list[tuple[str, str, str]]:
    """What the default campaign finds in these variants: variant, fingerprint, line of each kind.

    On greenlets, which make the decisions of threads in less time.
    """
    from mmsim.stress.cli import run

    default = profile.load("default")
    wanted = tuple(v.id for v in variants if v.id not in default.skip)
    if not wanted:
        return []
    request = Request(engine=shrinking.ENGINE, variants=wanted, jobs=jobs)
    plan = resolve(request, replace(default, pairs=False), SOURCE)
    outcome = run(plan, SOURCE)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return [
        (tally.variant.id, fingerprint, kind.sample.schedule)
        for tally in outcome.campaign.tallies
        for fingerprint, kind in tally.kinds.items()
    ]


def on_record(variant: Variant) -> Iterator[tuple[tuple[str, str], str, str]]:
    """What searches of the variant have found: key, cast, line."""
    for proof in record.planned(pairs_of(variant), record.read()):
        for finding in proof.findings:
            yield (variant.id, finding["fingerprint"]), proof.cast, finding["line"]


def small(id: str, line: str, cast: str = "") -> Entry:
    """The line made small. Raises UsageError if it is none or is stale."""
    variant = find_variant(SOURCE, id)
    if cast:
        variant = with_cast(variant, cast)
    return entry(id, Shrinking(variant, line, SOURCE)(shrinking.limit()), cast)


def unknown(kinds: Iterable[Entry], known: Iterable[Entry]) -> list[Entry]:
    """Those of which the corpus has no line."""
    keys = {one.key for one in known}
    return [one for one in kinds if one.key not in keys]
