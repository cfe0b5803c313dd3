# SPDX-License-Identifier: GPL-2.0-only
"""What kernel code stands on: structs, per-CPU data, assertions, gates, citations."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest

from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.execution import Token
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import RoundRobin
from mmsim.linux import bug, spinlock
from mmsim.linux.percpu import DEFINE_PER_CPU, per_cpu, this_cpu_ptr
from mmsim.mmzone import boot_mm
from mmsim.model import cite, gate
from mmsim.model.era import ERAS, IS_ENABLED, era, kernel
from mmsim.model.struct import Array, Layout, Struct, shared
from tests.engine.lab import Lab, kinds, run, titles


class thing(Struct):
    left = shared(0)
    right = shared(None)


class bigger_thing(thing):
    more = shared(7)


def test_fields_start_at_their_defaults_and_belong_to_the_object() -> None:
    one, other = bigger_thing(), bigger_thing()
    one.left = 1
    one.more = 8
    assert (other.left, other.right, other.more) == (0, None, 7)
    assert (one.v_left, one.v_more, thing.v_left) == (1, 8, 0)


def test_field_accesses_of_every_kind_of_object_are_points(token: Token) -> None:
    m = Lab()
    m.vm = bigger_thing()
    m.task("a", lambda t: (t.left, setattr(t, "more", 1), t.v_right))
    token.run(m, RoundRobin())
    assert m.steps == 2


class slot(Layout):
    count = shared(0)

    def __init__(self, place: int) -> None:
        self.place = place

    def identity(self) -> Any:
        return "slot", self.place


def test_what_an_array_has_is_made_when_it_is_looked_at_and_once() -> None:
    array = Array(3, slot)
    assert not array
    assert array[2] is array[2]
    assert array[2].identity() == ("slot", 2)
    assert list(array) == [2]
    for index in (3, -1):
        with pytest.raises(IndexError, match=rf"\[{index}\] of an array of 3"):
            array[index]


def test_lists_that_are_made_late_are_told_by_their_place() -> None:
    def births(order: list[int]) -> dict[int, Any]:
        m = Machine(1, era="5.4")
        with m.booted():
            boot_mm(m)
            lists = m.vm.memcgs[0].lruvecs[0].lists
            return {lru: lists[lru].identity() for lru in order}

    assert births([0, 3]) == births([3, 0])
    assert len(set(births([0, 3]).values())) == 2


# -- per-CPU data ------------------------------------------------------------------------------


def test_each_cpu_has_its_own_instance(token: Token) -> None:
    var = DEFINE_PER_CPU(lambda cpu: [cpu])
    m = Lab(2)
    seen = []
    for cpu, name in enumerate("ab"):
        m.task(name, lambda w: seen.append(this_cpu_ptr(var)), cpu=cpu)
    token.run(m, RoundRobin())
    assert seen == [[0], [1]]
    assert per_cpu(var, 1) is seen[1]


def test_a_machine_starts_with_new_instances() -> None:
    var = DEFINE_PER_CPU(lambda cpu: [cpu])
    with Machine(1).booted():
        first = per_cpu(var, 0)
    with Machine(1).booted():
        assert per_cpu(var, 0) is not first


def test_two_cpus_that_look_first_at_once_see_one_instance(free: FreeCarrier) -> None:
    for seed in range(50):
        var = DEFINE_PER_CPU(lambda cpu: object())
        m = Lab(4, seed=seed)
        seen: list[Any] = []
        for cpu in range(4):
            m.task("abcd"[cpu], lambda w, v=var, s=seen: s.append(per_cpu(v, 0)), cpu=cpu)
        free.run(m, q=0.5)
        assert len(set(map(id, seen))) == 1


# -- assertions --------------------------------------------------------------------------------


def test_bug_on_ends_its_context_and_knows_where_it_was(token: Token) -> None:
    m = Lab()
    m.stop_on_first = False

    def inner(word: Any) -> None:
        bug.BUG_ON(word.n == 0, "page_alloc.c:84")
        m.says(" goes on")

    def outer(word: Any) -> None:
        inner(word)

    m.task("a", outer)
    token.run(m, RoundRobin())
    (finding,) = m.findings
    assert (finding.kind, finding.title) == ("BUG", "kernel BUG at page_alloc.c:84!")
    assert (finding.where, finding.comm, finding.pid, finding.cpu) == ("inner", "a", 100, 0)
    assert [frame.func for frame in finding.frames] == ["inner", "outer"]
    assert all(0 <= frame.offset < frame.size for frame in finding.frames)
    assert m.trace == []


def test_vm_bug_on_is_not_even_evaluated_without_debug_vm(token: Token) -> None:
    """Compiled out it passes no point: the race it looks for has one window less."""
    for debug, steps, expected in ((False, 0, []), (True, 1, ["VM_BUG_ON_PAGE(!PageLRU(page))"])):
        m = Lab(config={"DEBUG_VM": debug})
        m.task("a", lambda w: bug.VM_BUG_ON_PAGE(lambda: w.n == 0, "!PageLRU(page)", None))
        token.run(m, RoundRobin())
        assert (m.steps, titles(m)) == (steps, expected)


def test_warn_on_goes_on(token: Token) -> None:
    m = Lab()
    m.stop_on_first = False
    m.task("a", lambda w: (m.says(str(bug.WARN_ON(True, "odd"))), bug.WARN_ON(False, "even")))
    token.run(m, RoundRobin())
    assert m.trace == ["aTrue"]
    assert titles(m) == ["WARNING: odd"]


def test_a_finding_carries_the_locks_and_the_context_it_happened_in(token: Token) -> None:
    m = Lab(2, preempt=True)
    lock = spinlock.spin_lock_init("zone->lru_lock")
    m.task("a", lambda w: w.n)
    m.interrupt(
        "irq", lambda w: (spinlock.spin_lock(lock), bug.BUG("x.c:1")), kind="softirq", cpu=1
    )
    run(token, m, "a irq")
    (finding,) = m.findings
    assert finding.locks == ("zone->lru_lock",)
    assert (finding.context, finding.cpu, finding.cpus) == ("softirq", 1, 2)
    assert (finding.era, finding.preempt, finding.step) == ("5.17", True, 2)


def test_assertions_of_a_check_at_quiescence_are_findings_too() -> None:
    m = Lab()
    with pytest.raises(ContextDied):
        bug.BUG("x.c:1")
    assert kinds(m) == ["BUG"]
    assert (m.findings[0].comm, m.findings[0].pid) == ("swapper/0", 0)


@pytest.mark.parametrize(
    ("name", "address", "title"),
    [
        ("2.4.17", 0x4, "Unable to handle kernel NULL pointer dereference at virtual address 0000"),
        ("5.17", 0x8, "BUG: kernel NULL pointer dereference, address: 0000000000000008"),
        ("5.17", 0xDEAD000000000108, "general protection fault, probably for non-canonical"),
    ],
)
def test_a_page_fault_reads_as_in_its_time(name: str, address: int, title: str) -> None:
    m = Lab(era=name)
    with pytest.raises(ContextDied):
        bug.page_fault(address, write=False)
    assert titles(m)[0].startswith(title)


# -- eras, options, gates, citations -----------------------------------------------------------


def test_eras_know_their_poison() -> None:
    for name, known in ERAS.items():
        with Machine(1, era=name).booted():
            assert era() is known
        assert (known.poison1 == 0) == (known.version < (2, 6))
        assert known.poison1 < 1 << known.bits


def test_options_that_nobody_set_are_off() -> None:
    m = Lab(config={"DEBUG_VM": True})
    assert (IS_ENABLED("DEBUG_VM"), IS_ENABLED("DEBUG_LIST")) == (True, False)
    assert kernel() is m.vm


def test_gates_are_declared_once_and_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "GATES", {})
    this = gate.Gate("a-test-gate", "999", "2026-01-01", "nobody", "tests")
    gate.declare(this)
    with Machine(1).booted():
        assert gate.patched("a-test-gate") is False
    with Machine(1, gates=frozenset({"a-test-gate"})).booted():
        assert gate.patched("a-test-gate") is True
        with pytest.raises(gate.UndeclaredGate):
            gate.patched("a-test-gtae")
    with pytest.raises(ValueError, match="declared twice"):
        gate.declare(replace(this, meaning="another"))


def test_a_citation_names_the_kernels_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cite, "_CITATIONS", [])

    @cite.cite("mm/swap.c", "5.17", thread="001")
    def release_pages_v5_17() -> None: ...

    @cite.cite("mm/vmscan.c", "2.4.18-pre9", symbol="shrink_cache")
    def shrink_cache_loop() -> None: ...

    assert [(c.symbol, c.file, c.func) for c in cite.citations()] == [
        ("release_pages", "mm/swap.c", release_pages_v5_17),
        ("shrink_cache", "mm/vmscan.c", shrink_cache_loop),
    ]


def test_a_finding_keeps_nothing_alive(token: Token) -> None:
    """Findings cross process borders and outlive their machine by days."""
    m = Lab()
    m.task("a", lambda w: (w.n, bug.BUG("x.c:1")))
    token.run(m, RoundRobin())
    (finding,) = m.findings
    reachable: list[Any] = [finding]
    seen: set[int] = set()
    while reachable:
        for obj in gc.get_referents(reachable.pop()):
            if id(obj) not in seen and not isinstance(obj, type):
                seen.add(id(obj))
                assert not isinstance(obj, (Struct, Machine)), obj
                reachable.append(obj)
