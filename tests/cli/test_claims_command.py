# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim claims` that is stopped, or cannot write: nothing that was run is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmsim.claims import claims
from mmsim.cli import main
from mmsim.cli.commands import claims as command
from mmsim.stress.source import Library, find_variant
from mmsim.stress.tally import Block, BlockResult, Tally


def stopped(chosen, source, *, runs, **rest):
    """As if Ctrl-C had come in the middle: half of the variants are through."""
    ids = sorted({id for claim in chosen for id in claim.variants()})
    tallies = {id: Tally(find_variant(Library(), id)) for id in ids}
    for id in ids[: len(ids) // 2]:
        tallies[id].take(BlockResult(Block(id, 0, 0, runs), runs, 0.1, (), {}, ({},) * runs))
    return tallies, False


def test_a_stopped_campaign_settles_what_it_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "campaign", stopped)
    target = tmp_path / "claims.json"
    assert main(["claims", "002", "--runs", "3", "--json", str(target)]) == 3
    out, err = capsys.readouterr()
    document = json.loads(target.read_text())
    assert document["complete"] is False
    told = document["claims"]
    every = [claim for claim in claims() if claim.thread == "002"]
    assert 1 < len(told) < len(every)
    assert f"{len(told)} of {len(every)} claims could be settled" in err
    assert all(f"{claim['id']}  " in out for claim in told)


@pytest.mark.parametrize("target", ["", "no/such/directory.json"])
def test_what_cannot_be_written_is_said_before_the_runs(
    target: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "campaign", None)
    assert main(["claims", "002", "--json", str(tmp_path / target)]) == 2
    assert capsys.readouterr().err.startswith("mmsim: --json ")
