# SPDX-License-Identifier: GPL-2.0-only
"""The store: a SQLite file of campaigns and their blocks.

A block is one transaction: its counts, its metrics, its findings. In WAL mode with synchronous =
NORMAL a process that is killed loses nothing that was committed; when the power fails, the last
moments may be missing, and the file is whole all the same. Either way what is missing is blocks,
and a block can be run again.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mmsim import report
from mmsim.errors import InternalError, UsageError
from mmsim.stress.identity import Identity
from mmsim.stress.stored import values
from mmsim.stress.stored.lock import Lock
from mmsim.stress.stored.schema import APPLICATION, FORMAT, SCHEMA, pack, unpack
from mmsim.stress.tally import Block, BlockResult, Failure, Sample

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant

Row = sqlite3.Row
MICRO = 6
"""Digits of a number of seconds that are kept."""


class StoreFull(InternalError):
    """The store cannot be written to any more; what is in it is whole."""


def now() -> str:
    """UTC, as it stands in the store."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Store:
    """An open store; a context manager.

    ``write``: make it if it is not there, and hold the lock. Raises UsageError for a file that is
    none, is of another format, or is being written to by somebody else.
    """

    def __init__(self, path: str | Path, *, write: bool = False) -> None:
        self.path = Path(path)
        self._lock: Lock | None = None
        _check_path(self.path, write=write)
        try:
            if write:
                self._lock = Lock(self.path)
            self.db = _connect(self.path, write=write)
        except OSError as error:
            raise UsageError(f"store {path}: {error.strerror}") from None
        except BaseException:
            self._unlock()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # a full disk: the log stays, and is read
            self.db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing. Raises StoreFull if it cannot be written."""
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield
            self.db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise StoreFull(f"cannot write to store {self.path}: {error}") from error
            raise

    def rows(self, query: str, *args: object) -> list[Row]:
        """All rows of a query. Raises UsageError if the file is damaged."""
        try:
            return self.db.execute(query, args).fetchall()
        except sqlite3.DatabaseError as error:
            raise UsageError(f"store {self.path}: {error}") from None

    # campaigns and sessions

    def campaigns(self) -> list[Row]:
        return self.rows("SELECT * FROM campaign ORDER BY id")

    def campaign(self, id: int | None = None) -> Row:
        """One campaign, the last one if none is named. Raises UsageError if it is not there."""
        known = self.campaigns()
        if not known:
            raise UsageError(f"store {self.path} has no campaign in it")
        if id is None:
            return known[-1]
        for row in known:
            if row["id"] == id:
                return row
        ids = ", ".join(str(row["id"]) for row in known)
        raise UsageError(f"store {self.path} has no campaign {id}; it has {ids}")

    def insert(self, table: str, row: dict[str, Any]) -> int:
        """Add a row; its number."""
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        cursor = self.db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values())
        )
        return cursor.lastrowid or 0

    def begin_session(self, campaign: int, who: Identity, workers: str) -> int:
        """A process begins to work on a campaign; the number of its session.

        What an earlier one has lost is to be run again, and its totals are no longer the last.
        """
        with self.transaction():
            self.db.execute("DELETE FROM lost WHERE campaign = ?", (campaign,))
            self.db.execute(
                "UPDATE campaign SET ended = NULL, complete = 0 WHERE id = ?", (campaign,)
            )
            self.db.execute(
                "UPDATE variant SET runs = NULL, findings = NULL, rate = NULL, low = NULL, "
                "high = NULL, first_run = NULL, verdict = NULL, p = NULL WHERE campaign = ?",
                (campaign,),
            )
            return self.insert(
                "session",
                {
                    "campaign": campaign,
                    "began": now(),
                    "host": who.host,
                    "system": who.system,
                    "python": who.release,
                    "gil": who.gil,
                    "workers": workers,
                },
            )

    # blocks

    def add_block(self, campaign: int, session: int, variant: Variant, result: BlockResult) -> None:
        """One block, one transaction. Raises StoreFull if it cannot be written."""
        with self.transaction():
            self.put_block(campaign, session, result)
            self._put_findings(campaign, variant, result)

    def put_block(self, campaign: int, session: int, result: BlockResult) -> None:
        """The numbers of a block, as a part of a transaction."""
        block = result.block
        id = self.insert(
            "block",
            {
                "campaign": campaign,
                "variant": block.variant,
                "first": block.first,
                "covers": result.covers,
                "runs": result.runs,
                "findings": len(result.failures),
                "seconds": round(result.seconds, MICRO),
                "session": session,
                "worker": result.worker,
                "tries": result.tries,
                "note": result.note,
                "stored": now(),
                "detail": pack(_detail(result)),
            },
        )
        count = Counter(failure.fingerprint for failure in result.failures)
        for fingerprint, run in _first_runs(result).items():
            row = (id, fingerprint, count[fingerprint], run)
            self.db.execute("INSERT INTO found VALUES (?, ?, ?, ?)", row)
        self._put_metrics(id, result)

    def _put_findings(self, campaign: int, variant: Variant, result: BlockResult) -> None:
        for fingerprint, run in _first_runs(result).items():
            if self.knows(campaign, variant.id, fingerprint, run):
                continue
            sample = result.samples[fingerprint]
            finding = sample.finding
            smp = bool(variant.config.get("SMP", finding.cpus > 1))
            self.put_finding(
                {
                    "campaign": campaign,
                    "variant": variant.id,
                    "fingerprint": fingerprint,
                    "kind": finding.kind,
                    "title": finding.title,
                    "function": finding.where,
                    "run": run,
                    "step": finding.step,
                    "line": sample.schedule,
                    "report": report.kernel_report(finding, smp=smp),
                    "value": pack(values.of_finding(finding)),
                }
            )

    def knows(self, campaign: int, variant: str, fingerprint: str, run: int) -> bool:
        """Is there a finding of this kind, from a run as early as this one?"""
        row = self.db.execute(
            "SELECT run FROM finding WHERE campaign = ? AND variant = ? AND fingerprint = ?",
            (campaign, variant, fingerprint),
        ).fetchone()
        return row is not None and row["run"] <= run

    def put_finding(self, row: dict[str, Any]) -> None:
        """Of each kind the earliest, in the order of the runs, whenever it came."""
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        self.db.execute(
            f"INSERT OR REPLACE INTO finding ({names}) VALUES ({marks})", tuple(row.values())
        )

    def _put_metrics(self, id: int, result: BlockResult) -> None:
        """A run that does not mention a metric is null in `each`, and 0 in `total`."""
        names = dict.fromkeys(name for row in result.metrics for name in row)
        for name in names:
            each = [row.get(name) for row in result.metrics]
            said = [value for value in each if value is not None]
            row = (id, name, math.fsum(said), max(said), pack(each))
            self.db.execute("INSERT INTO metric VALUES (?, ?, ?, ?, ?)", row)

    def lose(self, campaign: int, session: int, block: Block, why: str) -> None:
        """A block that was given up. Raises StoreFull if it cannot be written."""
        with self.transaction():
            self.insert(
                "lost",
                {
                    "campaign": campaign,
                    "session": session,
                    "variant": block.variant,
                    "first": block.first,
                    "covers": block.count,
                    "why": why,
                },
            )

    def spans(self, campaign: int) -> Iterable[Row]:
        """Where the blocks of a campaign are, in the order of the runs."""
        return self.rows(
            "SELECT id, variant, first, covers, runs FROM block WHERE campaign = ? "
            "ORDER BY variant, first",
            campaign,
        )

    def samples(self, campaign: int) -> dict[str, dict[str, Sample]]:
        """Of each variant the first finding of each kind."""
        found: dict[str, dict[str, Sample]] = {}
        query = "SELECT variant, fingerprint, line, value FROM finding WHERE campaign = ?"
        for row in self.rows(query, campaign):
            sample = Sample(values.to_finding(self._unpacked(row["value"])), row["line"])
            found.setdefault(row["variant"], {})[row["fingerprint"]] = sample
        return found

    def block(self, id: int, samples: dict[str, Sample]) -> BlockResult:
        """A block as the worker handed it back. Raises UsageError if it is damaged."""
        row = self.rows("SELECT * FROM block WHERE id = ?", id)[0]
        detail = self._unpacked(row["detail"])
        metrics: list[dict[str, float]] = [{} for _ in range(row["runs"])]
        query = "SELECT name, each FROM metric WHERE block = ? ORDER BY name"
        for name, each in self.rows(query, id):
            for run, value in zip(metrics, self._unpacked(each), strict=False):
                if value is not None:
                    run[name] = value
        enough = row["findings"] if row["runs"] < row["covers"] else None
        return BlockResult(
            Block(row["variant"], -1, row["first"], row["covers"], enough),
            row["runs"],
            row["seconds"],
            tuple(Failure(o, s, f, tuple(extra)) for o, s, f, extra in detail["failures"]),
            samples,
            tuple(metrics),
            tuple(detail["policies"]),
            row["worker"],
            row["tries"],
            row["note"],
        )

    def _unpacked(self, data: bytes) -> Any:
        try:
            return unpack(data)
        except ValueError as error:
            raise UsageError(f"store {self.path} is damaged: {error}") from None


def _first_runs(result: BlockResult) -> dict[str, int]:
    """Of each kind in a block the first run that had it."""
    first: dict[str, int] = {}
    for failure in result.failures:
        first.setdefault(failure.fingerprint, result.block.first + failure.offset)
    return first


def _detail(result: BlockResult) -> dict[str, Any]:
    return {
        "failures": [
            [f.offset, round(f.seconds, MICRO), f.fingerprint, list(f.extra)]
            for f in result.failures
        ],
        "policies": list(result.policies),
    }


def _check_path(path: Path, *, write: bool) -> None:
    try:
        if path.is_dir():
            raise UsageError(f"store {path}: is a directory; give the name of a file")
        if not write and not path.is_file():
            raise UsageError(f"store {path}: there is no such file")
        if write and not path.parent.is_dir():
            raise UsageError(f"store {path}: there is no directory {str(path.parent)!r}")
    except (OSError, ValueError) as error:
        raise UsageError(f"store {str(path)!r}: {error}") from None


def _connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the database and make sure that it is a store."""
    problem: sqlite3.Error | None = None
    name = f"file:{quote(str(path.resolve()))}"
    for mode in ("?mode=rwc",) if write else ("?mode=rw", "?mode=ro", "?immutable=1"):
        db: sqlite3.Connection | None = None
        try:
            db = sqlite3.connect(name + mode, uri=True, isolation_level=None, timeout=30.0)
            db.row_factory = sqlite3.Row
            _check_kind(db, path, write=write)
        except sqlite3.OperationalError as error:
            problem = error  # a directory that nobody may write to: there is no log beside it
        except sqlite3.DatabaseError:
            raise UsageError(f"store {path} is no SQLite file") from None
        except UsageError:
            if db is not None:
                db.close()
            raise
        else:
            return db
        if db is not None:
            db.close()
    raise UsageError(f"store {path}: {problem}")


def _check_kind(db: sqlite3.Connection, path: Path, *, write: bool) -> None:
    empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if empty and write:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        tables = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};"
        db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {tables} COMMIT;")
    kind, format = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if kind != APPLICATION:
        what = "is empty" if empty else "is a SQLite file, but no store of mmsim"
        raise UsageError(f"store {path} {what}")
    if format != FORMAT:
        raise UsageError(f"store {path} has format {format}; this mmsim reads {FORMAT}")
    db.execute("PRAGMA foreign_keys = ON" if write else "PRAGMA query_only = ON")
    db.execute("PRAGMA synchronous = NORMAL")


def declared(row: Row) -> dict[str, Any]:
    """What a variant declared, from its row."""
    found: dict[str, Any] = json.loads(row["declared"])
    return found
