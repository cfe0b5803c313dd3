# SPDX-License-Identifier: GPL-2.0-only
"""A campaign of a store, counted again.

Everything is read from the store, the variants included: the code that ran may be gone. Blocks go
through the same lanes, tallies and verdicts as when they came from a worker, so what comes out is
what the campaign said, or would have said had it not been killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmsim.stress.pairs import Pair
from mmsim.stress.plan import Campaign
from mmsim.stress.profile import Budget
from mmsim.stress.settings import Settings
from mmsim.stress.stored import values
from mmsim.stress.stored.file import Row, Store, declared
from mmsim.stress.stored.kept import plan_hash
from mmsim.stress.stored.shelf import Shelf
from mmsim.stress.verdict import verdict_of


@dataclass(frozen=True)
class Recount:
    """A campaign of a store."""

    row: Row
    settings: Settings
    campaign: Campaign
    complete: bool
    wall: float
    sessions: tuple[Row, ...]

    @property
    def id(self) -> int:
        return int(self.row["id"])


def settings_of(store: Store, row: Row) -> Settings:
    """The plan of a campaign, with variants that are values and cannot be run."""
    variants: dict[str, Any] = {}
    groups: dict[bool, list[tuple[Any, Budget]]] = {True: [], False: []}
    query = "SELECT * FROM variant WHERE campaign = ? ORDER BY place"
    for v in store.rows(query, row["id"]):
        variant = variants[v["id"]] = values.to_variant(dict(v), declared(v))
        groups[bool(v["asked"])].append((variant, values.to_budget(dict(v), declared(v))))
    pairs = store.rows("SELECT * FROM pair WHERE campaign = ? ORDER BY place", row["id"])
    return Settings(
        variants=tuple(groups[True]),
        cpus=row["cpus"],
        seed=int(row["seed"]),
        engine=row["engine"],
        policy=row["policy"],
        jobs=1,
        seconds=row["seconds"],
        profile=row["profile"],
        file=row["file"],
        pairs=tuple(Pair(*(variants[p[w]] for w in ("good", "bad", "arm"))) for p in pairs),
        beside=tuple(groups[False]),
    )


def recount(store: Store, id: int | None = None) -> Recount:
    """Count campaign ``id`` of the store, the last one if none is named."""
    row = store.campaign(id)
    settings = settings_of(store, row)
    campaign = Campaign(settings.variants, settings.pairs, settings.beside)
    shelf = Shelf(store, row["id"])
    lost: dict[str, dict[int, int]] = {}
    for gone in store.rows("SELECT * FROM lost WHERE campaign = ? ORDER BY id", row["id"]):
        lost.setdefault(gone["variant"], {})[gone["first"]] = gone["covers"]
        campaign.lost.append(gone["why"])
    _count(campaign, shelf, lost)
    for v in store.rows("SELECT id, proved FROM variant WHERE campaign = ?", row["id"]):
        campaign.lanes[v["id"]].tally.proved = v["proved"]
    sessions = store.rows("SELECT * FROM session WHERE campaign = ? ORDER BY id", row["id"])
    if not row["complete"] and not campaign.lost:
        how = sessions[-1]["outcome"] if sessions else None
        campaign.lost.append(how or "the process that ran it was killed, or runs now")
    wall = sum(session["wall"] or 0.0 for session in sessions)
    return Recount(row, settings, campaign, bool(row["complete"]), wall, tuple(sessions))


def _count(campaign: Campaign, shelf: Shelf, lost: dict[str, dict[int, int]]) -> None:
    """All lanes; one that waits for its twin gets what it has asked for when that is through."""
    going = dict(campaign.lanes)
    before = -1
    while before != campaign.runs:
        before = campaign.runs
        for variant, lane in list(going.items()):
            if shelf.count(lane, lost.get(variant, {})):
                del going[variant]


def complaints(store: Store) -> Iterator[str]:
    """Everything that is wrong with a store, in words; nothing if it is in order."""
    for row in store.rows("PRAGMA integrity_check"):
        if row[0] != "ok":
            yield f"the file is damaged: {row[0]}"
    for row in store.rows("PRAGMA foreign_key_check"):
        yield f"table {row[0]}: a row belongs to none of {row[2]}"
    for row in store.campaigns():
        for complaint in _of_campaign(store, row):
            yield f"campaign {row['id']}: {complaint}"


def _of_campaign(store: Store, row: Row) -> Iterator[str]:
    id = row["id"]
    if (plan := plan_hash(settings_of(store, row))) != row["plan"]:
        yield f"its plan is {plan}, recorded {row['plan']}"
    shelf = Shelf(store, id)
    for variant, end, first in shelf.gaps():
        if first < end:
            yield f"{variant}: two blocks hold runs {first}..{end - 1}"
    broken = list(_of_blocks(store, id))
    yield from broken
    if row["ended"] is None or broken:
        return  # killed, or running: there are no totals yet
    counted = recount(store, id).campaign
    for v in store.rows("SELECT * FROM variant WHERE campaign = ? ORDER BY place", id):
        tally = counted.lanes[v["id"]].tally
        here = (tally.runs, tally.findings, tally.first_run)
        there = (v["runs"], v["findings"], v["first_run"])
        if here != there:
            yield f"{v['id']}: counted {here[1]} of {here[0]}, recorded {there[1]} of {there[0]}"
        elif v["verdict"] and (now := verdict_of(counted, tally).verdict) != v["verdict"]:
            yield f"{v['id']}: the verdict is {now}, recorded {v['verdict']}"


def _of_blocks(store: Store, id: int) -> Iterator[str]:
    samples = store.samples(id)
    found: dict[int, int] = {}
    query = (
        "SELECT block, sum(count) AS n FROM found JOIN block ON block.id = block "
        "WHERE campaign = ? GROUP BY block"
    )
    for row in store.rows(query, id):
        found[row["block"]] = row["n"]
    for row in store.rows("SELECT * FROM block WHERE campaign = ?", id):
        name = f"{row['variant']} runs {row['first']}..{row['first'] + row['covers'] - 1}"
        known = samples.get(row["variant"], {})
        block = store.block(row["id"], known)
        kinds = {failure.fingerprint for failure in block.failures}
        if not len(block.failures) == row["findings"] == found.get(row["id"], 0):
            yield f"{name}: {len(block.failures)} failing runs, recorded {row['findings']}"
        if missing := kinds - known.keys():
            yield f"{name}: no report of {', '.join(sorted(missing))}"
        if not 0 < row["runs"] <= row["covers"] or len(block.metrics) != row["runs"]:
            yield f"{name}: holds {row['runs']} runs"
