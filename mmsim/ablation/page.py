# SPDX-License-Identifier: GPL-2.0-only
"""docs/ablation.md: the record as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmsim.ablation.exhaustive import LOAD_BEARING, NOT_HERE, NOT_REACHED, NOT_RUN, OFF, ON, OPEN
from mmsim.ablation.reasons import REASONS
from mmsim.ablation.record import PLAN, Row, hunk_name, reproduce
from mmsim.model.gate import GATES
from mmsim.scenarios.api import Variant
from mmsim.scenarios.registry import scenarios

HEAD = """\
# Ablation

    python -m mmsim ablate --prove [VARIANT...] [--cast NAME] [--seconds S]

Which hunks of a patch carry something? `python -m mmsim ablate --prove --write` has taken one at a
time out of variants that cannot fail, and explored their small casts ([proofs.md](proofs.md)) in
every order that could make a difference. A hunk is what a patch does in one function.

- **left out**: a hunk of a patch that the variant has. The rest of the patch stays.
- **put in**: a mutation, at one of its places. That is how a lock, an order, a second look or a
  reference is taken away that is no patch of the thread. `python -m mmsim show VARIANT` says what
  it does. Some add what was proposed, and had better make no difference.

| it is | if |
|---|---|
| load-bearing | some order of a cast ends in a finding; the shrunk line replays with `--turn` |
| not needed here | every order of all casts that come to it was run, and none has a finding |
| open | a limit was reached first, or the variant itself is not settled in a cast |
| does not run | half a patch is no program: it meets an error that no kernel has |
| not reached | no execution of the variant's casts asks for it |

*Not needed here* is said of the casts that are named, and of no others: who is not in them may need
it. *Open* says nothing. Memory is in order; what barriers do stands in [barriers.md](barriers.md).
"""

WORDS = {
    LOAD_BEARING: "load-bearing",
    NOT_HERE: "not needed here",
    OPEN: "open",
    NOT_RUN: "does not run",
    NOT_REACHED: "not reached",
}


def page(rows: Sequence[Row]) -> str:
    """The whole document."""
    variants = {v.id: v for scenario in scenarios() for v in scenario.variants}
    lines = [HEAD, *_summary(rows), *_patches(rows), *_surprises(rows)]
    for scenario in scenarios():
        if scenario.id not in PLAN:
            continue
        lines += ["", f"## {scenario.id}: {scenario.title}"]
        for id in PLAN[scenario.id]:
            lines += _variant(variants[id], [row for row in rows if row["variant"] == id])
    return "\n".join(lines) + "\n"


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    for turned, what in ((OFF, "left out"), (ON, "put in")):
        counted = Counter(row["verdict"] for row in rows if row["turned"] == turned)
        parts = [f"{counted[v]} {words}" for v, words in WORDS.items() if counted[v]]
        yield f"- {sum(counted.values())} {what}: {', '.join(parts)}."
    yield (
        f"- {sum(row['executions'] for row in rows):,} executions in "
        f"{sum(row['seconds'] for row in rows):,.0f} s of one core."
    )


def _patches(rows: Sequence[Row]) -> Iterator[str]:
    """Every patch of a mail thread, and what carries it."""
    yield "\n## Patch by patch\n"
    yield (
        "The best that was seen of each hunk, in any of the variants below. A patch without a row "
        "in a right\nvariant is one that no variant declared Never has.\n"
    )
    yield "| patch | hunks that are load-bearing | others |"
    yield "|---|---|---|"
    best = _best(row for row in rows if row["turned"] == OFF)
    for gate in sorted(GATES.values(), key=lambda gate: (gate.thread, gate.date, gate.name)):
        if gate.kind != "patch" or gate.thread not in PLAN:
            continue
        mine = {hunk: verdict for hunk, verdict in best.items() if hunk.startswith(f"{gate.name}@")}
        functions: dict[str, list[str]] = {verdict: [] for verdict in WORDS} | {
            verdict: [_function(h) for h, v in mine.items() if v == verdict]
            for verdict in mine.values()
        }
        others = "; ".join(
            f"{words}: {', '.join(functions[verdict])}"
            for verdict, words in WORDS.items()
            if verdict != LOAD_BEARING and functions[verdict]
        )
        carried = ", ".join(functions[LOAD_BEARING])
        planned = any(v.id in ids for ids in PLAN.values() for v in having(gate.name))
        nothing = "" if mine else "not on record yet" if planned else "in no right variant"
        yield f"| {gate.name} | {carried or nothing} | {others} |"


def having(gate: str) -> list[Variant]:
    """The variants that have it."""
    return [v for scenario in scenarios() for v in scenario.variants if gate in v.gates]


def _best(rows: Iterable[Row]) -> Mapping[str, str]:
    """The verdict of each hunk that says most: load-bearing anywhere is load-bearing."""
    order = list(WORDS)
    best: dict[str, str] = {}
    for row in rows:
        name = hunk_name(row)
        was = best.get(name, NOT_REACHED)
        best[name] = min(was, row["verdict"], key=order.index)
    return best


def _function(hunk: str) -> str:
    return f"`{hunk.partition('@')[2]}`"


def _surprises(rows: Sequence[Row]) -> Iterator[str]:
    """Hunks of a patch that nobody needed anywhere, with the reason as far as it is known."""
    yield "\n## Nobody needs them here\n"
    yield "| hunk | variants | why |"
    yield "|---|---|---|"
    best = _best(rows)
    for name in sorted(best):
        if best[name] in (LOAD_BEARING, OPEN):
            continue
        of = [row for row in rows if hunk_name(row) == name]
        ids = ", ".join(row["variant"] for row in of)
        how = "" if of[0]["turned"] == OFF else " (put in)"
        verdict = "" if best[name] == NOT_HERE else f"{WORDS[best[name]]}; "
        yield f"| `{name}`{how} | {ids} | {verdict}{REASONS.get(name, 'not known')} |"


def _variant(variant: Variant, rows: Sequence[Row]) -> Iterator[str]:
    yield f"\n### {variant.id}: {variant.summary}\n"
    if not rows:
        yield "Not on record."
        return
    yield "| hunk | | it is | without it, or with it | casts: executions |"
    yield "|---|---|---|---|---|"
    for row in rows:
        how = "left out" if row["turned"] == OFF else "put in"
        casts = ", ".join(f"{cast}: {n:,}" for cast, _, n in row["casts"])
        yield (f"| `{hunk_name(row)}` | {how} | {WORDS[row['verdict']]} | {_what(row)} | {casts} |")
    found = [row for row in rows if row["finding"] is not None]
    if found:
        yield ""
        for row in found:
            yield f"    {reproduce(row)}"


def _what(row: Row) -> str:
    finding = row["finding"]
    if finding is not None:
        text = f"{finding['title']}, in execution {finding['first']:,} of {finding['cast']}"
    elif row["error"]:
        text = f"`{row['error']}`"
    elif row["unsettled"]:
        text = f"the variant is not settled in {', '.join(row['unsettled'])}"
    else:
        text = ""
    return text.replace("|", "\\|")


def reasoned(rows: Iterable[Row]) -> set[str]:
    """Hunks whose reason is written down although they are needed, or are not on record."""
    best = _best(rows)
    return {name for name in REASONS if best.get(name, LOAD_BEARING) == LOAD_BEARING}
