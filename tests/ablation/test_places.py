# SPDX-License-Identifier: GPL-2.0-only
"""Every place where a gate decides is found, and running code is recognised as being there."""

from __future__ import annotations

import ast
from pathlib import Path

import mmsim.scenarios.gates
from mmsim.ablation import places as module
from mmsim.ablation.flipped import Flipped
from mmsim.ablation.places import PACKAGE, Place, place_of, places
from mmsim.engine.machine import Machine
from mmsim.model.gate import GATES, patched
from mmsim.v2_4.page_alloc import __free_pages_ok as free_pages_ok

assert mmsim.scenarios.gates

SOURCE = """
def plain():
    if patched("one") and not patched("two"):
        pass
    def nested():
        return patched("three")
    return lambda: patched("four")

class bttv:
    def __init__(self):
        self.x = patched("five")
"""


def test_calls_belong_to_the_outermost_function_or_method():
    found = set(module._asked(ast.parse(SOURCE), "", inside=False))
    assert found == {
        ("plain", "one"),
        ("plain", "two"),
        ("plain", "three"),
        ("plain", "four"),
        ("bttv.__init__", "five"),
    }


def test_every_declared_gate_has_a_place_and_every_place_a_declared_gate():
    ours = {name for name, gate in GATES.items() if gate.thread < "900"}  # tests declare some
    assert {place.gate for place in places()} == ours


def test_no_place_is_in_a_judge():
    assert not [p for p in places() if p.file.endswith("/check.py")]
    judges = [f for f in (PACKAGE / "scenarios").glob("*/check.py") if "patched(" in f.read_text()]
    assert judges, "nothing is left out, so the rule above says nothing"


def test_running_code_is_where_the_source_says():
    code = getattr(free_pages_ok, "__wrapped__", free_pages_ok).__code__
    place = place_of("hugh-2002-02-12", code)
    assert place == Place("hugh-2002-02-12", "v2_4/page_alloc.py", "__free_pages_ok")
    assert place in places()


def here(name):
    return patched(name)


def nested_here(name):
    def inner():
        return patched(name)

    return inner(), (lambda: patched(name))()


def elsewhere(name):
    return patched(name)


def test_a_gate_is_turned_over_in_one_function_and_nowhere_else():
    gate, other = "unlock-first", "stale-pte"
    file = str(Path(__file__).resolve())
    for gates in ((), (gate,), (gate, other)):
        on = gate in gates
        with Machine(1, gates=Flipped(gates, Place(gate, file, "here"))).booted():
            assert here(gate) is not on
            assert elsewhere(gate) is on
            assert here(other) is (other in gates)
        with Machine(1, gates=Flipped(gates, Place(gate, file, "nested_here"))).booted():
            assert nested_here(gate) == (not on, not on)
            assert here(gate) is on


def asks_the_set_itself(machine, name):
    return name in machine.gates


def test_whoever_asks_the_set_without_patched_is_recognised_too():
    file = str(Path(__file__).resolve())
    place = Place("unlock-first", file, "asks_the_set_itself")
    with Machine(1, gates=Flipped((), place)).booted() as machine:
        assert asks_the_set_itself(machine, "unlock-first")
        assert not here("unlock-first")
