# SPDX-License-Identifier: GPL-2.0-only
"""Lines that a report prints are small, and nothing is lost where they cannot be made small.

The update that is lost needs one preemption, between a read and its write; whoever finds it with
more has more to read.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mmsim.cli import main as mmsim
from mmsim.errors import StaleSchedule, UsageError
from mmsim.run import Runner
from mmsim.stress import interrupts, shrinking
from mmsim.stress.cli import main
from mmsim.stress.shrinking import Shrinking, shrink_kinds
from mmsim.stress.source import Library, find_variant
from mmsim.stress.tally import Kind, Sample

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Library("tests/stress/lost_update.py")
CHOSEN = ["--file", "tests/stress/lost_update.py", "--variant", "900.plain", "--cpus", "8"]
CHOSEN += ["--jobs", "1", "--seed", "5", "--policy", "random-walk"]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def found() -> Sample:
    """The first finding of the file's race, from a random walk of eight CPUs."""
    variant = find_variant(SOURCE, "900.plain")
    with Runner(variant, cpus=8, seed=5, engine="green", policy="random-walk") as runner:
        results = (runner.run(index) for index in range(500))  # most of them fail
        return next(Sample(r.findings[0], r.schedule) for r in results if r.findings)


def test_one_preemption_is_left() -> None:
    sample = found()
    shrunk = Shrinking(find_variant(SOURCE, "900.plain"), sample.schedule, SOURCE)(lambda _: False)
    assert shrunk.before.preemptions > 1
    assert shrunk.size.preemptions == 1
    assert shrunk.complete
    assert shrunk.sample.finding.fingerprint == sample.finding.fingerprint


def test_what_is_no_line_of_a_finding_is_refused() -> None:
    variant = find_variant(SOURCE, "900.plain")
    with pytest.raises(UsageError, match="starts with"):
        Shrinking(variant, "nonsense", SOURCE)
    locked = find_variant(SOURCE, "900.locked")
    with pytest.raises(StaleSchedule):
        Shrinking(locked, found().schedule, SOURCE)(lambda _: False)


def test_out_of_time_the_best_so_far_is_kept() -> None:
    variant, sample = find_variant(SOURCE, "900.plain"), found()
    at_once = Shrinking(variant, sample.schedule, SOURCE)(lambda _: True)
    assert at_once.size == at_once.before
    assert not at_once.complete
    some = Shrinking(variant, sample.schedule, SOURCE)(lambda shrinking: shrinking.runs >= 10)
    assert some.size.preemptions <= some.before.preemptions
    with Runner(variant, cpus=8, seed=0) as runner:
        runner.replay(some.sample.schedule)


def kinds(number: int) -> list[tuple[Any, Kind]]:
    variant, sample = find_variant(SOURCE, "900.plain"), found()
    return [(variant, Kind(sample, 1)) for _ in range(number)]


@pytest.mark.parametrize("after", [0, 30])
def test_an_interrupt_leaves_every_line_as_it_was_or_smaller(
    after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter(range(10**9))
    monkeypatch.setattr(interrupts, "heard", lambda: next(asked) >= after)
    several = kinds(3)
    shrink_kinds(several, SOURCE)
    assert several[-1][1].unshrunk == "interrupted"
    assert several[-1][1].shown == several[-1][1].sample
    assert (several[0][1].shrunk is not None) == (after > 0)


def test_a_second_interrupt_does_not_come_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Shrinking, "__call__", pressed)
    [(_, kind)] = several = kinds(1)
    shrink_kinds(several, SOURCE)
    assert kind.unshrunk == "interrupted"


def test_the_report_prints_the_small_line_and_the_json_has_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.json"
    assert main([*CHOSEN, "--json", str(target)]) == 0
    out = capsys.readouterr().out
    said = re.search(r"^shrunk    1 preemption in \d+ points; found with (\d+) ", out, re.M)
    assert said is not None
    assert int(said[1]) > 1
    command = next(line for line in out.splitlines() if line.startswith("Reproduce: "))
    [row] = json.loads(target.read_text())["variants"]
    [kind] = row["fingerprints"]
    assert kind["shrunk"]["preemptions"] == 1
    assert command == f"Reproduce: {kind['shrunk']['reproduce']}"
    assert kind["reproduce"] != kind["shrunk"]["reproduce"]
    for which in (kind, kind["shrunk"]):
        assert mmsim(which["reproduce"].split()[3:]) == 0


def test_what_is_not_printed_is_not_shrunk(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    assert main([*CHOSEN, "--reports", "none", "--json", str(target)]) == 0
    [row] = json.loads(target.read_text())["variants"]
    assert [kind["shrunk"] for kind in row["fingerprints"]] == [None]


def test_a_line_that_does_not_come_back_is_printed_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stale(*_: object) -> None:
        raise StaleSchedule("the code has changed")

    monkeypatch.setattr(shrinking.Shrinking, "__call__", stale)
    assert main(CHOSEN) == 0
    out = capsys.readouterr().out
    assert "shrunk    no: the code has changed\nReproduce: python -m mmsim replay 900.plain" in out
