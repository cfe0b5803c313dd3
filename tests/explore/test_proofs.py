# SPDX-License-Identifier: GPL-2.0-only
"""The plan, the record and the command of proofs; and a few pairs explored again.

All of them are explored again by test_proofs_all.py, which is slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.cli.commands import prove as command
from mmsim.proofs import page, record
from mmsim.proofs.code import statements
from mmsim.proofs.plan import PLAN
from mmsim.proofs.prove import (
    EXHAUSTIVE,
    FOUND,
    INCOMPLETE,
    Pair,
    Proof,
    in_order,
    pairs,
    pairs_of,
    prove,
)
from mmsim.run import Runner
from mmsim.scenarios.api import Scenario, Verdict
from mmsim.scenarios.cast import with_cast
from mmsim.scenarios.registry import find_variant, scenarios

VARIANTS = [v for scenario in scenarios() for v in scenario.variants if in_order(v)]

SAMPLE = (
    ("002.pagelocked", "swapout-kswapd"),
    ("002.pagelocked-in-interrupt", "swapoff-dirty-kswapd"),
    ("002.flawed", "skb-kswapd"),
    ("001.remove-vm-bug", "scan-packet"),
    ("003.base", "compact-user"),
    ("003.unlock-first", "compact-user"),
    ("004.merged", "truncate-reclaim"),
    ("004.base", "alone"),
    ("000.54-base", "exit-kswapd"),
)
"""Of every thread, and each explored in less than a second."""


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A record and a page of nobody's."""
    file = tmp_path / "proofs.json"
    read, write = record.read, record.write
    monkeypatch.setattr(record, "read", lambda: read(file))
    monkeypatch.setattr(record, "write", lambda proofs: write(proofs, file))
    monkeypatch.setattr(command, "PAGE", tmp_path / "proofs.md")
    record._on_record.cache_clear()
    yield file
    record._on_record.cache_clear()


def test_every_variant_is_planned_and_every_planned_cast_is_a_small_one() -> None:
    assert set(PLAN) == {variant.id for variant in VARIANTS}
    for pair in pairs(scenarios()):
        assert pair.small.cpus <= 4
    assert all(len(set(casts)) == len(casts) > 0 for casts in PLAN.values())


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.id)
def test_every_small_cast_plays(scenario: Scenario) -> None:
    """Once each, with a variant that is explored with it, or else the last that cannot fail."""
    planned = {pair.cast: pair.variant for pair in pairs([scenario])}
    never = [v for v in scenario.variants if v.expect is Verdict.NEVER][-1]
    for name, small in scenario.casts.items():
        variant = with_cast(planned.get(name, never), name)
        with Runner(variant, cpus=small.cpus, seed=1, engine="green") as runner:
            assert runner.run(0).steps > 20


@pytest.mark.parametrize(("variant", "cast"), SAMPLE)
def test_what_is_on_record_is_found_again(variant: str, cast: str) -> None:
    pair = Pair(find_variant(variant), cast)
    assert pair.key in {other.key for other in pairs_of(pair.variant)}
    before = record.read()[pair.key]
    never = pair.variant.expect is Verdict.NEVER
    now = prove(pair, first=not never)
    assert command.declared(pair, now)
    fresh = not record.stale(before, pair.variant.scenario)
    assert command.differs(before, now, fresh) == "" or not fresh
    assert before.verdict == now.verdict


def test_no_proof_on_record_is_of_a_draw_or_says_what_is_not_declared() -> None:
    on_record = record.read()
    for pair in pairs(scenarios()):
        proof = on_record.get(pair.key)
        if proof is not None and proof.verdict != INCOMPLETE:
            assert not proof.draws, pair.key
            assert command.declared(pair, proof), pair.key


def test_the_document_is_what_the_record_says() -> None:
    text = page.page(scenarios(), record.read())
    assert command.PAGE.read_text(encoding="utf-8") == text, "python -m mmsim prove --write"


def test_a_limit_is_no_pass() -> None:
    pair = Pair(find_variant("002.pagelocked"), "tv-on-kswapd")
    proof = prove(pair, executions=3)
    assert (proof.verdict, proof.executions) == (INCOMPLETE, 3)
    assert not command.declared(pair, proof)


def test_a_bound_is_part_of_the_verdict() -> None:
    proof = prove(Pair(find_variant("002.pagelocked"), "tv-kswapd", 1))
    assert (proof.verdict, proof.bound) == ("never-bounded", 1)


def test_swapoff_breaks_the_patch_in_both_places() -> None:
    pair = Pair(find_variant("002.pagelocked-swapoff"), "swapoff-dirty-kswapd")
    titles = {finding["title"] for finding in prove(pair).findings}
    assert titles == {"kernel BUG at page_alloc.c:82!", "kernel BUG at page_alloc.c:93!"}


def test_a_reference_that_is_taken_back_is_there_for_others_meanwhile() -> None:
    """Reclaim of 2.6.7 raises a count of zero and lowers it again, under the LRU lock.

    Nobody of its time took a reference without that lock, or one of his own.  Since 2006 some do,
    unless the count is zero, which then it is not: the scanner's put frees what exit is freeing.
    With the same people but the scanner it cannot fail; nor with the scanner, if reclaim gets
    unless zero as well.
    """
    testone = "000.isolate-lock-first-release-testone"
    proof = prove(Pair(find_variant(f"{testone}-scanner"), "exit-kswapd-scanner"), first=True)
    assert [finding["title"] for finding in proof.findings] == [
        "BUG: Bad page state: nonzero mapcount"
    ]
    assert prove(Pair(find_variant(testone), "exit-kswapd")).verdict == EXHAUSTIVE
    unless_zero = find_variant("000.isolate-lock-first-release-unless-zero")
    assert prove(Pair(unless_zero, "exit-kswapd-scanner")).verdict == EXHAUSTIVE


