# SPDX-License-Identifier: GPL-2.0-only
"""Known numbers of executions: one of each class of equivalent ones, none twice.

The programs with parameters are those of Abdulla, Aronis, Jonsson, Sagonas (POPL'14) and of
Flanagan, Godefroid (POPL'05).
"""

from __future__ import annotations

from math import factorial
from typing import Any

import pytest

from mmsim.engine.execution import Token
from mmsim.engine.explore import Bounded, Dpor
from mmsim.linux import spinlock
from mmsim.linux.atomic import atomic_cmpxchg
from mmsim.linux.irqflags import raise_irq
from mmsim.model.struct import Struct, shared
from tests.engine.lab import Lab, Only, every_order, steps
from tests.explore.programs import explore, increments, sections, writers
from tests.explore.thorough import Thorough


class Cell(Struct):
    v = shared(0)


@pytest.mark.parametrize(("n", "classes"), [(2, 4), (3, 36), (4, 576)])
def test_read_modify_writes(green: Token, n: int, classes: int) -> None:
    search, sums = explore(green, lambda: increments(n), lambda m: m.vm.v_n)
    assert (search.executions, search.blocked) == (classes, 0)
    assert set(sums) == set(range(1, n + 1))


@pytest.mark.slow
def test_two_by_five_read_modify_writes(green: Token) -> None:
    search, sums = explore(green, lambda: increments(2, 5), lambda m: m.vm.v_n)
    assert (search.executions, search.blocked) == (34_904, 0)
    assert set(sums) == set(range(2, 11))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_writers_of_one_word(green: Token, n: int) -> None:
    search, _ = explore(green, lambda: writers(n))
    assert (search.executions, search.blocked) == (factorial(n), 0)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_sections_under_one_lock(green: Token, n: int) -> None:
    search, sums = explore(green, lambda: sections(n), lambda m: (m.vm.v_n, m.findings))
    assert (search.executions, search.blocked) == (factorial(n), 0)
    assert all(outcome == (n, []) for outcome in sums)


@pytest.mark.parametrize("learn", [0, 3])
def test_readers_and_strangers_need_one_execution(green: Token, learn: int) -> None:
    """Whether their words are known to be quiet or not."""

    def build() -> Lab:
        m = Lab(3)
        cells = [Cell() for _ in range(3)]

        def body(word: Any, cell: Any) -> None:
            cell.v = word.n
            cell.v = cell.v + 1

        for cpu, cell in enumerate(cells):
            m.spawn(body, m.vm, cell, comm=f"t{cpu}", cpu=cpu)
        return m

    search, _ = explore(green, build, learn=learn)
    assert search.executions == 1
    assert search.words.count() == ((0, 4) if learn else (4, 4))


def test_a_word_that_is_shared_after_all_starts_the_search_again(green: Token) -> None:
    """One order shows what was not seen before: then everything is explored once more."""

    def build() -> Lab:
        m = Lab(2)

        def writer(word: Any) -> None:
            word.n = 1

        def reader(word: Any) -> None:
            if word.n:
                word.m = word.m + 1

        m.task("a", writer)
        m.task("b", reader, cpu=1)
        m.spawn(lambda w: setattr(w, "m", 5), m.vm, comm="c", cpu=0)
        return m

    search = Dpor()
    machine = build()
    machine.instruments.append(search.learner())
    green.run(machine, Only("b", "a", "c"))  # b reads 0, and leaves m to c
    search.words.settle()
    _, seen = explore(green, build, lambda m: (m.vm.v_n, m.vm.v_m), search=search)
    assert search.restarts == 1
    want = {(m.vm.v_n, m.vm.v_m) for m in every_order(green, build)}
    assert set(seen) == want


@pytest.mark.parametrize("last", ["forks", "raises", "meets"])
def test_the_last_one_that_has_seen_everything(green: Token, last: str) -> None:
    """What it does makes no events; whom it makes does, and so does a word that was not quiet."""

    def build() -> Lab:
        m = Lab(2)

        def increment(word: Any) -> None:
            word.n = word.n + 1

        def first(word: Any) -> None:
            word.m = 1
            word.n = 1

        def other(word: Any) -> None:
            increment(word)
            increment(word)  # by now it may have seen all of the first's
            if last == "forks":
                m.spawn(increment, word, comm="child", cpu=0)
            elif last == "raises":
                raise_irq(line)
            elif word.n == 3:
                word.n = word.n + word.m
            increment(word)

        line = m.irq(increment, m.vm, comm="irq", cpu=0) if last == "raises" else None
        m.task("first", first)
        m.task("other", other, cpu=1)
        return m

    outcomes = []
    for search in Dpor(), Thorough():
        machine = build()
        machine.instruments.append(search.learner())
        green.run(machine, Only("other", "first", "irq", "child"))  # m is the first's alone
        search.words.settle()
        _, seen = explore(green, build, lambda m: m.vm.v_n, search=search)
        assert search.restarts == 1
        assert set(seen) == {m.vm.v_n for m in every_order(green, build)}
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1], "the same executions in the same order"


