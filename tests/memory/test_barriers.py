# SPDX-License-Identifier: GPL-2.0-only
"""The barrier question of thread 002, and barriers switched off one at a time."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.engine.memory.without import Barrier, Barriers
from mmsim.run import Runner
from mmsim.stress.source import Library, find_variant

ENOUGH = 4_600
"""Runs that miss a rate of 0.003 with less than 1e-6; measured are 0.0032 to 0.0058, in 5,000 runs
of each that lacks the read barrier.  The seed is fixed: it shows after 4 to 193 runs."""


def findings(name: str, runs: int, enough: int = 1, memory: str | None = None) -> list[str]:
    titles: list[str] = []
    with Runner(
        find_variant(Library(), name), cpus=2, seed=1, engine="green", memory=memory
    ) as runner:
        for index in range(runs):
            titles += [finding.title for finding in runner.run(index).findings[:1]]
            if len(titles) >= enough:
                break
    return titles


@pytest.mark.parametrize(
    "which",
    [
        "no-rmb",
        *(pytest.param(w, marks=pytest.mark.slow) for w in ("putter-mb", "alpha", "ppc")),
    ],
)
def test_without_the_read_barrier(which: str) -> None:
    variant = find_variant(Library(), f"002.pagelocked-{which}")
    [title] = findings(variant.id, ENOUGH)
    assert any(re.search(pattern, title) for pattern in variant.findings)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["rmb", "acquire", "alpha-rmb", "i386", "ia64", "in-order"])
def test_with_it_or_where_loads_are_in_order(which: str) -> None:
    assert findings(f"002.pagelocked-{which}", 5_000) == []


@pytest.mark.slow
def test_the_same_code_in_order() -> None:
    assert findings("002.pagelocked-no-rmb", 5_000, memory="sc") == []


def test_a_barrier_that_is_off_is_missed() -> None:
    """Three times in the first 600 runs of this seed."""
    barriers = Barriers(Barrier("shrink_cache", "smp_rmb"))
    variant = find_variant(Library(), "002.pagelocked-rmb")
    with Runner(variant, cpus=2, seed=1, engine="green", barriers=barriers) as runner:
        assert any(runner.run(index).findings for index in range(ENOUGH))
    assert barriers.off in barriers.met


def test_the_command_names_each_barrier(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["barriers", "002.pagelocked-rmb", "--runs", "5"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"002\.pagelocked-rmb: 0 of 5, rate < ", out)
    assert re.search(r"smp_rmb +shrink_cache\(\) +0 of 5", out)
    assert re.search(r"smp_mb +unlock_page\(\)", out)


def test_a_variant_that_fails_anyhow_tells_nothing_of_barriers() -> None:
    assert main(["barriers", "002.flawed", "--runs", "5"]) == 2


FROZEN = str(Path(__file__).parent / "frozen.py")
FREEZE = "rmw/page_freeze_refs/_refcount"


def test_what_an_atomic_orders_is_missed_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Found with this seed in the first 400 runs; 5,500 miss a rate of 1 in 400 with 1e-6."""
    variant = find_variant(Library(FROZEN), "905.frozen")
    barriers = Barriers(Barrier.parse(FREEZE))
    with Runner(
        variant, cpus=2, seed=1, engine="green", memory="weak", barriers=barriers
    ) as runner:
        runs = (runner.run(index) for index in range(5_500))
        line = next(run.schedule for run in runs if run.findings)
    replay = ["replay", variant.id, line, "--file", FROZEN]
    assert main([*replay, "--without", FREEZE]) == 0
    out = capsys.readouterr().out
    assert "what was written is lost" in out
    assert f"--without {FREEZE}" in out
    assert main(replay) == 2
    assert "stale schedule" in capsys.readouterr().err
    shrink = ["shrink", *replay[1:], "--without", FREEZE, "--seconds", "2"]
    assert main(shrink) == 0
    before, after = map(int, re.findall(r"(\d+) old values", capsys.readouterr().out))
    assert 0 < after <= before


def test_the_freeze_needs_no_more_than_it_has() -> None:
    with Runner(
        find_variant(Library(FROZEN), "905.frozen"), cpus=2, seed=1, engine="green", memory="weak"
    ) as runner:
        assert not any(runner.run(index).findings for index in range(200))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("smp_mbb/unlock_page", "'smp_mbb' is no barrier: one of smp_mb, smp_rmb, smp_wmb"),
        ("smp_mb", "has to be KIND/FUNCTION"),
        ("rmw/put_page_testzero", "has to be KIND/FUNCTION/WORD"),
        ("smp_mb/unlock_page/flags", "has to be KIND/FUNCTION"),
    ],
)
def test_a_barrier_that_is_none(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "002.pagelocked-rmb", "mm1:x", "--without", text]) == 2
    assert said in capsys.readouterr().err


def test_a_barrier_is_named_as_it_is_read() -> None:
    for barrier in (
        Barrier("unlock_page", "smp_mb"),
        Barrier("put_page_testzero", "rmw", "_refcount"),
    ):
        assert Barrier.parse(str(barrier)) == barrier


PAGE = Path(__file__).parents[2] / "docs" / "barriers.md"
REPLAYS = re.findall(
    r"^    python -m mmsim (replay .* mm2:[^…\n]*)$", PAGE.read_text("utf-8"), re.M
)


@pytest.mark.parametrize("command", REPLAYS, ids=[text.split()[1] for text in REPLAYS])
def test_what_the_page_shows_replays(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PAGE.parents[1])
    assert main(shlex.split(command)) == 0
    assert "fingerprint" in capsys.readouterr().out


def test_the_page_has_a_line_for_each() -> None:
    assert len(REPLAYS) >= 10
