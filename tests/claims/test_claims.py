# SPDX-License-Identifier: GPL-2.0-only
"""A claim's verdict follows its runs: break what it rests on, and the verdict changes.

The campaigns here are small and in this process; `python -m mmsim claims` runs the large ones.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from mmsim.claims import claims
from mmsim.claims.model import ByConstruction, Claim, Clean, Fails, NoneSays, Settled
from mmsim.claims.settle import answers, budgets
from mmsim.scenarios.registry import find_variant
from mmsim.stress.source import Library
from mmsim.stress.tally import Block, Tally
from mmsim.stress.worker import Setting, run_block

RUNS = 80
RUNS_002 = 150
"""What fails at all below fails in more than 12 % of runs, in thread 002 in more than 8 %."""


class Altered(Library):
    """mmsim's scenarios, but one variant has the gates and options of another."""

    changes = {}  # noqa: RUF012

    def runner(self, variant, **rest):
        other = self.changes.get(variant.id)
        if other is not None:
            source = find_variant(other)
            altered = replace(variant, gates=source.gates, config=source.config)
            object.__setattr__(altered, "scenario", variant.scenario)
            variant = altered
        return super().runner(variant, **rest)


@cache
def tally(id, instead=None):
    """The runs of a variant, or with the gates and options of another; kept, as claims share them.

    On greenlets, which make the same decisions as threads.
    """
    source = Altered()
    source.__dict__["changes"] = {id: instead} if instead else {}
    setting = Setting(source=source, cpus=8, seed=1, engine="green", policy="mix", deadline=None)
    counted = Tally(find_variant(id))
    counted.take(
        run_block(
            setting, Block(id, 0, 0, RUNS_002 if id.startswith("002") else RUNS), lambda beat: None
        )
    )
    return counted


def tallies(ids, swap=None):
    return {id: tally(id, (swap or {}).get(id)) for id in ids}


def claim(id: str) -> Claim:
    return next(c for c in claims() if c.id == id)


BROKEN = (
    # claim, the variant whose gate is broken, the one whose gates it gets instead
    ("002.8", "002.pagelocked", "002.pagelocked-no-consumer-check"),
    ("002.7", "002.flawed", "002.pagelocked"),
    ("000.1", "000.54-base", "000.isolate-noref"),
    ("003.2", "003.base", "003.unlock-first"),
    ("003.3", "003.unlock-first", "003.base"),
    ("004.1", "004.base", "004.merged"),
    ("001.6", "001.remove-vm-bug", "001.419-dbg"),
)


@pytest.mark.parametrize(("id", "variant", "instead"), BROKEN)
def test_breaking_a_gate_changes_the_verdict(id, variant, instead):
    subject = claim(id)
    before = subject.settle(tallies(subject.variants()))
    after = subject.settle(tallies(subject.variants(), swap={variant: instead}))
    assert before is not after, (before, after)


def test_there_are_enough_and_each_has_its_own_id():
    ids = [c.id for c in claims()]
    assert len(ids) == len(set(ids))
    assert len(ids) >= 35
    assert {c.thread for c in claims()} == {"000", "001", "002", "003", "004"}


def test_every_variant_that_a_claim_needs_exists():
    for id in budgets(claims(), 1):
        find_variant(id)  # raises with the nearest names


def test_who_gets_more_runs_is_looked_at():
    for c in claims():
        assert c.rare.keys() <= set(c.variants()), c.id
    (one,) = (c for c in claims() if c.id == "000.21")
    assert budgets([one], 100) == {
        "000.517-base": 100,
        "000.pagevec-move-no-testclear": 300,
        "000.pagevec-move-no-testclear-nodebug": 1000,
    }


def test_an_open_claim_says_why():
    for c in claims():
        assert c.sees or c.note or c.by_construction, c.id


class Counted:
    """A tally of so many findings with one title."""

    def __init__(self, id, runs, findings, title="double free"):
        finding = type("F", (), {"title": title, "where": "put_page"})()
        sample = type("S", (), {"finding": finding})()
        kind = type("K", (), {"sample": sample, "count": findings})()
        self.variant = type("V", (), {"id": id})()
        self.runs, self.findings = runs, findings
        self.kinds = {"abc": kind} if findings else {}
        self.metrics = {}


