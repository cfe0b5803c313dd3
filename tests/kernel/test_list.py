# SPDX-License-Identifier: GPL-2.0-only
"""list_head: right against a model, wrong in the words and at the addresses of each kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from math import comb
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mmsim.engine.door import door
from mmsim.engine.execution import Token
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import RandomWalk, RoundRobin
from mmsim.linux import list as lists
from mmsim.linux.list import (
    LIST_HEAD,
    LIST_POISON1,
    LIST_POISON2,
    list_add,
    list_add_tail,
    list_del,
    list_del_init,
    list_empty,
    list_empty_careful,
    list_head,
    list_move,
    list_move_tail,
    list_nodes,
    list_splice,
    list_splice_init,
)
from tests.engine.lab import Lab, every_order, run, titles

NODES = st.integers(0, 5)


def boot(era: str = "5.17", *, debug: bool = False, bug: bool = False) -> Machine:
    machine = Machine(1, era=era, config={"DEBUG_LIST": debug, "BUG_ON_DATA_CORRUPTION": bug})
    door.boot(machine)  # until the next one is booted
    return machine


class Lists(RuleBasedStateMachine):
    """Two lists and six nodes against two Python lists, with DEBUG_LIST watching."""

    def __init__(self) -> None:
        super().__init__()
        boot(debug=True)
        self.heads = [LIST_HEAD("a"), LIST_HEAD("b")]
        self.nodes = [list_head(f"node{i}") for i in range(6)]
        self.model: list[list[int]] = [[], []]

    def where(self, n: int) -> list[int] | None:
        return next((content for content in self.model if n in content), None)

    @rule(n=NODES, which=st.booleans(), tail=st.booleans())
    def add(self, n: int, which: bool, tail: bool) -> None:
        if self.where(n) is None:
            (list_add_tail if tail else list_add)(self.nodes[n], self.heads[which])
            self.model[which].insert(len(self.model[which]) if tail else 0, n)

    @rule(n=NODES, init=st.booleans())
    def delete(self, n: int, init: bool) -> None:
        content = self.where(n)
        if content is not None:
            (list_del_init if init else list_del)(self.nodes[n])
            content.remove(n)
            if init:
                assert list_empty(self.nodes[n])
                assert list_empty_careful(self.nodes[n])
            else:
                assert self.nodes[n].v_next is LIST_POISON1
                assert self.nodes[n].v_prev is LIST_POISON2

    @rule(n=NODES, which=st.booleans(), tail=st.booleans())
    def move(self, n: int, which: bool, tail: bool) -> None:
        content = self.where(n)
        if content is not None:
            (list_move_tail if tail else list_move)(self.nodes[n], self.heads[which])
            content.remove(n)
            self.model[which].insert(len(self.model[which]) if tail else 0, n)

    @rule(which=st.booleans())
    def splice_init(self, which: bool) -> None:
        list_splice_init(self.heads[which], self.heads[not which])
        self.model[not which][:0] = self.model[which]
        self.model[which].clear()

    @precondition(lambda self: self.model[0])
    @rule()
    def splice_and_begin_anew(self) -> None:
        list_splice(self.heads[0], self.heads[1])
        self.heads[0] = LIST_HEAD("a")
        self.model[1][:0] = self.model[0]
        self.model[0].clear()

    @invariant()
    def agree(self) -> None:
        for head, content in zip(self.heads, self.model, strict=True):
            assert list_nodes(head) == [self.nodes[n] for n in content]
            assert list_empty(head) is (not content)


TestLists = Lists.TestCase
TestLists.settings = settings(max_examples=60, stateful_step_count=25)


class Item:
    """What a node is embedded in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = 0x1000
        self.lru = list_head("lru", self)


def queued(*names: str) -> tuple[Any, list[Item]]:
    head = LIST_HEAD("head")
    items = [Item(name) for name in names]
    for item in items:
        list_add_tail(item.lru, head)
    return head, items


# -- what goes wrong, and where ----------------------------------------------------------------


@pytest.fixture
def findings() -> Callable[[Machine, Callable[[], Any]], list[Any]]:
    def collect(machine: Machine, call: Callable[[], Any]) -> list[Any]:
        with pytest.raises(ContextDied):
            call()
        return machine.findings

    return collect


@pytest.mark.parametrize(
    ("era", "title"),
    [
        ("3.13", "general protection fault, probably for non-canonical address 0xdead000000100108"),
        ("5.17", "general protection fault, probably for non-canonical address 0xdead000000000108"),
        ("5.4", "Unable to handle kernel NULL pointer dereference at virtual address 00000104"),
    ],
)
def test_a_second_list_del_faults_where_this_kernel_would(
    findings: Any, era: str, title: str
) -> None:
    """next->prev = prev through LIST_POISON1: the second word behind it."""
    machine = boot(era)
    _, (item,) = queued("page")
    list_del(item.lru)
    (finding,) = findings(machine, lambda: list_del(item.lru))
    assert finding.title == title
    assert finding.kind == "oops"
    assert finding.detail == ("supervisor write access",)


