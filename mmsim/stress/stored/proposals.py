# SPDX-License-Identifier: GPL-2.0-only
"""What a campaign proposes for the corpus: small lines of kinds of findings that it does not have.

They are made when the campaign has ended, and stand in the table `proposal` until somebody puts
them into `stress/corpus/` (`python -m mmsim corpus propose STORE --add`); a kind that the corpus
has by then is no proposal any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, fields

from mmsim.stress.corpus import Entry
from mmsim.stress.stored.file import Store
from mmsim.stress.stored.schema import PROPOSAL

_COLUMNS = tuple(f'"{field.name}"' for field in fields(Entry))  # `cast` is a word of SQL


def propose(store: Store, campaign: int, entries: Iterable[Entry]) -> int:
    """Put them into the store; how many. Raises StoreFull if it cannot be written."""
    several = list(entries)
    with store.transaction():
        put(store, campaign, several)
    return len(several)


def put(store: Store, campaign: int, entries: Iterable[Entry]) -> None:
    """The same as a part of a transaction."""
    marks = ", ".join("?" * (len(_COLUMNS) + 1))
    store.db.execute(PROPOSAL)
    for one in entries:
        store.db.execute(
            f"INSERT OR REPLACE INTO proposal (campaign, {', '.join(_COLUMNS)}) VALUES ({marks})",
            (campaign, *astuple(one)),
        )
        store.db.execute(
            "UPDATE finding SET shrunk = ? WHERE campaign = ? AND variant = ? AND fingerprint = ?",
            (one.line, campaign, one.variant, one.fingerprint),
        )


def proposals(store: Store, campaign: int | None = None) -> list[Entry]:
    """Those of all campaigns, or of one: of each kind the smallest, sorted."""
    where, args = ("", ()) if campaign is None else (" WHERE campaign = ?", (campaign,))
    there = store.rows("SELECT 1 FROM sqlite_master WHERE name = 'proposal'")
    if not there:
        return []
    best: dict[tuple[str, str], Entry] = {}
    for row in store.rows(f"SELECT {', '.join(_COLUMNS)} FROM proposal{where}", *args):
        one = Entry(*row)
        if one.key not in best or one.size < best[one.key].size:
            best[one.key] = one
    return [best[key] for key in sorted(best)]
