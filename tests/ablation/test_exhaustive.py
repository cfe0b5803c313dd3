# SPDX-License-Identifier: GPL-2.0-only
"""Ablation by proof: known hunks, limits, half patches, and an ablation that does nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmsim.ablation import exhaustive, page, record
from mmsim.ablation.exhaustive import (
    LOAD_BEARING,
    NOT_HERE,
    NOT_REACHED,
    NOT_RUN,
    OFF,
    ON,
    OPEN,
    Base,
    Cast,
    Hunk,
    Limits,
    Standing,
    base,
    casts_for,
    casts_of,
    hunks_of,
    settle,
)
from mmsim.ablation.flipped import Flipped
from mmsim.ablation.places import Place, place_named
from mmsim.cli import main, standing
from mmsim.errors import InternalError, UsageError
from mmsim.scenarios.registry import find_variant

ROOT = Path(__file__).resolve().parents[2]
RACE = str(ROOT / "tests" / "stress" / "lost_update.py")
NO_LIMIT = Limits()
SKB = Cast("skb-kswapd")


def turned(
    variant: str, name: str, how: str, cast: Cast, limits: Limits = NO_LIMIT
) -> tuple[Base, Standing]:
    """The variant as it is with that cast, and what becomes of it when the hunk is turned over."""
    before = base(find_variant(variant), cast, NO_LIMIT)
    return before, settle(Hunk(variant, place_named(name), how), [before], limits)


def test_a_hunk_that_is_load_bearing_and_its_line() -> None:
    before, now = turned("002.pagelocked", "consumer-does-not-check@shrink_cache", ON, SKB)
    assert before.clean and before.tried.executions == 14
    assert now.verdict == LOAD_BEARING
    assert now.telling is not None and now.telling.found is not None
    assert now.telling.found.title == "kernel BUG at filemap.c:802!"
    assert now.preemptions <= 3


def test_its_line_replays_under_threads_with_the_hunk_turned_and_not_without(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "consumer-unlocks-late@shrink_cache"
    _, now = turned("002.pagelocked", name, ON, SKB)
    words = ["replay", "002.pagelocked", now.line, "--cast", SKB.name]
    assert main([*words, "--turn", name]) == 0
    assert f"--turn {name}" in capsys.readouterr().out
    assert main(words) == 2
    assert "stale schedule" in capsys.readouterr().err


def test_a_hunk_that_nobody_needs_in_a_cast() -> None:
    _, now = turned("002.pagelocked", "ben-2002-01-01@page_cache_release", OFF, SKB)
    assert (now.verdict, now.line) == (NOT_HERE, "")
    assert [tried.verdict for tried in now.tried] == ["never-exhaustive"]


def test_where_no_execution_comes_nothing_is_explored() -> None:
    before = base(find_variant("002.pagelocked"), SKB, NO_LIMIT)
    place = place_named("unlock-first@_unmap_and_move_locked")
    assert place not in before.met
    now = settle(Hunk("002.pagelocked", place, ON), [before], NO_LIMIT)
    assert (now.verdict, now.executions) == (NOT_REACHED, 0)


def test_a_limit_is_no_pass() -> None:
    name = "ben-2002-01-01@page_cache_release"
    _, now = turned("002.pagelocked", name, OFF, SKB, Limits(executions=3))
    assert (now.verdict, now.executions) == (OPEN, 3)


def test_a_variant_that_is_not_settled_leaves_its_hunks_open() -> None:
    variant = find_variant("002.pagelocked")
    before = base(variant, SKB, Limits(executions=3))
    assert not before.clean
    place = place_named("ben-2002-01-01@page_cache_release")
    now = settle(Hunk(variant.id, place, OFF), [before], NO_LIMIT)
    assert (now.verdict, now.open) == (OPEN, (SKB.name,))


def test_half_a_patch_that_is_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """It meets what nobody has made; the variant as it is never does."""

    def half(flipped: Flipped, gate: object) -> bool:
        if gate != flipped.place.gate:
            return frozenset.__contains__(flipped, gate)
        flipped.asked += 1
        raise AttributeError("'page' object has no attribute 'buddy'")

    before = base(find_variant("002.pagelocked"), SKB, NO_LIMIT)
    place = place_named("ben-2002-01-01@page_cache_release")
    monkeypatch.setattr(Flipped, "__contains__", half)
    now = settle(Hunk("002.pagelocked", place, OFF), [before], NO_LIMIT)
    assert now.verdict == NOT_RUN
    assert now.telling is not None and "no attribute 'buddy'" in now.telling.error


def test_an_ablation_that_takes_nothing_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = base(find_variant("002.pagelocked"), SKB, NO_LIMIT)
    hunk = Hunk("002.pagelocked", place_named("consumer-unlocks-late@shrink_cache"), ON)
    monkeypatch.setattr(Hunk, "gates", lambda self, variant: Flipped(variant.gates, ELSEWHERE))
    with pytest.raises(InternalError, match="never asked"):
        settle(hunk, [before], NO_LIMIT)


ELSEWHERE = Place("consumer-unlocks-late", "v2_4/vmscan.py", "another_function")


def test_a_cast_of_others_counts_only_if_the_variant_is_clean_there() -> None:
    """The patch of 12 February has a hole that swapoff meets; with any hunk put in it is there."""
    variant = find_variant("002.pagelocked")
    before = base(variant, Cast("leave-kswapd"), NO_LIMIT)
    place = place_named("consumer-unlocks-late@shrink_cache")
    hunk = Hunk(variant.id, place, ON)
    now = settle(hunk, [before], NO_LIMIT, [Cast("swapoff-dirty-kswapd")])
    assert all(tried.cast != "swapoff-dirty-kswapd" for tried in now.tried)


def test_what_is_turned_over() -> None:
    variant = find_variant("002.pagelocked")
    hunks = {hunk.id: hunk for hunk in hunks_of(variant)}
    assert hunks["002.pagelocked -hugh-2002-02-12@shrink_cache"].turned == OFF
    assert hunks["002.pagelocked +consumer-unlocks-late@shrink_cache"].turned == ON
    assert "002.pagelocked +rmb-before-pagelocked@shrink_cache" not in hunks, "memory is in order"
    assert not [id for id in hunks if "+rik-" in id], "another patch is not part of this one"
    late = hunks["002.pagelocked +consumer-unlocks-late@shrink_cache"]
    assert casts_for(late, variant) == [], "its cast is among the variant's own"
    assert [str(cast) for cast in casts_of(variant, "skb-kswapd")] == ["skb-kswapd"]
    assert str(casts_of(find_variant("003.old-get"))[0]) == "compact-user-once"


def test_names_of_hunks_that_are_none() -> None:
    with pytest.raises(UsageError, match=r"no hunk 'x@shrink_cach'.*GATE@FUNCTION"):
        place_named("x@shrink_cach")


def test_the_search_is_not_blamed_on_half_a_patch() -> None:
    try:
        exec(compile("1 / 0", "/x/mmsim/engine/explore/dpor.py", "exec"))
    except ZeroDivisionError as error:
        assert exhaustive._ours(error)
    try:
        exec(compile("1 / 0", "/x/mmsim/v2_4/vmscan.py", "exec"))
    except ZeroDivisionError as error:
        assert not exhaustive._ours(error)


# -- the command -----------------------------------------------------------------------------------


def test_a_file_of_the_users_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "hunks.json"
    words = ["ablate", "--prove", "900.locked", "--file", RACE, "--json", str(file)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "900-lock@increment, left out: load-bearing" in out
    assert "2 hunks: 2 load-bearing" in out
    (command,) = {line.strip() for line in out.splitlines() if "--turn 900-lock@" in line}
    assert main(command.split()[3:]) == 0
    assert main(["shrink", *command.split()[4:]]) == 0
    assert "--turn 900-lock@increment" in capsys.readouterr().out
    text = file.read_text()
    assert '"complete": true' in text and '"verdict": "load-bearing"' in text


def test_what_was_settled_is_kept_when_interrupted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hunks.json"
    real, calls = settle, []

    def once(*args: object) -> Standing:
        calls.append(args)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(standing, "settle", once)
    words = ["ablate", "--prove", "900.locked", "--file", RACE, "--json", str(file)]
    assert main(words) == 3
    out, err = capsys.readouterr()
    assert "INCOMPLETE: interrupted" in err
    assert "1 hunk: 1 load-bearing" in out
    assert '"complete": false' in file.read_text()
    assert file.read_text().count('"variant"') == 1


def test_lines_fit_eighty_columns_but_for_commands(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--cast", "leave-kswapd", "--limit", "2"]
    assert main(["ablate", "--prove", "002.pagelocked", *words]) == 1, "a limit leaves it open"
    lines = capsys.readouterr().out.splitlines()
    assert "NOT CLEAN: a limit was reached" in " ".join(lines)
    assert all(len(line) < 80 for line in lines if " replay " not in line)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--prove", "002.flawed"], "002.flawed is not declared Never"),
        (["--prove", "002.nothing"], "no variant '002.nothing'"),
        (["--prove", "002.pagelocked", "--cast", "nobody"], "no small cast 'nobody'"),
        (["--prove", "--runs", "7"], "--runs is for campaigns"),
        (["--prove", "--seconds", "-1"], "it has to be 0 or more"),
        (["--prove", "002.pagelocked-in-order", "--write"], "the variants of its plan"),
        (["--prove", "--cast", "munlock", "--check"], "the variants of its plan"),
        (["002.pagelocked", "--cast", "munlock"], "--cast goes with --prove"),
        (["002.pagelocked", "--limit", "3"], "--limit goes with --prove"),
    ],
)
def test_what_makes_no_sense(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ablate", *words]) == 2
    assert says in capsys.readouterr().err


# -- the record and the document -------------------------------------------------------------------


def test_the_plan_names_right_variants_and_every_patch_that_one_of_them_has() -> None:
    planned = [find_variant(id) for ids in record.PLAN.values() for id in ids]
    assert all(standing._right(variant) for variant in planned)
    assert all(casts_of(variant) for variant in planned)


def test_the_document_is_what_the_record_says() -> None:
    text = page.page(record.read())
    assert standing.PAGE.read_text(encoding="utf-8") == text, "ablate --prove --write"


def test_every_reason_is_of_a_hunk_that_nobody_needed() -> None:
    assert not page.reasoned(record.read())


def test_lines_on_record_are_of_load_bearing_hunks_alone() -> None:
    for row in record.read():
        assert (row["finding"] is not None) is (row["verdict"] == LOAD_BEARING)
        if row["finding"] is not None:
            assert re.match(r"mm1:\d+:", row["finding"]["line"])


@pytest.mark.slow
@pytest.mark.parametrize("thread", list(record.PLAN))
def test_the_record_of_each_thread_in_a_sample(thread: str) -> None:
    """The cheapest variant on record, all of its hunks."""
    of = [row for row in record.read() if row["variant"] in record.PLAN[thread]]
    if not of:
        pytest.skip("nothing of this thread is on record")
    cost: dict[str, float] = {}
    for row in of:
        cost[row["variant"]] = cost.get(row["variant"], 0.0) + row["seconds"]
    variant = find_variant(min(cost, key=lambda id: cost[id]))
    bases = [base(variant, cast, NO_LIMIT) for cast in casts_of(variant)]
    known = {record.key(row): row for row in of}
    for hunk in hunks_of(variant):
        row = known.get((variant.id, str(hunk.place)))
        if row is None or row["verdict"] == OPEN:
            continue
        now = settle(hunk, bases, NO_LIMIT, casts_for(hunk, variant))
        assert now.verdict == row["verdict"], hunk.id
        if not record.stale(row, variant.scenario):
            assert now.executions == row["executions"], hunk.id