@pytest.mark.parametrize("era", ["2.4.17", "2.4.18-pre9", "2.5.32"])
def test_in_the_old_days_a_second_list_del_says_nothing_and_rewires_its_old_neighbours(
    era: str,
) -> None:
    machine = boot(era)
    head, (a, b, c) = queued("a", "b", "c")
    list_del(b.lru)
    new = Item("new")
    list_add(new.lru, a.lru)  # where b was
    assert list_nodes(head) == [a.lru, new.lru, c.lru]
    list_del(b.lru)
    assert not machine.findings
    assert list_nodes(head) == [a.lru, c.lru]  # new is off the list and nobody said so


def corruptions() -> Iterator[tuple[str, Callable[[], Any], str, str]]:
    def twice() -> None:
        _, (item,) = queued("page")
        list_del(item.lru)
        list_del(item.lru)

    def poisoned_prev() -> None:
        _, (item,) = queued("page")
        item.lru.v_prev = LIST_POISON2
        list_del(item.lru)

    def prev_leads_elsewhere() -> None:
        _, (a, b) = queued("a", "b")
        a.lru.v_next = a.lru
        list_del(b.lru)

    def next_leads_elsewhere() -> None:
        _, (a, b) = queued("a", "b")
        b.lru.v_prev = b.lru
        list_del(a.lru)

    def add_at_a_broken_front() -> None:
        head, (a,) = queued("a")
        a.lru.v_prev = a.lru
        list_add(Item("new").lru, head)

    def add_at_a_broken_end() -> None:
        head, (a,) = queued("a")
        a.lru.v_next = a.lru
        list_add_tail(Item("new").lru, head)

    def double_add() -> None:
        head, (a,) = queued("a")
        list_add(a.lru, head)

    yield "twice", twice, "list_del corruption, ->next is LIST_POISON1", "{c}->next is {p}"
    yield "prev", poisoned_prev, "list_del corruption, ->prev is LIST_POISON2", "->prev is"
    yield (
        "prev->next",
        prev_leads_elsewhere,
        "list_del corruption. prev->next should be entry",
        "but was",
    )
    yield (
        "next->prev",
        next_leads_elsewhere,
        "list_del corruption. next->prev should be entry",
        "but was",
    )
    yield (
        "add front",
        add_at_a_broken_front,
        "list_add corruption. next->prev should be prev",
        "(next=",
    )
    yield "add end", add_at_a_broken_end, "list_add corruption. prev->next should be next", "(prev="
    yield "double add", double_add, "list_add double add", "new="


@pytest.mark.parametrize("what", [name for name, *_ in corruptions()])
@pytest.mark.parametrize("era", ["5.17", "5.4"])
@pytest.mark.parametrize("bug", [False, True])
def test_debug_list_names_the_corruption(what: str, era: str, bug: bool) -> None:
    """It warns; with BUG_ON_DATA_CORRUPTION it is a BUG at the same line."""
    _, call, title, text = next(case for case in corruptions() if case[0] == what)
    machine = boot(era, debug=True, bug=bug)
    with pytest.raises(ContextDied) if bug else nullcontext():
        call()
    (finding,) = machine.findings
    assert finding.kind == "list-corruption"
    assert finding.title == title
    poison = "LIST_POISON1 (dead000000000100)" if era == "5.17" else "LIST_POISON1 (00000100)"
    node = "0000000000001008" if era == "5.17" else "00001004"
    assert text.format(c=node, p=poison) in finding.detail[0]
    assert finding.detail[1].startswith("kernel BUG at lib/list_debug.c:" if bug else "lib/list_")


@pytest.mark.parametrize("debug", [False, True])
def test_null_is_followed_in_the_check_as_well(findings: Any, debug: bool) -> None:
    machine = boot("5.17", debug=debug)
    (finding,) = findings(machine, lambda: list_del(Item("page").lru))
    assert "NULL pointer dereference" in finding.title
    assert finding.kind == "oops"


@pytest.mark.parametrize(("era", "added"), [("3.13", True), ("4.19", False)])
def test_what_is_refused_is_left_out_from_4_10_on(era: str, added: bool) -> None:
    machine = boot(era, debug=True)
    head, (a,) = queued("a")
    a.lru.v_prev = a.lru
    new = Item("new")
    list_add(new.lru, head)
    assert titles(machine) == ["list_add corruption. next->prev should be prev"]
    assert (head.v_next is new.lru) is added
    list_del(a.lru)
    assert a.lru.v_next is LIST_POISON1  # poisoned, though it was not unlinked


