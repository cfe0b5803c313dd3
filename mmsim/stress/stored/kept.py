# SPDX-License-Identifier: GPL-2.0-only
"""A campaign whose blocks are kept in a store, and are taken from there if they are in it.

The plan asks for blocks, and the numbers follow from their results; neither knows whether a block
has been computed a moment ago or before last night's power cut. So to go on with a campaign is to
begin it again, and to be quick with what is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from mmsim.errors import UsageError
from mmsim.stress.identity import Identity
from mmsim.stress.plan import Campaign
from mmsim.stress.settings import Settings
from mmsim.stress.stored import values
from mmsim.stress.stored.file import Row, Store, StoreFull, now
from mmsim.stress.stored.shelf import Shelf
from mmsim.stress.tally import Block, BlockResult
from mmsim.stress.verdict import NOT_RUN, verdict_of

DIGITS = 12


def plan_hash(settings: Settings) -> str:
    """Twelve hex digits over everything but the code that decides which runs count."""
    plan = {
        "cpus": settings.cpus,
        "seed": settings.seed,
        "engine": settings.engine,
        "policy": settings.policy,
        "seconds": settings.seconds,
        "variants": [
            [v.id, b.runs, b.most, b.stop_after, asked, *values.of_shares(b)]
            for asked, group in ((True, settings.variants), (False, settings.beside))
            for v, b in group
        ],
        "pairs": [[p.right.id, p.wrong.id, p.arm.id] for p in settings.pairs],
    }
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:DIGITS]


class Kept(Campaign):
    """A campaign of ``settings`` in ``store``; the rows are there already."""

    def __init__(self, settings: Settings, store: Store, id: int, session: int) -> None:
        super().__init__(settings.variants, settings.pairs, settings.beside)
        self.id = id
        self._store = store
        self._session = session
        self._shelf = Shelf(store, id)

    @property
    def there(self) -> int:
        """Runs that were in the store at the beginning."""
        return self._shelf.runs

    def next_block(self) -> Block | None:
        """The next block that is not there yet; those that are, are counted on the way."""
        while (block := super().next_block()) is not None:
            lane = self.lanes[block.variant]
            block, result = self._shelf.fit(lane, block)
            if result is None:
                return block
            super().put(block, result)
        return None

    def put(self, block: Block, result: BlockResult | None) -> bool:
        """Keep a result, then count it. Raises StoreFull if it cannot be kept: it counts only if
        it is.
        """
        try:
            if result is None:
                why = self.lost[-1].splitlines()[0] if self.lost else ""
                self._store.lose(self.id, self._session, block, why)
            elif result.runs:
                variant = self.lanes[block.variant].tally.variant
                self._store.add_block(self.id, self._session, variant, result)
        except StoreFull as error:
            raise StoreFull(f"{error}; not in it: {block}") from error
        return super().put(block, result)

    def end(self, *, complete: bool, wall: float) -> None:
        """Write what it came to. Raises StoreFull if that cannot be written."""
        with self._store.transaction():
            write_totals(self._store, self.id, self)
            self._store.db.execute(
                "UPDATE campaign SET ended = ?, complete = ? WHERE id = ?",
                (now(), complete, self.id),
            )
            outcome = "complete" if complete else "; ".join(m.splitlines()[0] for m in self.lost)
            self._store.db.execute(
                "UPDATE session SET ended = ?, outcome = ?, wall = ? WHERE id = ?",
                (now(), outcome, round(wall, 3), self._session),
            )


def write_totals(store: Store, id: int, campaign: Campaign) -> None:
    """Counts and verdicts of all variants, inside a transaction."""
    asked = {tally.variant.id for tally in campaign.tallies}
    for lane in campaign.lanes.values():
        tally = lane.tally
        judgement = verdict_of(campaign, tally) if tally.variant.id in asked else None
        known = judgement is not None and judgement.observed != NOT_RUN
        rate = tally.rate
        store.db.execute(
            "UPDATE variant SET runs = ?, findings = ?, rate = ?, low = ?, high = ?, "
            "first_run = ?, verdict = ?, p = ?, proved = ? WHERE campaign = ? AND id = ?",
            (
                *(tally.runs, tally.findings, rate.value, rate.low, rate.high, tally.first_run),
                judgement.verdict if judgement is not None and known else None,
                judgement.p if judgement is not None else None,
                *(tally.proved, id, tally.variant.id),
            ),
        )


def open_campaign(
    store: Store, settings: Settings, who: Identity, command: str, workers: str, *, resume: bool
) -> Kept:
    """Begin a campaign, or go on with the newest one of the same plan, code and Python.

    Raises UsageError if there is none to go on with and the store is not empty.
    """
    id = None
    if resume and store.campaigns():
        id = find(store, settings, who)
        if id is None:
            raise UsageError(_nothing_to_resume(store.campaign(), settings, who))
    if id is None:
        id = _begin(store, settings, who, command)
    session = store.begin_session(id, who, workers)
    return Kept(settings, store, id, session)


def find(store: Store, settings: Settings, who: Identity) -> int | None:
    """The newest campaign of the same plan, code and Python."""
    key = (plan_hash(settings), who.code, who.python)
    same = [row for row in store.campaigns() if (row["plan"], row["code"], row["python"]) == key]
    return int(same[-1]["id"]) if same else None


def unfinished(store: Store, settings: Settings, who: Identity) -> int | None:
    """The newest campaign of the same plan, code and Python, if it did not come to its end."""
    id = find(store, settings, who)
    return id if id is not None and not store.campaign(id)["complete"] else None


def _nothing_to_resume(last: Row, settings: Settings, who: Identity) -> str:
    pairs: Sequence[tuple[str, Any, Any]] = (
        ("code", last["code"], who.code),
        ("Python", last["python"], who.python),
        ("profile", last["profile"], settings.profile),
        ("seed", last["seed"], str(settings.seed)),
        ("cpus", last["cpus"], settings.cpus),
        ("engine", last["engine"], settings.engine),
        ("policy", last["policy"], settings.policy),
        ("file", last["file"], settings.file),
    )
    differs = [f"{name} {then} (now {here})" for name, then, here in pairs if then != here]
    what = ", ".join(differs) or "other variants or budgets"
    return (
        f"--resume: no campaign of the store has this plan and code; the last one has {what}, "
        f"and was started as: {last['command']}"
    )


def _begin(store: Store, settings: Settings, who: Identity, command: str) -> int:
    with store.transaction():
        id = store.insert(
            "campaign",
            {
                "plan": plan_hash(settings),
                "code": who.code,
                "python": who.python,
                "mmsim": who.version,
                "profile": settings.profile,
                "engine": settings.engine,
                "policy": settings.policy,
                "cpus": settings.cpus,
                "seed": str(settings.seed),
                "seconds": settings.seconds,
                "file": settings.file,
                "command": command,
                "began": now(),
            },
        )
        groups = ((True, settings.variants), (False, settings.beside))
        all_ = [(asked, v, b) for asked, group in groups for v, b in group]
        for place, (asked, variant, budget) in enumerate(all_):
            store.insert(
                "variant",
                {
                    "campaign": id,
                    "id": variant.id,
                    "place": place,
                    "asked": asked,
                    "scenario": values.scenario_id(variant),
                    "thread": getattr(variant.scenario, "thread", ""),
                    "summary": variant.summary,
                    "expected": variant.expect.value,
                    "budget": budget.runs,
                    "most": budget.most,
                    "stop_after": budget.stop_after,
                    "declared": json.dumps(values.of_variant(variant, budget)),
                },
            )
        for place, pair in enumerate(settings.pairs):
            store.db.execute(
                "INSERT INTO pair VALUES (?, ?, ?, ?, ?)",
                (id, place, pair.right.id, pair.wrong.id, pair.arm.id),
            )
        return id