@pytest.mark.parametrize(
    ("bad", "good", "verdict"),
    [
        (3, 0, Settled.CONFIRMED),
        (0, 0, Settled.HALF),
        (3, 2, Settled.HALF),
        (0, 2, Settled.REFUTED),
    ],
)
def test_the_verdict_is_made_of_what_is_seen(bad, good, verdict):
    subject = Claim("002.x", "us", "text", (Fails("002.a", "double"), Clean("002.b")))
    counted = {"002.a": Counted("002.a", 10, bad), "002.b": Counted("002.b", 10, good)}
    (answer,) = answers([subject], counted)
    assert answer.settled is verdict
    assert f"{bad} of 10 runs" in answer.evidence[0]


def test_without_conditions_a_claim_is_open():
    assert Claim("002.x", "us", "text", note="why").settle({}) is Settled.OPEN


@pytest.mark.parametrize(
    ("bad", "good", "verdict", "marks"),
    [
        (3, 0, Settled.BY_CONSTRUCTION, "=="),
        (0, 0, Settled.HALF, "-="),  # the construction is broken: that is told, not hidden
        (0, 2, Settled.REFUTED, "--"),
    ],
)
def test_what_is_true_by_construction_is_not_confirmed(bad, good, verdict, marks):
    sees = (Fails("002.a", "double"), Clean("002.b"))
    subject = Claim("002.x", "us", "text", sees, by_construction="the gate says so")
    counted = {"002.a": Counted("002.a", 10, bad), "002.b": Counted("002.b", 10, good)}
    (answer,) = answers([subject], counted)
    assert answer.settled is verdict
    assert "".join(line[0] for line in answer.evidence) == marks


@pytest.mark.parametrize(
    ("bad", "good", "verdict", "marks"),
    [
        (3, 0, Settled.CONFIRMED, "+="),
        (0, 0, Settled.REFUTED, "-="),  # what cannot fail does not make a half of it
        (3, 2, Settled.HALF, "+-"),
        (0, 2, Settled.REFUTED, "--"),
    ],
)
def test_one_condition_by_construction_does_not_count(bad, good, verdict, marks):
    sees = (Fails("002.a", "double"), ByConstruction(Clean("002.b"), "nobody looks"))
    subject = Claim("002.x", "us", "text", sees)
    counted = {"002.a": Counted("002.a", 10, bad), "002.b": Counted("002.b", 10, good)}
    (answer,) = answers([subject], counted)
    assert answer.settled is verdict
    assert "".join(line[0] for line in answer.evidence) == marks
    assert "nobody looks" in answer.evidence[1]
    assert subject.variants() == ("002.a", "002.b")


def test_only_conditions_by_construction_confirm_nothing():
    subject = Claim("002.x", "us", "text", (ByConstruction(Clean("002.b"), "why"),))
    assert subject.settle({"002.b": Counted("002.b", 10, 0)}) is Settled.BY_CONSTRUCTION
    without = Claim("002.x", "us", "text", by_construction="why")
    assert without.settle({}) is Settled.BY_CONSTRUCTION


def test_the_same_title_in_another_function_is_not_seen():
    counted = {"002.a": Counted("002.a", 10, 4)}
    assert Fails("002.a", "double free", function="put_page").holds(counted)
    assert not Fails("002.a", "double free", function="release_pages").holds(counted)


def test_a_title_that_does_not_match_is_not_seen():
    counted = {"002.a": Counted("002.a", 10, 4, title="deadlock on lock")}
    assert not Fails("002.a", "double free").holds(counted)
    assert Fails("002.a", "deadlock").holds(counted)
    assert not Fails("002.a", "deadlock", always=True).holds(counted)


def test_none_says_holds_of_a_variant_that_fails_otherwise() -> None:
    runs = tallies(("004.base",))
    assert NoneSays("004.base", "corruption").holds(runs)
    said = NoneSays("004.base", "mlock.c:82")
    assert not said.holds(runs)
    assert said.figures(runs) == f"004.base: {RUNS} of {RUNS} runs say 'mlock.c:82'"
