# SPDX-License-Identifier: GPL-2.0-only
"""Every variant that fails can be played to its failure, and drawn.

Most fail within some random runs with eight CPUs.  What chance rarely meets is searched for in the
small cast in which the record of proofs says that it is found.
"""

from __future__ import annotations

import json

import pytest

from mmsim.play.session import Session
from mmsim.play.steering import CAN
from mmsim.proofs import record
from mmsim.proofs.prove import FOUND, Pair, prove
from mmsim.report.ftrace import ftrace
from mmsim.report.locksets import lockset_table
from mmsim.report.page import Cover, page, story_data
from mmsim.report.perfetto import perfetto
from mmsim.report.record import Recorder
from mmsim.run import Runner
from mmsim.scenarios.api import NEVER, Variant
from mmsim.scenarios.cast import with_cast
from mmsim.stress.source import Library, find_variant

RUNS = 300
PLAYABLE = 4_000
"""Steps.  A livelock takes all of its budget, and nobody plays to the end of it."""
MOST_BYTES = 1_500_000


def failing() -> list[str]:
    return [v.id for s in Library().scenarios() for v in s.variants if v.expect is not NEVER]


def at_random(variant: Variant, most: int) -> str:
    """The line of the first run that fails within so many steps; "" if none does."""
    with Runner(variant, cpus=8, seed=1, engine="green") as runner:
        results = (runner.run(n) for n in range(RUNS))
        return next((r.schedule for r in results if r.findings and r.steps < most), "")


def failure(id: str) -> tuple[Variant, str]:
    """The variant, with the cast in which it fails if that is a small one, and a line."""
    variant = find_variant(Library(), id)
    line = at_random(variant, PLAYABLE)
    if line:
        return variant, line
    known = [p for p in record.read().values() if p.variant == id and p.verdict == FOUND]
    if known:
        best = min(known, key=lambda proof: proof.first or 0)
        found = prove(Pair(variant, best.cast, best.bound), first=True)
        return with_cast(variant, best.cast), found.findings[0]["line"]
    return variant, at_random(variant, 10**9)


def played(variant: Variant, line: str) -> None:
    """To the finding, half way back, and there again."""
    with Session.of_line(variant, line) as session:
        moves = len(session.undone)
        session.redo(moves)
        assert session.position.over
        title = session.position.findings[0].title
        session.undo(moves // 2)
        assert not session.position.over
        assert any(s.state == CAN for s in session.position.standing)
        session.redo(moves)
        assert session.position.findings[0].title == title


def drawn(variant: Variant, line: str) -> None:
    """As a page, for Perfetto, as ftrace's text, as a table of locks."""
    cpus = int(line.split(":")[1])
    recorder = Recorder()
    with Runner(variant, cpus=cpus, seed=1, engine="green") as runner:
        findings = runner.replay(line, instruments=[recorder]).findings
    story = recorder.story(findings)
    data = story_data(story)
    assert [f["title"] for f in data["findings"]] == [f.title for f in findings]
    assert 0 < data["findings"][0]["at"] <= len(data["steps"]["n"])
    assert len(page(story, Cover(variant.id, variant.summary, "")).encode()) < MOST_BYTES
    assert json.loads(json.dumps(perfetto(story, variant.id)))["traceEvents"]
    assert len(ftrace(story).splitlines()) > 8
    assert lockset_table(story)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("id", failing())
def test_it_can_be_played_and_drawn(id: str) -> None:
    variant, line = failure(id)
    assert line
    drawn(variant, line)
    played(variant, line)


def test_what_chance_rarely_meets_can_be_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By way of the search: here chance has no run at all."""
    monkeypatch.setitem(globals(), "RUNS", 0)
    variant, line = failure("002.pagelocked-swapoff")
    assert variant.id == "002.pagelocked-swapoff"
    assert line.split(":")[1] == "2"
    drawn(variant, line)
    played(variant, line)