def test_debug_list_finds_nothing_on_a_whole_list() -> None:
    machine = boot(debug=True)
    head, items = queued(*"abc")
    for item in items[::-1]:
        list_del(item.lru)
    assert list_empty(head)
    assert not machine.findings


def test_a_check_in_time_keeps_the_list_whole() -> None:
    """Without it the second list_add of a node makes a circle."""
    for debug, broken in ((True, False), (False, True)):
        machine = boot(debug=debug)
        head, (a, _) = queued("a", "b")
        list_add(a.lru, head)
        assert len(machine.findings) == debug
        if broken:
            with pytest.raises(ValueError, match="runs in a circle"):
                list_nodes(head)
        else:
            assert len(list_nodes(head)) == 2


# -- checks without points ---------------------------------------------------------------------


def test_list_nodes_says_what_is_wrong() -> None:
    boot()
    head, (a, b) = queued("a", "b")
    b.lru.v_prev = head
    with pytest.raises(ValueError, match="does not lead back"):
        list_nodes(head)
    head, (a, b) = queued("a", "b")
    a.lru.v_next = LIST_POISON1
    with pytest.raises(ValueError, match="runs into LIST_POISON1"):
        list_nodes(head)
    head, (a, b) = queued("a", "b")
    head.v_prev = a.lru
    with pytest.raises(ValueError, match="its prev is not its last node"):
        list_nodes(head)


def test_addresses_and_names() -> None:
    boot("5.4")
    item = Item("pfn:00011")
    assert (item.lru.name, item.lru.address) == ("pfn:00011.lru", 0x1004)
    assert lists.LIST_HEAD("inactive_list").name == "inactive_list"
    assert lists.LIST_HEAD("x").address == lists.LIST_HEAD("x").address
    boot("5.17")
    assert item.lru.address == 0x1008


# -- races -------------------------------------------------------------------------------------


def add_without_a_lock() -> Lab:
    m = Lab(2)
    m.head = LIST_HEAD("head")
    for cpu, name in enumerate("ab"):
        item = Item(name)
        m.task(name, lambda w, item=item: list_add(item.lru, m.head), cpu=cpu)
    return m


def test_two_list_adds_at_once_lose_one(token: Token) -> None:

    def both_there(m: Any) -> bool:
        try:
            return len(list_nodes(m.head)) == 2
        except ValueError:
            return False

    results = [both_there(m) for m in every_order(token, add_without_a_lock)]
    assert len(results) == comb(10, 5)
    assert results.count(True) == 2  # one after the other; any overlap loses a node


def test_an_interrupt_in_the_middle_of_a_list_add(token: Token) -> None:
    """next->prev is stored first: an interrupt after it adds to a list that is half way."""
    m = Lab()
    m.head = LIST_HEAD("head")
    a, b = Item("a"), Item("b")
    m.task("a", lambda w: list_add(a.lru, m.head))
    m.interrupt("irq", lambda w: list_add(b.lru, m.head))
    run(token, m, "a2 irq5 a3")
    with pytest.raises(ValueError):
        list_nodes(m.head)


def test_two_list_dels_at_once_are_sometimes_seen_by_debug_list(token: Token) -> None:
    """Not if both have checked before either has stored."""

    def build() -> Lab:
        m = Lab(2, config={"DEBUG_LIST": True})
        head, (a, _) = queued("a", "b")
        m.head = head
        for cpu, name in enumerate("xy"):
            m.task(name, lambda w: list_del(a.lru), cpu=cpu)
        return m

    m = build()
    token.run(m, RoundRobin(1000))
    assert titles(m) == ["list_del corruption, ->next is LIST_POISON1"]
    seen: set[str] = set()
    missed = 0
    for seed in range(300):
        m = build()
        token.run(m, RandomWalk(Random(seed)))
        seen.update(titles(m))
        missed += not m.findings
    assert len(seen) > 1
    assert 50 < missed < 250


def test_list_empty_careful_is_false_while_the_other_cpu_is_half_way(
    token: Token,
) -> None:
    """list_del_init() stores next, then prev: list_empty() already says yes in between."""
    m = Lab(2)
    seen = []

    def looks(word: Any) -> None:
        seen.append((list_empty(a.lru), list_empty_careful(a.lru)))

    _, (a,) = queued("a")
    m.task("x", lambda w: list_del_init(a.lru))
    m.task("y", looks, cpu=1)
    run(token, m, "x5 y3 x")
    assert seen == [(True, False)]
