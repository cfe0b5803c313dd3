# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim corpus`: stale lines are told and made anew, bad files refused, stores asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.engine.schedule import Schedule
from mmsim.stress import corpus
from mmsim.stress.cli import main as stress
from mmsim.stress.source import find_variant
from mmsim.stress.stored.file import Store
from mmsim.stress.stored.proposals import proposals, propose
from tests.stress.store_driver import begin, finish, work

FLAWED = [one for one in corpus.read(corpus.shipped()) if one.variant == "002.flawed"]
ONE = FLAWED[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lines.toml"
    corpus.write(FLAWED, path)
    return path


def spoilt(one: corpus.Entry) -> corpus.Entry:
    """The same line with a first turn that is too long: it comes to something else, or nowhere."""
    schedule = Schedule.parse(one.line)
    (id, effects), *rest = schedule.segments
    line = str(replace(schedule, segments=((id, effects + 7), *rest)))
    return replace(one, line=line)


def test_what_is_written_is_read_again(file: Path) -> None:
    odd = replace(ONE, fingerprint="0", title='a "quote" \\ and \x7f, ü', cast="x", old_values=2)
    corpus.write([ONE, odd], file)
    assert set(corpus.read(file)) == {ONE, odd}


def test_check_is_content_with_lines_that_hold(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["corpus", "check", "002.flawed", "--corpus", str(file)]) == 0
    assert f"{len(FLAWED)} lines of 1 variants" in capsys.readouterr().out


def test_a_stale_line_is_told_with_what_makes_it_anew(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus.write([spoilt(ONE), *FLAWED[1:]], file)
    assert main(["corpus", "check", "002.flawed", "--corpus", str(file)]) == 1
    out = capsys.readouterr().out
    assert f"STALE  002.flawed {ONE.fingerprint}  {ONE.title}" in out
    assert "python -m mmsim corpus refresh 002.flawed\n" in out


def test_a_variant_without_a_line_is_missed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["corpus", "check", "002.flawed", "002.special-list", "--corpus", str(file)]
    assert main(argv) == 1
    assert "no line of 002.special-list" in capsys.readouterr().out


def test_refresh_replaces_what_is_stale_and_keeps_what_holds() -> None:
    """What sampling finds is given, so that this is quick: a line that holds, as it was found."""
    gone = replace(spoilt(ONE), fingerprint="123456")
    other = replace(ONE, variant="002.special-list")
    old = [spoilt(ONE), *FLAWED[1:], gone, other]
    found = [(ONE.variant, ONE.fingerprint, ONE.line)]
    done = corpus.refresh(
        old, [find_variant(corpus.SOURCE, "002.flawed")], sampled=lambda *_: found
    )
    keys = {one.key for one in done.entries}
    assert keys == {*(one.key for one in FLAWED), other.key}
    assert not [why for one, why in corpus.replayed(done.entries) if why and one != other]
    assert [one.key for one in done.changed] == [ONE.key]
    assert [one.key for one in done.gone] == [gone.key]
    assert done.new == []


@pytest.mark.slow
def test_refresh_looks_for_the_races_itself(tmp_path: Path) -> None:
    file = tmp_path / "lines.toml"
    argv = ["corpus", "refresh", "002.flawed", "--jobs", "1", "--corpus", str(file)]
    assert main(argv) == 0
    assert {one.key for one in corpus.read(file)} == {one.key for one in FLAWED}


def test_add_makes_a_line_small_and_puts_it_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lines.toml"
    argv = ["corpus", "add", ONE.variant, ONE.line, "--corpus", str(file)]
    assert main(argv) == 0
    [there] = corpus.read(file)
    assert there.key == ONE.key
    assert there.size <= ONE.size
    assert main(argv) == 0
    assert "kept" in capsys.readouterr().out
    assert corpus.read(file) == [there]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "002.flawed", "mm1:nonsense"], "truncated"),
        (["add", "002.flawd", "mm1:nonsense"], "nearest: 002.flawed"),
        (["check", "002.base2417-cache-release"], "declared Never"),
        (["check", "002.nobody"], "no variant"),
        (["propose", "there-is-no-such-store"], "no such file"),
    ],
)
def test_bad_input_is_refused(
    words: list[str], says: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["corpus", *words, "--corpus", str(file)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[finding]]\n", "has no variant"),
        ("x = 1\n", "[[finding]] tables and nothing else"),
        ("finding = 3\n", "[[finding]] tables and nothing else"),
        ("[[finding\n", "not valid TOML"),
        (corpus.text([ONE]) + "odd = 1\n", "unknown key 'odd'"),
        (corpus.text([ONE]).replace(f"points = {ONE.points}", "points = 'x'"), "no whole number"),
        (corpus.text([ONE, ONE]), "is there twice"),
    ],
)
def test_a_file_that_is_no_corpus_is_refused(
    text: str, says: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    assert main(["corpus", "check", "--corpus", str(file)]) == 2
    assert says in capsys.readouterr().err


def test_a_store_proposes_what_the_corpus_does_not_have(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path, write=True) as store:
        campaign = begin(store)
        work(campaign)
        finish(campaign)
        assert propose(store, campaign.id, FLAWED) == len(FLAWED)
        assert proposals(store) == sorted(FLAWED, key=lambda one: one.key)
    assert main(["store", "info", str(path)]) == 0
    assert f"{len(FLAWED)} kinds of findings are proposed" in capsys.readouterr().out
    assert main(["corpus", "propose", str(path), "--corpus", str(file)]) == 0
    assert capsys.readouterr().out == ""
    corpus.write(FLAWED[1:], file)
    argv = ["corpus", "propose", str(path), "--corpus", str(file)]
    assert main(argv) == 0
    assert capsys.readouterr().out.strip() == corpus.text([ONE]).strip()
    assert main([*argv, "--add"]) == 0
    assert sorted(corpus.read(file), key=lambda one: one.key) == FLAWED


PROFILE = """
variants = ["002.flawed"]
pairs = false
engine = "green"
propose = true
[sometimes]
runs = 400
stop_after = 1
"""


@pytest.mark.parametrize("there", [True, False])
def test_a_campaign_proposes_what_is_new(
    there: bool, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not there:
        corpus.write([], file)
    monkeypatch.setattr(corpus, "shipped", lambda: file)
    (tmp_path / "mine.toml").write_text(PROFILE)
    path = tmp_path / "s.sqlite"
    argv = ["--profile", str(tmp_path / "mine.toml"), "--store", str(path), "--jobs", "1"]
    assert stress(argv) == 0
    with Store(path) as store:
        found = proposals(store)
        rows = store.rows("SELECT line, shrunk FROM finding")
    if there:
        assert found == []
        return
    [one], [row] = found, rows
    assert one.variant == "002.flawed"
    assert one.preemptions <= 3
    assert row["shrunk"] == one.line != row["line"]
    assert list(corpus.replayed([one])) == [(one, "")]
