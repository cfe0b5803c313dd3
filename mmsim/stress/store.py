# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a campaign as JSON.

Everything that depends on the machine and not on the seed stands in keys that say so: `seconds`
and `first_seconds` of a variant, and the block `times`. Without those, two campaigns with one
seed give the same file, byte for byte.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mmsim
from mmsim.errors import UsageError, one_line
from mmsim.stress.pairs import Evidence
from mmsim.stress.plan import Campaign
from mmsim.stress.settings import Settings
from mmsim.stress.tally import Kind, Shrunk, Tally
from mmsim.stress.verdict import measure, verdict_of
from mmsim.stress.worker import gil_enabled

FORMAT = 2


def reproduce(variant_id: str, schedule: str, file: str | None = None) -> str:
    """The command that shows a finding again."""
    command = ["python", "-m", "mmsim", "replay", variant_id, schedule]
    if file is not None:
        command += [f"--file={file}"] if file.startswith("-") else ["--file", file]
    return shlex.join(command)


def document(
    campaign: Campaign, settings: Settings, *, complete: bool, wall: float
) -> dict[str, Any]:
    """The whole outcome as plain data."""
    return {
        "format": FORMAT,
        "mmsim": mmsim.__version__,
        "python": platform.python_version(),
        "gil": gil_enabled(),
        "engine": settings.engine,
        "policy": settings.scheduler,
        "memory": settings.memory,
        "cpus": settings.cpus,
        "seed": settings.seed,
        "profile": settings.profile,
        "file": settings.file,
        "complete": complete,
        "lost": list(campaign.lost),
        "variants": [_variant(campaign, tally, settings.file) for tally in campaign.tallies],
        "times": {
            "wall_seconds": round(wall, 3),
            "jobs": settings.jobs,
            "core_seconds": round(sum(tally.seconds for tally in campaign.tallies), 3),
        },
    }


def _variant(campaign: Campaign, tally: Tally, file: str | None) -> dict[str, Any]:
    judgement, rate = verdict_of(campaign, tally), tally.rate
    variant = tally.variant
    return {
        "id": variant.id,
        "expected": judgement.expected,
        "observed": judgement.observed,
        "verdict": judgement.verdict,
        "ok": judgement.ok,
        "reasons": list(judgement.reasons),
        "against": judgement.against,
        "p": judgement.p,
        "runs_needed": judgement.needed,
        "proved": judgement.proved or None,
        "pairs": [_pair(evidence, file) for evidence in judgement.evidence],
        "runs": tally.runs,
        "findings": tally.findings,
        "rate": rate.value,
        "low": rate.low,
        "high": rate.high,
        "stop_after": tally.stop_after,
        "learning": {"runs": tally.learnt_runs, "findings": tally.learnt_findings},
        "policies": {
            name: {"runs": n, "findings": k} for name, (k, n) in sorted(tally.policies.items())
        },
        "first_run": tally.first_run,
        "first_seconds": _rounded(tally.first_seconds),
        "seconds": _rounded(tally.seconds),
        "fingerprints": _kinds(tally, file),
        "extra": [
            {"title": title, "count": count}
            for title, count in sorted(tally.extra.items(), key=lambda item: (-item[1], item[0]))
        ],
        "metrics": {
            m.name: {
                "mean": m.mean,
                "low": m.low,
                "high": m.high,
                "n": m.n,
                "expect": m.expect,
                "ok": m.ok,
            }
            for m in measure(tally)
        },
    }


def _pair(evidence: Evidence, file: str | None) -> dict[str, Any]:
    """A right variant beside one of its twins; `arm` is what ran for it on the twin's cast."""
    right, wrong = evidence.right, evidence.wrong
    return {
        "against": wrong.variant.id,
        "arm": right.variant.id,
        "p": evidence.p,
        "runs_needed": evidence.needed,
        "runs": right.runs,
        "findings": right.findings,
        "fingerprints": [] if evidence.pair.own_cast else _kinds(right, file),
        "twin": {
            "runs": wrong.runs,
            "findings": wrong.findings,
            "rate": wrong.rate.value,
            "low": wrong.rate.low,
            "high": wrong.rate.high,
        },
    }