def filesystem(n: int) -> Lab:
    m = Lab(n)
    inodes, blocks = 32, 26
    inode = [Cell() for _ in range(inodes)]
    busy = [Cell() for _ in range(blocks)]
    locki = [spinlock.spin_lock_init(f"i{i}") for i in range(inodes)]
    lockb = [spinlock.spin_lock_init(f"b{i}") for i in range(blocks)]

    def body(word: Any, tid: int) -> None:
        i = tid % inodes
        spinlock.spin_lock(locki[i])
        if inode[i].v == 0:
            b = (i * 2) % blocks
            while True:
                spinlock.spin_lock(lockb[b])
                if not busy[b].v:
                    busy[b].v = 1
                    inode[i].v = b + 1
                    spinlock.spin_unlock(lockb[b])
                    break
                spinlock.spin_unlock(lockb[b])
                b = (b + 1) % blocks
        spinlock.spin_unlock(locki[i])

    for tid in range(n):
        m.spawn(body, m.vm, tid, comm=f"t{tid}", cpu=tid)
    return m


@pytest.mark.parametrize(
    ("n", "classes"), [(14, 2), (16, 8), pytest.param(18, 32, marks=pytest.mark.slow)]
)
def test_filesystem(green: Token, n: int, classes: int) -> None:
    """Threads 13 apart meet in one block, and each pair has two orders."""
    search, _ = explore(green, lambda: filesystem(n), learn=2)
    assert (search.executions, search.blocked) == (classes, 0)


def indexer(n: int) -> Lab:
    m = Lab(n)
    size, most = 128, 4
    table = [Cell() for _ in range(size)]

    def body(word: Any, tid: int) -> None:
        for k in range(1, most + 1):
            w = k * 11 + tid
            h = (w * 7) % size
            while atomic_cmpxchg(table[h], "v", 0, w):
                h = (h + 1) % size

    for tid in range(n):
        m.spawn(body, m.vm, tid, comm=f"t{tid}", cpu=tid)
    return m


@pytest.mark.parametrize(
    ("n", "classes"),
    [
        (11, 1),
        (12, 8),
        pytest.param(13, 64, marks=pytest.mark.slow),
        pytest.param(14, 512, marks=pytest.mark.slow),
    ],
)
def test_indexer(green: Token, n: int, classes: int) -> None:
    search, _ = explore(green, lambda: indexer(n), learn=2)
    assert (search.executions, search.blocked) == (classes, 0)


def lastzero(n: int) -> Lab:
    m = Lab(n + 1)
    array = [Cell() for _ in range(n + 1)]

    def finder(word: Any) -> None:
        i = n
        while array[i].v != 0:
            i -= 1

    def writer(word: Any, j: int) -> None:
        array[j].v = array[j - 1].v + 1

    m.spawn(finder, m.vm, comm="finder", cpu=0)
    for j in range(1, n + 1):
        m.spawn(writer, m.vm, j, comm=f"w{j}", cpu=j)
    return m


@pytest.mark.parametrize(
    ("n", "classes"), [(5, 64), pytest.param(10, 3_328, marks=pytest.mark.slow)]
)
def test_lastzero(green: Token, n: int, classes: int) -> None:
    search, _ = explore(green, lambda: lastzero(n))
    assert (search.executions, search.blocked) == (classes, 0)


@pytest.mark.parametrize(("bound", "schedules"), [(0, 2), (1, 6), (None, 20)])
def test_schedules_with_so_many_preemptions(
    green: Token, bound: int | None, schedules: int
) -> None:
    """Two tasks of three effects each: one after the other, or one of four switches."""

    def build() -> Lab:
        m = Lab(2)
        m.task("a", steps(3))
        m.task("b", steps(3), cpu=1)
        return m

    search, _ = explore(green, build, search=Bounded(bound))
    assert search.executions == schedules
