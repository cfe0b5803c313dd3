# SPDX-License-Identifier: GPL-2.0-only
"""The tables of a store, and how values are packed into them.

What people ask for stands in columns; what only a recount needs, run by run, is packed: JSON
without blanks, compressed. That keeps a million runs in some megabytes, and any language can read
it. `docs/store.md` describes the tables for those who query them.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

FORMAT = 1
APPLICATION = 0x6D6D7331
"""`mms1`, in the header of the file: `file(1)` and we tell a store from other databases by it."""

PROPOSAL = """
CREATE TABLE IF NOT EXISTS proposal (
    campaign    INTEGER NOT NULL REFERENCES campaign ON DELETE CASCADE,
    variant     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    title       TEXT NOT NULL,
    line        TEXT NOT NULL,
    preemptions INTEGER NOT NULL,
    turns       INTEGER NOT NULL,
    points      INTEGER NOT NULL,
    old_values  INTEGER,
    "cast"      TEXT NOT NULL,
    PRIMARY KEY (campaign, variant, fingerprint)
);
"""
"""A store that was made before there were any gets the table with its first."""

SCHEMA = f"""
CREATE TABLE campaign (
    id        INTEGER PRIMARY KEY,
    plan      TEXT NOT NULL,
    code      TEXT NOT NULL,
    python    TEXT NOT NULL,
    mmsim     TEXT NOT NULL,
    profile   TEXT NOT NULL,
    engine    TEXT NOT NULL,
    policy    TEXT NOT NULL,
    cpus      INTEGER NOT NULL,
    seed      TEXT NOT NULL,
    seconds   REAL,
    file      TEXT,
    command   TEXT NOT NULL,
    began     TEXT NOT NULL,
    ended     TEXT,
    complete  INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE session (
    id        INTEGER PRIMARY KEY,
    campaign  INTEGER NOT NULL REFERENCES campaign ON DELETE CASCADE,
    began     TEXT NOT NULL,
    ended     TEXT,
    outcome   TEXT,
    host      TEXT NOT NULL,
    system    TEXT NOT NULL,
    python    TEXT NOT NULL,
    gil       INTEGER NOT NULL,
    workers   TEXT NOT NULL,
    wall      REAL
);
CREATE TABLE variant (
    campaign  INTEGER NOT NULL REFERENCES campaign ON DELETE CASCADE,
    id        TEXT NOT NULL,
    place     INTEGER NOT NULL,
    asked     INTEGER NOT NULL,
    scenario  TEXT NOT NULL,
    thread    TEXT NOT NULL,
    summary   TEXT NOT NULL,
    expected  TEXT NOT NULL,
    budget    INTEGER,
    most      INTEGER,
    stop_after INTEGER,
    declared  TEXT NOT NULL,
    runs      INTEGER,
    findings  INTEGER,
    rate      REAL,
    low       REAL,
    high      REAL,
    first_run INTEGER,
    verdict   TEXT,
    p         REAL,
    proved    TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (campaign, id)
) WITHOUT ROWID;
CREATE TABLE pair (
    campaign  INTEGER NOT NULL REFERENCES campaign ON DELETE CASCADE,
    place     INTEGER NOT NULL,
    good      TEXT NOT NULL,
    bad       TEXT NOT NULL,
    arm       TEXT NOT NULL,
    PRIMARY KEY (campaign, place)
) WITHOUT ROWID;
CREATE TABLE block (
    id        INTEGER PRIMARY KEY,
    campaign  INTEGER NOT NULL REFERENCES campaign ON DELETE CASCADE,
    variant   TEXT NOT NULL,
    first     INTEGER NOT NULL,
    covers    INTEGER NOT NULL,
    runs      INTEGER NOT NULL,
    findings  INTEGER NOT NULL,
    seconds   REAL NOT NULL,
    session   INTEGER NOT NULL REFERENCES session,
    worker    TEXT NOT NULL,
    tries     INTEGER NOT NULL DEFAULT 1,
    note      TEXT NOT NULL DEFAULT '',
    stored    TEXT NOT NULL,
    detail    BLOB NOT NULL,
    UNIQUE (campaign, variant, first)
);
CREATE TABLE found (
    block       INTEGER NOT NULL REFERENCES block ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    count       INTEGER NOT NULL,
    first_run   INTEGER NOT NULL,
    PRIMARY KEY (block, fingerprint)
) WITHOUT ROWID;
CREATE TABLE finding (
    campaign    INTEGER NOT NULL REFERENCES campaign ON DELETE CASCADE,
    variant     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    kind        TEXT NOT NULL,
    title       TEXT NOT NULL,
    function    TEXT NOT NULL,
    run         INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    line        TEXT NOT NULL,
    shrunk      TEXT,
    report      TEXT NOT NULL,
    value       BLOB NOT NULL,
    PRIMARY KEY (campaign, variant, fingerprint)
);
CREATE TABLE metric (
    block     INTEGER NOT NULL REFERENCES block ON DELETE CASCADE,
    name      TEXT NOT NULL,
    total     REAL NOT NULL,
    most      REAL NOT NULL,
    each      BLOB NOT NULL,
    PRIMARY KEY (block, name)
) WITHOUT ROWID;
CREATE TABLE lost (
    id        INTEGER PRIMARY KEY,
    campaign  INTEGER NOT NULL REFERENCES campaign ON DELETE CASCADE,
    session   INTEGER NOT NULL REFERENCES session,
    variant   TEXT NOT NULL,
    first     INTEGER NOT NULL,
    covers    INTEGER NOT NULL,
    why       TEXT NOT NULL
);
{PROPOSAL}
"""

TABLES = (
    *("campaign", "session", "variant", "pair", "block", "found"),
    *("finding", "metric", "lost", "proposal"),
)


def pack(value: Any) -> bytes:
    """A value of JSON as compressed bytes."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return zlib.compress(text.encode(), 6)


def unpack(data: bytes) -> Any:
    """The value again. Raises ValueError for bytes that `pack` has not made."""
    try:
        return json.loads(zlib.decompress(data))
    except zlib.error as error:
        raise ValueError(str(error)) from None
