# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim compare STORE STORE`: what it finds, says and returns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.stress.stored.file import Store
from tests.stress.fake import FakeSource, source
from tests.stress.store_driver import OFTEN, RIGHT, SOURCE, WHO, WRONG, begin, finish, work

BROKEN = source(dataclasses.replace(RIGHT, chance=0.02), WRONG, OFTEN)
SELDOM = source(RIGHT, WRONG, dataclasses.replace(OFTEN, chance=0.25))


def stored(path: Path, seed: int, of: FakeSource = SOURCE, code: str = "c0de") -> str:
    with Store(path, write=True) as store:
        campaign = begin(store, seed, who=dataclasses.replace(WHO, code=code))
        work(campaign, seed, of=of)
        finish(campaign)
    return str(path)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> str:
    return stored(tmp_path_factory.mktemp("before") / "before.sqlite", 11)


def test_equal_campaigns_are_equal(
    before: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = stored(tmp_path / "after.sqlite", 12)
    assert main(["compare", before, after]) == 0
    out = capsys.readouterr().out
    assert out.startswith("BEFORE  before.sqlite campaign 1, ")
    assert out.endswith("no regression, and nothing has changed that is not luck\n")
    assert all(len(line) <= 80 for line in out.splitlines())


def test_a_fix_that_is_gone_is_a_regression(
    before: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = stored(tmp_path / "after.sqlite", 12, BROKEN, "beef")
    target = tmp_path / "out.json"
    assert main(["compare", before, after, "--json", str(target)]) == 1
    out = capsys.readouterr().out
    assert "  900.right: as-declared before, differs after" in out.splitlines()
    assert out.splitlines()[-1].startswith("REGRESSION: ")
    data = json.loads(target.read_text())
    assert data["regression"] is True
    (change,) = [c for c in data["changes"] if c["variant"] == "900.right" and not c["kind"]]
    assert change["what"] == "new"
    assert main(["compare", after, before]) == 0  # the other way round it is a repair


def test_what_has_become_rarer_is_no_regression(
    before: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = stored(tmp_path / "after.sqlite", 12, SELDOM)
    assert main(["compare", before, after]) == 0
    out = capsys.readouterr().out
    assert "\nRARER\n  900.often\n" in out
    assert main(["compare", after, before]) == 1
    assert "\nLIKELIER\n  900.often\n" in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused(
    before: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*argv: str) -> str:
        assert main(["compare", *argv]) == 2
        return capsys.readouterr().err

    assert "their runs are the same" in refused(before, before)
    assert "compare two variants or two stores" in refused(before, "002.flawed")
    assert "there is no such file" in refused(before, str(tmp_path / "nowhere.sqlite"))
    assert "has no campaign 7; it has 1" in refused(before, before, "--after", "7")
    after = stored(tmp_path / "after.sqlite", 12)
    with Store(after, write=True) as store:
        store.db.execute("UPDATE campaign SET policy = 'pct'")
    assert "have policy mix and pct" in refused(before, after)
    assert main(["compare", before, after, "--anyway"]) == 0