@pytest.mark.parametrize("locked", [False, True])
def test_it_is_the_reference_that_keeps_migration_off_a_writer_and_not_the_lock(
    locked: bool,
) -> None:
    """Without the count of references the cast of 004.wp-no-lock-migration fails, lock or none.

    page_remove_rmap() drops the mapcount first and the mark after that.  In between nobody maps
    the page any more, and migration would take the mark along to where somebody else maps it.
    """
    right = find_variant("004.wp-no-lock-migration")
    gates = {*right.gates, "migrate-no-refcheck"} - ({"wp-no-lock"} if locked else set())
    wrong = replace(right, gates=tuple(sorted(gates)))
    replace(right.scenario, variants=(wrong,))  # which gives it its scenario
    proof = prove(Pair(wrong, "cow-migrate-once"), executions=2000, first=True)
    assert [finding["title"] for finding in proof.findings] == [
        "PG_mlocked page is mapped in no VM_LOCKED vma"
    ]


@pytest.mark.slow
def test_the_page_lock_keeps_truncate_off_a_writer() -> None:
    """With it the search for other lockers finds the page in its file; without, see the plan."""
    wrong = find_variant("004.wp-no-lock")
    right = replace(wrong, gates=tuple(gate for gate in wrong.gates if gate != "wp-no-lock"))
    replace(right.scenario, variants=(right,))  # which gives it its scenario
    assert prove(Pair(right, "cow-truncate")).verdict == EXHAUSTIVE


def test_what_is_proved_is_recorded_and_goes_stale(
    empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = find_variant("001.v1-pins-once")
    assert record.proved(variant) == "-"
    assert main(["prove", variant.id, "--write"]) == 0
    assert re.search(r"Never \(\d+ executions", capsys.readouterr().out)
    record._on_record.cache_clear()
    assert record.proved(variant) == "1 cast"
    assert main(["prove", variant.id, "--check"]) == 0
    capsys.readouterr()
    assert main(["prove", variant.id, "--write"]) == 0
    assert capsys.readouterr().out == "", "nothing was missing"
    monkeypatch.setattr(record, "program_hash", lambda file: "000000")
    assert record.proved(variant) == "stale"
    assert main(["prove", variant.id, "--list"]) == 0
    assert "(stale)" in capsys.readouterr().out


@pytest.mark.slow
def test_pairs_are_explored_side_by_side(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "002.flawed", "004.base", "--jobs", "2", "--write"]) == 0
    assert capsys.readouterr().out.count("found in execution") >= 2
    assert {variant for variant, _, _ in record.read()} == {"002.flawed", "004.base"}


def test_a_record_that_is_wrong_is_noticed(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "001.v1-pins-once", "--write"]) == 0
    proofs = list(record.read().values())
    record.write([replace(proofs[0], executions=1), *proofs[1:]])
    assert main(["prove", "001.v1-pins-once", "--check"]) == 1
    assert "the record says 1 executions" in capsys.readouterr().out


def test_words_for_what_is_settled() -> None:
    def proof(verdict: str, bound: int | None = None, first: int | None = None) -> Proof:
        return Proof("900.x", "c", bound, verdict, 9, 0, 0.1, first, [], [], 2, "", "0")

    never = find_variant("002.pagelocked")
    wrong = find_variant("002.flawed")
    whole, bounded = proof(EXHAUSTIVE), proof("never-bounded", 2)
    assert record.settled(never, [whole, whole], 2) == "2 casts"
    assert record.settled(never, [whole, bounded], 2) == "1 cast, 1 to 2"
    assert record.settled(never, [whole, proof(INCOMPLETE)], 2) == "1 cast, open"
    assert record.settled(never, [whole, proof(FOUND, first=3)], 2) == "BROKEN"
    assert record.settled(wrong, [proof(FOUND, first=7), proof(FOUND, first=3)], 2) == "found in 3"
    assert record.settled(wrong, [proof(EXHAUSTIVE)], 1) == "not found"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["002.nothing"], "unknown variant"),
        (["002.flawed", "--cast", "nobody"], "no small cast 'nobody'"),
        (["--cast", "tv-kswapd"], "--cast needs a variant"),
        (["002.flawed", "--bound", "2"], "--bound goes with --cast"),
        (["002.flawed", "--cast", "skb-kswapd", "--write"], "--cast is for a look"),
        (["--seconds", "-1"], "it has to be 0 or more"),
        (["--all"], "--all goes with --write"),
    ],
)
def test_what_makes_no_sense(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prove", *words]) == 2
    assert says in capsys.readouterr().err


def test_words_about_the_program_do_not_make_a_proof_stale() -> None:
    before = 'def f(x):\n    """Twice."""\n    # so that\n    return 2 * x\n'
    assert statements(before) == "def f(x):\n    return 2 * x"
    assert statements(before.replace("Twice", "Two\n    times")) == statements(before)
    assert statements(before.replace("2 *", "3 *")) != statements(before)
