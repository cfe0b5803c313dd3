# SPDX-License-Identifier: GPL-2.0-only
"""Two stored campaigns side by side: what became likelier, rarer, new, gone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsim.errors import UsageError
from mmsim.stress import store as written
from mmsim.stress.changes import FALSE, GONE, LIKELIER, NEW, RARER, Change, Outcome, changes
from mmsim.stress.output import chance, console
from mmsim.stress.page.facts import outcomes
from mmsim.stress.stored.file import Store
from mmsim.stress.stored.recount import Recount, recount
from mmsim.stress.verdict import AS_DECLARED, DIFFERS

SAME, REGRESSION, BROKEN = 0, 1, 3
HEADER = b"SQLite format 3\0"


def is_store(name: str) -> bool:
    """Is this the name of a store, and not of a variant?"""
    path = Path(name)
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(len(HEADER)) == HEADER
    except OSError:
        return False
    return path.suffix in (".sqlite", ".db")


@dataclass(frozen=True)
class Sides:
    """Two campaigns of the same kind."""

    before: Recount
    after: Recount
    changes: list[Change]
    verdicts: list[tuple[str, str, str]]
    """Variant, verdict before, verdict after, where both are settled and they differ."""
    shares: list[str]
    """Variants whose runs were shared among policies in another way: nothing can be said."""
    only: tuple[list[str], list[str]]
    """Variants that only the one has, or the other."""

    @property
    def regression(self) -> bool:
        worse = any(change.significant and change.worse for change in self.changes)
        return worse or any(after == DIFFERS for _, _, after in self.verdicts)


def compare(options: Any) -> int:
    """The whole command, once it is clear that two stores are meant; the exit code."""
    if options.json is not None:
        written.check_writable(options.json)
    before = _read(options.buggy, options.before)
    after = _read(options.fixed, options.after)
    if not options.anyway:
        _check_comparable(before, after)
    sides = compared(before, after)
    out = console(sys.stdout)
    names = (Path(options.buggy).name, Path(options.fixed).name)
    for line in _lines(sides, names):
        out.out(line, highlight=False)
    code = REGRESSION if sides.regression else SAME
    if options.json is not None and not written.keep(options.json, _document(sides)):
        code = BROKEN
    return code


def _read(path: str, campaign: int | None) -> Recount:
    with Store(path) as store:
        return recount(store, campaign)


def _check_comparable(before: Recount, after: Recount) -> None:
    """A rate is one under a policy and on so many CPUs."""
    for what in ("cpus", "engine", "policy"):
        one, two = before.row[what], after.row[what]
        if one != two:
            raise UsageError(
                f"the campaigns have {what} {one} and {two}: rates of the one say nothing of the "
                "other; --anyway compares them all the same"
            )
    if before.row["plan"] == after.row["plan"] and before.row["code"] == after.row["code"]:
        raise UsageError(
            "both campaigns have the same plan, seed and code: their runs are the same; give one "
            "of them another seed"
        )


def compared(before: Recount, after: Recount) -> Sides:
    """Every variant that both have run."""
    one, two = outcomes(before), outcomes(after)
    both = [id for id in one if id in two]
    return Sides(
        before,
        after,
        changes(one, two),
        [
            (id, one[id].verdict, two[id].verdict)
            for id in both
            if {one[id].verdict, two[id].verdict} == {AS_DECLARED, DIFFERS}
        ],
        [id for id in both if one[id].portfolio != two[id].portfolio],
        (_missing(one, two), _missing(two, one)),
    )


def _missing(one: dict[str, Outcome], two: dict[str, Outcome]) -> list[str]:
    return [id for id in one if id not in two and one[id].runs]


def _lines(sides: Sides, names: tuple[str, str]) -> Iterator[str]:
    for word, side, name in zip(
        ("BEFORE", "AFTER"), (sides.before, sides.after), names, strict=True
    ):
        row = side.row
        yield (
            f"{word:<7} {name} campaign {row['id']}, {row['began'][:16].replace('T', ' ')} UTC, "
            f"{side.campaign.runs:,} runs"
        )
        yield f"        profile {row['profile']}, seed {row['seed']}, code {row['code']}"
        if not side.complete:
            yield "        not finished: what is in the store is compared"
    tests = len(sides.changes)
    yield f"rule    {tests:,} exact tests; of what is called changed, {FALSE:.0%} may be luck"
    sure = [change for change in sides.changes if change.significant]
    for what in (NEW, LIKELIER, GONE, RARER):
        found = [change for change in sure if change.what == what]
        if found:
            yield ""
            yield what.upper()
            for change in found:
                yield from _change(change)
    if sides.verdicts:
        yield ""
        yield "VERDICTS"
        for id, before, after in sides.verdicts:
            yield f"  {id}: {before} before, {after} after"
    yield ""
    for word, ids in zip(("BEFORE", "AFTER"), sides.only, strict=True):
        if ids:
            more = f" and {len(ids) - 6} more" if len(ids) > 6 else ""
            yield f"only in {word}: {', '.join(ids[:6])}{more}"
    if sides.shares:
        more = f" and {len(sides.shares) - 6} more" if len(sides.shares) > 6 else ""
        yield f"other shares of policies, not compared: {', '.join(sides.shares[:6])}{more}"
    rest = [change.p for change in sides.changes if not change.significant]
    if rest:
        yield f"{len(rest):,} others differ by no more than luck (the smallest p {min(rest):.2g})"
    yield _sentence(sides, sure)


def _change(change: Change) -> Iterator[str]:
    (k, n), (then_k, then_n) = change.before, change.after
    if not change.kind:
        yield f"  {change.variant}"
        what = "runs"
    else:
        yield f"  {change.variant}: {change.title} ({change.kind})"
        what = "findings"
    yield (
        f"    {_share(k, n)} -> {_share(then_k, then_n)} of {what} "
        f"({k:,} of {n:,} -> {then_k:,} of {then_n:,}), "
        f"p {chance(change.p)}, q {chance(change.q)}"
    )


def _share(k: int, n: int) -> str:
    return f"{100 * k / n:.3g} %" if n else "-"


def _sentence(sides: Sides, sure: list[Change]) -> str:
    if sides.regression:
        worse = len({change.variant for change in sure if change.worse})
        worse_ = f"{worse} variants fail more often or in a new way" if worse else ""
        differs = sum(after == DIFFERS for _, _, after in sides.verdicts)
        differ = f"{differs} verdicts are not as declared any more" if differs else ""
        return f"REGRESSION: {', '.join(part for part in (worse_, differ) if part)}"
    return "no regression" + ("" if sure else ", and nothing has changed that is not luck")


def _document(sides: Sides) -> dict[str, Any]:
    def side(of: Recount) -> dict[str, Any]:
        keys = ("id", "began", "profile", "seed", "cpus", "engine", "policy", "code", "plan")
        return {**{key: of.row[key] for key in keys}, "complete": of.complete}

    return {
        "before": side(sides.before),
        "after": side(sides.after),
        "false_discoveries": FALSE,
        "regression": sides.regression,
        "changes": [
            {
                "variant": change.variant,
                "kind": change.kind or None,
                "title": change.title or None,
                "what": change.what,
                "significant": change.significant,
                "before": list(change.before),
                "after": list(change.after),
                "p": change.p,
                "q": change.q,
            }
            for change in sides.changes
        ],
        "other_shares": list(sides.shares),
        "verdicts": [
            {"variant": id, "before": before, "after": after}
            for id, before, after in sides.verdicts
        ],
    }
