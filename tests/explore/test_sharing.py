# SPDX-License-Identifier: GPL-2.0-only
"""A search that is split, left, or gone on with comes to the totals of one that is not."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.exploration import checkpoint
from mmsim.exploration.checkpoint import Checkpoint
from mmsim.exploration.crew import Crew
from mmsim.exploration.estimate import Estimate
from mmsim.exploration.explorer import Explorer, Question
from mmsim.exploration.tree import Tree, key

FLAWED = Question("002.flawed", "tv")  # 72 executions, two kinds of findings, an interrupt
PATCHED = ["explore", "002.pagelocked", "--cast", "tv", "--seconds", "0"]


def never() -> bool:
    return False


def after(steps: int) -> Callable[[], bool]:
    left = [steps]

    def enough() -> bool:
        left[0] -= 1
        return left[0] <= 0

    return enough


def totals(tree: Tree) -> tuple[object, ...]:
    return tree.executions, tree.blocked, tree.cut, tree.findings, tree.complete


def whole(explorer: Explorer) -> Tree:
    tree = Tree()
    explorer.load([], 0, tree.knowledge)
    tree.take(explorer.part(0, never))
    return tree


def test_branches_taken_from_the_wrong_end_and_in_small_pieces() -> None:
    """What several processes do, in one: the branch that is needed last is explored first."""
    with Explorer(FLAWED) as explorer:
        want = whole(explorer)
        assert (want.executions, want.complete) == (72, True)
        tree = Tree()
        parts = {}
        while not tree.complete:
            for frames in reversed(tree.branches(5)):
                if key(frames) not in parts:
                    explorer.load(frames, len(frames), tree.knowledge)
                    parts[key(frames)] = explorer.part(len(frames), after(3))
            tree.take(parts.pop(tree.key))
        assert totals(tree) == totals(want)
        assert len(parts) <= 2  # explored before all that was to come there was known


def test_the_collector_gets_back_what_it_was_told_to_leave_alone() -> None:
    before = gc.get_freeze_count()
    with Explorer(FLAWED):
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("bound", [None, 1])
def test_a_search_that_is_left_again_and_again(tmp_path: Path, bound: int | None) -> None:
    question = Question("002.flawed", "tv", bound=bound)
    with Explorer(question) as explorer:
        want = whole(explorer)
        tree = Tree()
        stops = 0
        while not tree.complete:
            explorer.load(tree.frames, 0, tree.knowledge)
            part = explorer.part(0, after(7))
            tree.frames = []
            tree.take(part)
            Checkpoint(question, explorer.code, tree, 1.0).save(tmp_path / "kept.json")
            tree = checkpoint.load(tmp_path / "kept.json").tree
            stops += 1
        assert totals(tree) == totals(want)
        assert stops > 1


def test_two_processes_come_to_the_totals_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsim.exploration.crew.SLICE", 0.01)
    monkeypatch.setattr("mmsim.exploration.crew.FIRST", 0.001)
    tree = Tree()
    with Crew(FLAWED, tree, 2) as crew:
        crew.explore(never)
    with Explorer(FLAWED) as explorer:
        assert totals(tree) == totals(whole(explorer))


@pytest.mark.slow
def test_a_process_that_dies_harms_nobody() -> None:
    tree = Tree()
    with Crew(FLAWED, tree, 1) as crew:
        seat = crew._seats[0]
        seat.process.kill()
        crew.explore(never)
        assert crew._seats[0] is not seat
    assert (tree.executions, tree.complete) == (72, True)


def test_ctrl_c_keeps_the_search_and_resume_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*PATCHED, "--json", "whole.json"]) == 0
    steps = after(9)
    step = Explorer.step

    def interrupted(self: Explorer) -> None:
        if steps():
            raise KeyboardInterrupt
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Explorer, "step", interrupted)
        assert main(PATCHED) == 3
    out = capsys.readouterr().out
    assert "incomplete: interrupted" in out
    assert "mmsim explore --resume explore-002.pagelocked-tv.json" in out
    assert main(["explore", "--resume", "explore-002.pagelocked-tv.json", "--json", "r.json"]) == 0
    one, other = (json.loads(Path(name).read_text()) for name in ("whole.json", "r.json"))
    for data in (one, other):
        del data["seconds"]
    assert one == other


def test_a_limit_can_be_kept_and_raised(tmp_path: Path) -> None:
    kept, out = str(tmp_path / "kept.json"), tmp_path / "out.json"
    assert main([*PATCHED, "--limit", "5", "--save", kept]) == 1
    assert main(["explore", "--resume", kept, "--limit", "10"]) == 1
    assert main(["explore", "--resume", kept, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["verdict"] == "never-exhaustive"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--resume", "nothing.json"], "No such file"),
        (["--resume", "other.json"], "is no saved search"),
        (["--resume", "old.json"], "was saved by other code"),
        (["--resume", "good.json", "--bound", "3"], "was saved with bound None"),
        (["002.flawed", "--resume", "good.json"], "the variant cannot be '002.flawed'"),
        ([], "needs a variant"),
    ],
)
def test_what_cannot_be_gone_on_with(
    words: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    question = Question("002.pagelocked", "tv")
    Path("other.json").write_text('{"format": "mmsim-explore-2", "counts": 3}')
    code = Explorer(question).code
    Checkpoint(question, code, Tree(), 0.0).save(Path("good.json"))
    Checkpoint(question, "abcdef", Tree(), 0.0).save(Path("old.json"))
    assert main(["explore", *words]) == 2
    assert says in capsys.readouterr().err


def test_an_estimate_says_how_far_it_has_moved() -> None:
    estimate = Estimate()
    for executions, part in ((10, 0.5), (100, 0.1), (150, 0.2), (190, 0.1)):
        estimate.add(executions, part)
    guess = estimate.guess()
    assert guess is not None
    assert [round(n) for n in guess] == [1_900, 750, 1_900]


def test_races_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PATCHED, "--races"]) == 0
    out = capsys.readouterr().out
    assert "reversed     times" in out
    assert " <- " in out