def _kinds(tally: Tally, file: str | None) -> list[dict[str, Any]]:
    return [_kind(tally.variant.id, name, kind, file) for name, kind in by_count(tally).items()]


def by_count(tally: Tally) -> dict[str, Kind]:
    """The kinds of finding of a variant, the most frequent first."""
    return dict(sorted(tally.kinds.items(), key=lambda item: (-item[1].count, item[0])))


def _kind(variant_id: str, fingerprint: str, kind: Kind, file: str | None) -> dict[str, Any]:
    finding = kind.sample.finding
    return {
        "id": fingerprint,
        "kind": finding.kind,
        "title": finding.title,
        "where": finding.where,
        "count": kind.count,
        "reproduce": reproduce(variant_id, kind.sample.schedule, file),
        "shrunk": _shrunk(variant_id, kind.shrunk, file),
    }


def _shrunk(variant_id: str, shrunk: Shrunk | None, file: str | None) -> dict[str, Any] | None:
    """Of a kind that was reported: the smallest run found that ends in it."""
    if shrunk is None:
        return None
    return {
        "line": shrunk.sample.schedule,
        **asdict(shrunk.size),
        "complete": shrunk.complete,
        "reproduce": reproduce(variant_id, shrunk.sample.schedule, file),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def check_writable(path: str, option: str = "--json") -> None:
    """Find out before an hour's campaign, not after it, that its result cannot be written."""
    try:
        target = Path(path)
        if target.is_dir():
            raise UsageError(f"{option} {path}: is a directory; give the name of a file")
        real = target.resolve()
        if not real.parent.is_dir():
            raise UsageError(f"{option} {path}: there is no directory {str(target.parent)!r}")
        if real.exists() and not os.access(real, os.W_OK):
            raise UsageError(f"{option} {path}: not writable")
        if not real.exists():
            _try_name(real)
        if not real.exists() or real.is_file():
            _beside(real).unlink()
    except OSError as error:
        raise UsageError(f"{option} {path}: not writable: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:  # a NUL in it, links that lead in a circle
        raise UsageError(f"{option} {path!r}: {one_line(error)}") from error


def _try_name(target: Path) -> None:
    """The name itself may be too long for this file system, or not allowed."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    target.unlink()


def _beside(target: Path) -> Path:
    """A new empty file in the same directory, which can take the target's place in one step."""
    beside = target.with_name(f".mmsim-{os.getpid()}-{time.monotonic_ns():x}")
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return beside


def write_text(path: str, text: str) -> None:
    """Write the file in one go, so that nobody ever reads half of it. Raises OSError."""
    target = Path(path).resolve()
    if target.exists() and not target.is_file():  # a pipe or a device
        target.write_text(text, encoding="utf-8")
        return
    beside = _beside(target)
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def keep(path: str, data: Mapping[str, Any]) -> bool:
    """Write the result of a campaign; if that fails, put it elsewhere and say on stderr where.

    True if it is where it was asked for. What has been counted is never thrown away.
    """
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    try:
        write_text(path, text)
    except (OSError, ValueError, RuntimeError) as error:
        why = f"mmsim: cannot write {path}: {getattr(error, 'strerror', None) or one_line(error)}"
        try:
            descriptor, name = tempfile.mkstemp(prefix="mmsim-", suffix=".json")
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            print(f"{why}; here it is:\n{text}", file=sys.stderr, end="")
        else:
            print(f"{why}; it is in {name}", file=sys.stderr)
        return False
    return True


def environment() -> str:
    """What ran this, in one line."""
    gil = "on" if gil_enabled() else "off"
    return f"mmsim {mmsim.__version__}, python {sys.version.split()[0]}, gil {gil}"
