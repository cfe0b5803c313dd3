# SPDX-License-Identifier: GPL-2.0-only
"""`replay --calls` prints the tree of exactly the recorded run, and recording changes nothing."""

from __future__ import annotations

import json

import pytest

from mmsim import cli
from mmsim.run import Runner
from mmsim.scenarios.registry import find_variant

from .tree import parse

NAME = "003.unlock-first"


@pytest.fixture(scope="module")
def schedule() -> str:
    with Runner(find_variant(NAME), cpus=2, seed=1) as runner:
        # each run is one of several machines and fails in about one of ten: none in 200 is 1e-9
        return next(r.schedule for r in map(runner.run, range(200)) if r.findings)


def test_the_tree_ends_where_the_kernel_says_bug(
    schedule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["replay", NAME, schedule, "--calls", "--decode"]) == 0
    text = capsys.readouterr().out
    tree, _, told = text.partition("------------[ cut here ]------------")
    assert "fingerprint" in told
    last = tree.rstrip().splitlines()[-1].split()[-1]
    assert f"RIP: 0010:{last} (mm/" in told
    assert parse(tree).all("__unmap_and_move")


def test_without_it_no_call_is_printed(schedule: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", NAME, schedule, "--calls", "--json"]) == 0
    recorded = json.loads(capsys.readouterr().out)
    assert recorded["calls"][0]["number"] == 1
    assert cli.main(["replay", NAME, schedule, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert "calls" not in plain
    assert plain["findings"] == recorded["findings"]
    assert plain["steps"] == recorded["steps"]
