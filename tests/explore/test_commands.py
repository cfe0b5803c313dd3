# SPDX-License-Identifier: GPL-2.0-only
"""`explore` and `shrink` on real variants: verdicts, lines that replay, bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.run import Runner
from mmsim.stress.source import Library, find_variant

SWAPOFF = "002.pagelocked-swapoff"


def test_both_bugs_are_found_and_replay_under_threads(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(["explore", SWAPOFF, "--limit", "120", "--seconds", "0", "--json", str(out)]) == 0
    data = json.loads(out.read_text())
    assert (data["verdict"], data["bound"], data["complete"]) == ("found", None, True)
    titles = {found["title"] for found in data["findings"]}
    assert titles == {"kernel BUG at page_alloc.c:82!", "kernel BUG at page_alloc.c:93!"}
    with Runner(find_variant(Library(), SWAPOFF), cpus=2, seed=0) as runner:
        for found in data["findings"]:
            line = found["reproduce"].split()[5]
            assert runner.replay(line).findings[0].title == found["title"]


def test_never_is_said_of_a_cast_that_was_exhausted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    assert main(["explore", "002.pagelocked", "--cast", "tv", "--json", str(out)]) == 0
    assert "Never (exhaustive: cast tv, interrupts bttv, " in capsys.readouterr().out
    data = json.loads(out.read_text())
    assert (data["verdict"], data["complete"], data["findings"]) == ("never-exhaustive", True, [])


def test_the_same_cast_finds_what_the_patch_closes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "002.flawed", "--cast", "tv"]) == 0
    out = capsys.readouterr().out
    assert "all of them were run" in out
    assert "double free: the page is free already" in out


def test_a_limit_is_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "002.pagelocked", "--cast", "tv", "--limit", "3"]) == 1
    assert "incomplete: a limit was reached" in capsys.readouterr().out


def test_a_bound_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explore", "002.pagelocked", "--cast", "tv", "--bound", "1"])
    assert "Never up to 1 preemptions (cast tv, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cast", "nobody"], "no cast 'nobody'"),
        (["--cpus", "0"], "it has to be 1 to 64"),
        (["--bound", "-1"], "it has to be 0 or more"),
        (["--limit", "0"], "it has to be 1 or more"),
        (["--json", "/nowhere/x.json"], "there is no directory /nowhere"),
    ],
)
def test_what_makes_no_sense(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", "002.flawed", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_line_shrinks_to_two_preemptions(capsys: pytest.CaptureFixture[str]) -> None:
    variant = find_variant(Library(), "002.flawed")
    with Runner(variant, cpus=8, seed=3, engine="green", policy="pos") as runner:
        results = (runner.run(index) for index in range(3_000))
        line = next(result.schedule for result in results if result.findings)
    assert main(["shrink", "002.flawed", line]) == 0
    out = capsys.readouterr().out
    found = re.search(r"shrunk +(\d+) preemptions", out)
    assert found is not None
    assert int(found[1]) <= 3
    assert main(["replay", "002.flawed", out.split()[-1]]) == 0


def test_only_a_schedule_with_a_finding_shrinks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shrink", "002.flawed", "mm1:nonsense"]) == 2
    assert "mmsim: the schedule is truncated" in capsys.readouterr().err
