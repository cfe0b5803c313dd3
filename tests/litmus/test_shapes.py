# SPDX-License-Identifier: GPL-2.0-only
"""The standard shapes, each with its verdict under the Linux kernel memory model.

The verdict stands in each file as a comment, `Result: Never`. The axioms have to agree with all of
them, the machine of views with all but those it cannot show, which are named here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from mmsim.litmus.explorer import Outcome, explore
from mmsim.litmus.output import Report
from mmsim.litmus.parser import read
from mmsim.litmus.program import Litmus
from tests.litmus import axioms, breaks

DATA = Path(__file__).parent / "data"
NAMES = sorted(file.stem for file in DATA.glob("*.litmus"))

# Allowed, and never shown: a store cannot overtake an earlier access of its own CPU, and stores to
# a word reach memory in the order in which they are done.
LOAD_BUFFERING = {
    "LB+acq+po",
    "LB+data+po",
    "LB+mb+po",
    "LB+po+po",
    "LB+rel+po",
    "LB+rmb+rmb",
    "LB+wmb+wmb",
}
COHERENCE_IS_EXECUTION = {
    "2+2W+mb+wmb",
    "2+2W+po+po",
    "2+2W+rel+rel",
    "2+2W+wmb+wmb",
    "S+po+data",
    "S+po+po",
    "S+wmb+po",
    "WWC+data+data",
}
NOT_SHOWN = LOAD_BUFFERING | COHERENCE_IS_EXECUTION


def load(name: str) -> Litmus:
    return read(str(DATA / f"{name}.litmus"))


@cache
def explored(name: str) -> Outcome:
    """All executions under weak memory; kept, as several tests look at them."""
    return explore(load(name))


def test_every_standard_shape_is_there() -> None:
    shapes = {name.split("+")[0] for name in NAMES if not name.startswith("2+2W")}
    wanted = {"MP", "SB", "LB", "R", "S", "WRC", "RWC", "ISA2", "Z6", "IRIW", "RCU", "WWC"}
    wanted |= {"CoRR", "CoWW", "CoRW", "CoWR"}
    assert wanted <= shapes
    assert any(name.startswith("2+2W") for name in NAMES)
    assert set(NAMES) >= NOT_SHOWN


@pytest.mark.parametrize("name", NAMES)
def test_verdict(name: str) -> None:
    litmus = load(name)
    assert litmus.name == name
    assert litmus.expected is not None
    outcome = explored(name)
    expected = "Never" if name in NOT_SHOWN else litmus.expected
    assert Report(litmus, "weak", outcome, 0.0).verdict == expected
    if name in NOT_SHOWN:
        assert litmus.expected == "Sometimes"


@pytest.mark.parametrize("name", NAMES)
def test_the_axioms_agree(name: str) -> None:
    litmus = load(name)
    allowed = axioms.outcomes(litmus, count=False)
    hits = {axioms.satisfies(litmus, state) for state in allowed}
    verdict = {(True,): "Always", (False,): "Never"}.get(tuple(hits), "Sometimes")
    assert verdict == litmus.expected
    # And with what the machine cannot do taken out of them, they allow the very same executions.
    assert explored(name).states == dict(axioms.outcomes(litmus, machine=True))


def test_under_sequential_consistency_nothing_new_shows() -> None:
    differ = 0
    for name in NAMES:
        litmus = load(name)
        sequential, weak = explore(litmus, "sc"), explored(name)
        assert sequential.states.keys() <= weak.states.keys(), name
        differ += sequential.states.keys() < weak.states.keys()
    assert differ > len(NAMES) // 4


SEEN_ON_ALPHA = ["MP+wmb+addr", "MP+rel+addr", "MP+wmb+datarfiaddr", "WRC+rel+addr"]


@pytest.mark.parametrize("name", SEEN_ON_ALPHA)
def test_on_alpha_an_address_orders_nothing(name: str) -> None:
    litmus = load(name)
    assert Report(litmus, "weak", explored(name), 0.0).verdict == "Never"
    assert Report(litmus, "alpha", explore(litmus, "alpha"), 0.0).verdict == "Sometimes"


def test_on_alpha_rcu_dereference_does() -> None:
    litmus = load("MP+assign+dereference")
    assert Report(litmus, "alpha", explore(litmus, "alpha"), 0.0).verdict == "Never"


NOTICED = {
    "smp_rmb": "MP+wmb+rmb",
    "smp_wmb": "MP+wmb+rmb",
    "smp_mb": "SB+mb+mb",
    "acquire": "MP+rel+acq",
    "release": "MP+rel+acq",
    "address dependency": "MP+wmb+addr",
    "an atomic passes on": "MP+rel+relaxed+acq",
    "atomics that return nothing": "MP+wmb+noreturnrmb",
    "grace period begins": "RCU+read+sync",
    "grace period ends": "SB+rcu+sync",
    "unlock and lock": "MP+unlocklock+rmb",
    "seen": "ISA2+mb+data+rmb",
    "two reads of one word": "MP+wmb+rdw-acq",
}


@pytest.mark.parametrize("what", breaks.BREAKS)
def test_a_broken_machine_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks.apply(what, monkeypatch)
    litmus = load(NOTICED[what])
    assert Report(litmus, "weak", explore(litmus), 0.0).verdict != litmus.expected
