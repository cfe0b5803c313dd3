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
import sys
from pathlib import Path
from typing import Any

import mmsim
from mmsim.errors import UsageError
from mmsim.stress.pairs import Evidence
from mmsim.stress.plan import Campaign
from mmsim.stress.settings import Settings
from mmsim.stress.tally import Kind, Tally
from mmsim.stress.verdict import measure, verdict_of
from mmsim.stress.worker import gil_enabled

FORMAT = 2


def reproduce(variant_id: str, schedule: str, file: str | None = None) -> str:
    """The command that shows a finding again."""
    command = ["python", "-m", "mmsim", "replay", variant_id, schedule]
    if file is not None:
        command += ["--file", file]
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
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def check_writable(path: str) -> None:
    """Find out before an hour's campaign, not after it, that its result cannot be written."""
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"--json {path}: is a directory; give the name of a file")
    parent = target.resolve().parent
    if not parent.is_dir():
        raise UsageError(f"--json {path}: there is no directory {str(target.parent)!r}")
    if not os.access(target if target.exists() else parent, os.W_OK):
        raise UsageError(f"--json {path}: not writable")


def write(path: str, data: dict[str, Any]) -> None:
    """Write the file in one go, so that nobody ever reads half of it."""
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    target = Path(path)
    if target.exists() and not target.is_file():  # a pipe or a device
        target.write_text(text, encoding="utf-8")
        return
    beside = target.resolve().with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(target.resolve())
    finally:
        beside.unlink(missing_ok=True)


def environment() -> str:
    """What ran this, in one line."""
    gil = "on" if gil_enabled() else "off"
    return f"mmsim {mmsim.__version__}, python {sys.version.split()[0]}, gil {gil}"
