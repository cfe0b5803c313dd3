# SPDX-License-Identifier: GPL-2.0-only
"""Two stores into one.

Two machines that ran one plan on one code have computed parts of the same campaign, and their
blocks are put together; runs that both have must be equal, or one of the stores is not what it
says. A campaign of other code or of another plan stays one of its own, and comes only if it is
asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmsim.errors import UsageError
from mmsim.stress.stored.file import Row, Store
from mmsim.stress.stored.kept import write_totals
from mmsim.stress.stored.proposals import proposals, put
from mmsim.stress.stored.recount import recount
from mmsim.stress.tally import BlockResult


@dataclass
class Merged:
    """What has been done."""

    campaigns: int = 0
    """Taken over as campaigns of their own."""
    joined: int = 0
    """Put together with one that was there."""
    blocks: int = 0
    runs: int = 0
    equal: int = 0
    """Runs that both had, and that were equal."""


def merge(
    into: Store, other: Store, *, other_code: bool = False, other_plan: bool = False
) -> Merged:
    """Take over what ``other`` has. All of it or, if anything is refused, nothing.

    Raises UsageError if a campaign is of other code or another plan and that was not allowed, or
    if the two disagree on a run.
    """
    done = Merged()
    theirs = other.campaigns()
    ours = into.campaigns()
    for row in theirs:
        _check_allowed(row, ours, other, into, code=other_code, plan=other_plan)
    with into.transaction():
        for row in theirs:
            _take_campaign(into, other, row, done)
    return done


def _same(one: Row, two: Row, *keys: str) -> bool:
    return all(one[key] == two[key] for key in keys)


def _check_allowed(
    row: Row, ours: list[Row], other: Store, into: Store, *, code: bool, plan: bool
) -> None:
    if not ours or any(_same(row, own, "plan", "code", "python") for own in ours):
        return
    name = f"campaign {row['id']} of {other.path}"
    if not code and not any(_same(row, own, "code", "python") for own in ours):
        have = ", ".join(sorted({f"{own['code']} under {own['python']}" for own in ours}))
        raise UsageError(
            f"{name} ran code {row['code']} under {row['python']}, those of {into.path} {have}; "
            "--other-code takes it all the same, as a campaign of its own"
        )
    if not plan and not any(_same(row, own, "plan") for own in ours):
        raise UsageError(
            f"{name} has a plan that {into.path} has not (profile {row['profile']}, "
            f"seed {row['seed']}, cpus {row['cpus']}, {row['engine']}, {row['policy']}); "
            "--other-plan takes it all the same, as a campaign of its own"
        )


def _take_campaign(into: Store, other: Store, row: Row, done: Merged) -> None:
    same = [own for own in into.campaigns() if _same(row, own, "plan", "code", "python")]
    if same:
        id = int(same[-1]["id"])
        done.joined += 1
    else:
        id = _copy_plan(into, other, row)
        done.campaigns += 1
    sessions = _copy_sessions(into, other, row["id"], id)
    _take_blocks(into, other, row, id, sessions, done)
    for found in other.rows("SELECT * FROM finding WHERE campaign = ?", row["id"]):
        if not into.knows(id, found["variant"], found["fingerprint"], found["run"]):
            into.put_finding({**dict(found), "campaign": id})
    put(into, id, proposals(other, row["id"]))
    into.db.execute(
        "DELETE FROM lost WHERE campaign = ? AND EXISTS (SELECT 1 FROM block "
        "WHERE block.campaign = lost.campaign AND block.variant = lost.variant "
        "AND block.first = lost.first)",
        (id,),
    )
    counted = recount(into, id).campaign
    complete = all(lane.finished for lane in counted.lanes.values())
    ended = max((row["ended"] or "", *(own["ended"] or "" for own in same)))
    into.db.execute(
        "UPDATE campaign SET complete = ?, ended = ? WHERE id = ?", (complete, ended or None, id)
    )
    write_totals(into, id, recount(into, id).campaign)


def _copy_plan(into: Store, other: Store, row: Row) -> int:
    own = dict(row)
    del own["id"]
    id = into.insert("campaign", own)
    for table in ("variant", "pair"):
        for part in other.rows(f"SELECT * FROM {table} WHERE campaign = ?", row["id"]):
            into.insert(table, {**dict(part), "campaign": id})
    return id


def _copy_sessions(into: Store, other: Store, theirs: int, ours: int) -> dict[int, int]:
    """Their numbers of sessions to ours; one that was merged before is not copied again."""
    known = {
        (row["began"], row["host"]): int(row["id"])
        for row in into.rows("SELECT * FROM session WHERE campaign = ?", ours)
    }
    numbers: dict[int, int] = {}
    for row in other.rows("SELECT * FROM session WHERE campaign = ? ORDER BY id", theirs):
        key = (row["began"], row["host"])
        if key not in known:
            own = {**dict(row), "campaign": ours}
            del own["id"]
            known[key] = into.insert("session", own)
        numbers[row["id"]] = known[key]
    return numbers


def _take_blocks(
    into: Store, other: Store, row: Row, id: int, sessions: Mapping[int, int], done: Merged
) -> None:
    spans: dict[str, list[tuple[int, int, int]]] = {}
    for span in into.spans(id):
        end = span["first"] + span["covers"]
        spans.setdefault(span["variant"], []).append((span["first"], end, span["id"]))
    samples = other.samples(row["id"])
    query = "SELECT id, variant, session FROM block WHERE campaign = ? ORDER BY variant, first"
    for theirs in other.rows(query, row["id"]):
        variant = theirs["variant"]
        result = other.block(theirs["id"], samples.get(variant, {}))
        first = result.block.first
        end = first + result.block.count
        session = sessions[theirs["session"]]
        at = first
        for begin, stop, own in spans.get(variant, ()):
            if stop <= first or begin >= end:
                continue
            _take_part(into, id, session, result, at, begin, done)
            done.equal += _agreed(into, other, result, own, pure=row["engine"] != "free")
            at = stop
        _take_part(into, id, session, result, at, end, done)


def _take_part(
    into: Store, id: int, session: int, result: BlockResult, first: int, end: int, done: Merged
) -> None:
    """The runs ``first`` to ``end`` of a block, which nobody here has."""
    part = result.part(first - result.block.first, end - first)
    if part.runs > 0:
        into.put_block(id, session, part)
        done.blocks += 1
        done.runs += part.runs


def _agreed(into: Store, other: Store, one: BlockResult, own: int, *, pure: bool) -> int:
    """How many runs both hold. Raises UsageError if they differ in one of them.

    Without a token (``pure`` is False) the operating system has decided, and they may.
    """
    two = into.block(own, {})
    first = max(one.block.first, two.block.first)
    end = min(one.block.first + one.runs, two.block.first + two.runs)
    if end <= first:
        return 0
    parts = [block.part(first - block.block.first, end - first) for block in (one, two)]
    seen = [([(f.offset, f.fingerprint) for f in p.failures], p.metrics) for p in parts]
    if pure and seen[0] != seen[1]:
        raise UsageError(
            f"{into.path} and {other.path} disagree on {parts[0].block}: "
            "one of them is not of the code that it names"
        )
    return end - first
