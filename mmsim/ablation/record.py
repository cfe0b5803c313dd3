# SPDX-License-Identifier: GPL-2.0-only
"""What leaving hunks out came to, as plain data; kept in ``standings.json``, one line a hunk.

It is of the code that was explored.  When that has changed, a line is *stale* until the hunk is
turned over again (``python -m mmsim ablate --prove --write``).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmsim.ablation.exhaustive import Standing
from mmsim.ablation.places import Place
from mmsim.proofs.code import program_hash
from mmsim.scenarios.api import Scenario, Variant

FILE = Path(__file__).with_name("standings.json")
Row = dict[str, Any]
Key = tuple[str, str]

PLAN: Mapping[str, tuple[str, ...]] = {
    "000": ("000.54-base", "000.517-base", "000.isolate-lock-first-release"),
    "001": (
        "001.419-nodbg",
        "001.v1-opencoded",
        "001.v1-pins",
        "001.remove-vm-bug",
        "001.get-first",
        "001.517",
        "001.slab-old",
        "001.movable-slab-skipped",
    ),
    "002": (
        "002.base2417-cache-release",
        "002.pre9-process",
        "002.in-interrupt-bug-process",
        "002.special-list-repaired",
        "002.pagelocked",
        "002.pagelocked-in-interrupt",
        "002.lru-holds-ref",
        "002.irqsafe-lock",
    ),
    "003": ("003.base",),
    "004": (
        "004.no-bug-on",
        "004.wanpeng",
        "004.merged",
        "004.kosaki",
        "004.fault-page-lock",
        "004.migrate-remembers",
    ),
}
"""The variants whose hunks are on record, by thread: each patch that some right variant has, in the
one that has the least beside it; and what was merged, or was right as it was."""


def row(standing: Standing, variant: Variant) -> Row:
    """The outcome of one hunk: what ``--json`` and the record hold of it."""
    hunk, telling = standing.hunk, standing.telling
    found = None if telling is None else telling.found
    return {
        "variant": hunk.variant,
        "gate": hunk.place.gate,
        "file": hunk.place.file,
        "function": hunk.place.function,
        "turned": hunk.turned,
        "verdict": standing.verdict,
        "executions": standing.executions,
        "seconds": round(standing.seconds, 1),
        "casts": [[t.cast, t.verdict, t.executions] for t in standing.tried],
        "unsettled": list(standing.open),
        "finding": None
        if found is None or telling is None
        else {
            "title": found.title,
            "fingerprint": found.fingerprint,
            "cast": telling.cast,
            "first": found.nth,
            "preemptions": standing.preemptions,
            "line": standing.line,
        },
        "error": "" if telling is None else telling.error,
        "code": program_hash(variant.scenario.file),
    }


def hunk_name(row: Row) -> str:
    """GATE@FUNCTION."""
    return str(Place(row["gate"], row["file"], row["function"]))


def key(row: Row) -> Key:
    """What tells it from others."""
    return row["variant"], hunk_name(row)


def reproduce(row: Row, file: str | None = None) -> str:
    """The command that shows the finding again."""
    finding = row["finding"]
    command = ["python", "-m", "mmsim", "replay", row["variant"], finding["line"]]
    if file is None or finding["cast"] != "own set-up":
        command += ["--cast", finding["cast"].split(",")[0]]
    command += ["--turn", hunk_name(row)]
    if file is not None:
        command += ["--file", file]
    return shlex.join(command)


def read(file: Path = FILE) -> list[Row]:
    """All that is on record, in the order of the plan; nothing without a file."""
    if not file.is_file():
        return []
    rows: list[Row] = json.loads(file.read_text(encoding="utf-8"))
    return rows


def merged(before: Iterable[Row], now: Iterable[Row]) -> list[Row]:
    """The record with the new rows in it, in the order of the plan; what is not planned goes.

    A variant's new rows are put in place of all that was recorded of it.
    """
    rows = list(now)
    fresh = {row["variant"] for row in rows}
    rows += [row for row in before if row["variant"] not in fresh]
    order = [id for ids in PLAN.values() for id in ids]
    kept = [row for row in rows if row["variant"] in order]
    return sorted(kept, key=lambda row: (order.index(row["variant"]), row["turned"], key(row)))


def write(rows: Iterable[Row], file: Path = FILE) -> None:
    """Put them on record in place of what was there, at once or not at all."""
    text = "[\n" + ",\n".join(json.dumps(row, sort_keys=True) for row in rows) + "\n]\n"
    beside = file.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


def stale(row: Row, scenario: Scenario) -> bool:
    """Has the code changed since?"""
    return bool(row["code"] != program_hash(scenario.file))
