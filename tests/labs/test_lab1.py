# SPDX-License-Identifier: GPL-2.0-only
"""Lab 1 from beginning to end: a double free that was played by hand, and its grade."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.labs.catalogue import find

# For the cast `tv`: xawtv has seen that it is not the last; the interrupt drops its pin; xawtv
# drops the last reference, and stops. In between, kswapd goes so many steps.
BEGIN = ("0 5", "i0", "0 b", "0 2")


def fill(folder: Path, **answers: str) -> None:
    text = (folder / "answers.toml").read_text()
    for name, value in answers.items():
        text, n = re.subn(rf'(?m)^{name} = ""', lambda _, n=name, v=value: f"{n} = {v!r}", text)
        assert n == 1, name
    (folder / "answers.toml").write_text(text)


@pytest.mark.parametrize(
    ("kswapd", "title"),
    [(23, "the page has another owner"), (60, "the page is free already")],
    ids=["while reclaim is at it", "after reclaim has"],
)
def test_from_the_first_step_to_the_grade(
    kswapd: int,
    title: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert find(1).drawn("")["cast"] == "tv"
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "lab1"
    assert main(["lab", "start", "1"]) == 0
    fill(folder, happens="yes, in every tenth run", why="both believe that it is theirs")
    moves = [*BEGIN, f"1 {kswapd}", "u", "r", "0 b", "line"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(moves)))
    assert main(["lab", "play", "1", "--text"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert f"*** double free: {title}" in out
    fill(
        folder,
        line=out[-1],
        short=out[-1],
        freed_first_by="kswapd",
        freed_second_by="xawtv",
        count_at_the_look="0",
        lock_of_count="none",
        lock_of_list="pagemap_lru_lock",
        explain="xawtv makes the count 0 and has not looked at PG_lru; kswapd finds the page on "
        "the list in shrink_cache, sees count 0 and takes it for its own. Then both free it.",
    )
    assert main(["lab", "check", "1"]) == 0
    assert "6 of 6 hold" in capsys.readouterr().out
