# SPDX-License-Identifier: GPL-2.0-only
"""Weak memory behind the door: the standard shapes, written as kernel code and run by the engine.

Each shape is run a few hundred times with loads that are old as often as they can be.  What has to
show shows in far more than one run of twenty, so that 300 runs miss it with less than 1e-6; what
must not show is forbidden by the kernel's memory model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.door import door
from mmsim.engine.execution import Token
from mmsim.engine.machine import Machine
from mmsim.engine.memory.orders import Orders
from mmsim.engine.memory.weak import EVERY, LIMIT, Sampled, WeakMemory
from mmsim.engine.policy import RandomWalk
from mmsim.engine.seeds import stream
from mmsim.linux.atomic import (
    READ_ONCE,
    WRITE_ONCE,
    atomic_add_unless,
    atomic_dec_and_test,
    atomic_inc,
    smp_load_acquire,
    smp_mb,
    smp_rmb,
    smp_store_release,
    smp_wmb,
)
from mmsim.linux.bitops import test_and_set_bit as and_set_bit
from mmsim.linux.irqflags import raise_irq
from mmsim.linux.sched import (
    TASK_UNINTERRUPTIBLE,
    __set_current_state,
    schedule,
    set_current_state,
    wake_up_process,
)
from mmsim.linux.sleeplock import down_write, init_rwsem, up_write
from mmsim.linux.spinlock import spin_lock, spin_lock_init, spin_unlock
from mmsim.model.struct import Struct, shared

RUNS = 300
NEW, OLD = (5, 17), (2, 4, 17)


class words(Struct):
    x = shared(0)
    y = shared(0)
    z = shared(0)
    pointer = shared(None)


class Shared:
    """What the CPUs of one run share, and what they saw."""

    def __init__(self) -> None:
        self.w = words()
        self.other = words()
        self.lock = spin_lock_init("lock")
        self.sem = init_rwsem("sem")
        self.r: dict[str, Any] = {}
        self.line: Any = None
        self.task: Any = None


Thread = Callable[[Shared], None]


@pytest.fixture
def token() -> Any:
    execution = greenlets()
    yield execution
    execution.close()


def outcomes(
    token: Token,
    *threads: Thread,
    sees: str = "ab",
    memory: str = "weak",
    version: tuple[int, ...] = NEW,
    irq: Thread | None = None,
    runs: int = RUNS,
) -> Counter[tuple[Any, ...]]:
    """What the registers named in ``sees`` hold at the end, and how often."""
    found: Counter[tuple[Any, ...]] = Counter()
    orders = Orders(memory, version)
    for n in range(runs):
        machine = Machine(len(threads), seed=n)
        reads = Sampled(stream(n, "reads"), rate=0.8, budget=1 << 30)
        machine.memory = WeakMemory(len(threads), orders, reads)
        with machine.booted():
            case = Shared()
            if irq is not None:
                case.line = machine.irq(irq, case, comm="irq", cpu=1, armed=False)
            for cpu, thread in enumerate(threads):
                case.task = machine.spawn(thread, case, comm=f"cpu{cpu}", cpu=cpu)
            token.run(machine, RandomWalk(stream(n, "policy")))
            found[tuple(case.r.get(name) for name in sees)] += 1
    return found


# -- message passing --------------------------------------------------------------------------


def writes(between: Callable[[], None] = lambda: None) -> Thread:
    def thread(case: Shared) -> None:
        WRITE_ONCE(case.w, "x", 1)
        between()
        WRITE_ONCE(case.w, "y", 1)

    return thread


def reads(between: Callable[[], None] = lambda: None) -> Thread:
    def thread(case: Shared) -> None:
        case.r["a"] = READ_ONCE(case.w, "y")
        between()
        case.r["b"] = READ_ONCE(case.w, "x")

    return thread


def releases(case: Shared) -> None:
    WRITE_ONCE(case.w, "x", 1)
    smp_store_release(case.w, "y", 1)


def acquires(case: Shared) -> None:
    case.r["a"] = smp_load_acquire(case.w, "y")
    case.r["b"] = READ_ONCE(case.w, "x")


def plainly(case: Shared) -> None:
    case.w.x = 1
    case.w.y = 1


def looks_plainly(case: Shared) -> None:
    case.r["a"] = case.w.y
    case.r["b"] = case.w.x


STALE = (1, 0)


@pytest.mark.parametrize(
    ("writer", "reader", "shows"),
    [
        (writes(), reads(), True),
        (plainly, looks_plainly, True),
        (writes(smp_wmb), reads(), True),
        (writes(), reads(smp_rmb), True),
        (writes(smp_wmb), reads(smp_rmb), False),
        (writes(smp_mb), reads(smp_mb), False),
        (releases, acquires, False),
        (releases, reads(), True),
        (writes(), acquires, True),
        (releases, reads(smp_rmb), False),
        (writes(smp_wmb), acquires, False),
    ],
)
def test_message_passing(token: Token, writer: Thread, reader: Thread, shows: bool) -> None:
    assert (outcomes(token, writer, reader)[STALE] > 0) is shows


@pytest.mark.parametrize(
    ("memory", "version", "shows"),
    [("alpha", OLD, True), ("ppc", OLD, True), ("i386", OLD, False), ("ia64", OLD, False)],
)
def test_message_passing_without_barriers(
    token: Token, memory: str, version: tuple[int, ...], shows: bool
) -> None:
    """Marked accesses of 2.4 are volatile, which ia64's compiler makes acquire and release."""
    found = outcomes(token, writes(), reads(), memory=memory, version=version)
    assert (found[STALE] > 0) is shows


# -- locks, dependencies, store buffering ------------------------------------------------------


def test_a_lock_hands_over_what_was_done_under_it(token: Token) -> None:
    def one(case: Shared) -> None:
        spin_lock(case.lock)
        case.w.x = 1
        case.w.y = 1
        spin_unlock(case.lock)

    def other(case: Shared) -> None:
        spin_lock(case.lock)
        case.r["a"], case.r["b"] = case.w.y, case.w.x
        spin_unlock(case.lock)

    assert set(outcomes(token, one, other)) == {(0, 0), (1, 1)}


def test_who_waited_for_a_sleeping_lock_sees_what_was_done_under_it(token: Token) -> None:
    def one(case: Shared) -> None:
        down_write(case.sem)
        case.w.x = 1
        up_write(case.sem)

    def other(case: Shared) -> None:
        down_write(case.sem)
        case.r["a"] = case.w.x
        case.w.x = 2
        up_write(case.sem)

    found = outcomes(token, one, other, other, sees="a")
    assert set(found) <= {(0,), (1,), (2,)}

    def counts(case: Shared) -> None:
        down_write(case.sem)
        case.w.x = case.w.x + 1
        case.r["a"] = case.w.x
        up_write(case.sem)

    found = outcomes(token, counts, counts, counts, sees="a")
    assert set(found) == {(3,)}  # the last of them


def publishes(case: Shared) -> None:
    case.other.x = 1
    smp_wmb()
    case.w.pointer = case.other


def follows(case: Shared) -> None:
    pointer = READ_ONCE(case.w, "pointer")
    if pointer is not None:
        case.r["a"] = pointer.x


def test_what_a_pointer_leads_to_comes_after_the_pointer(token: Token) -> None:
    assert outcomes(token, publishes, follows, sees="a")[0,] == 0


@pytest.mark.parametrize(("version", "shows"), [(OLD, True), ((3, 13), True), ((4, 19), False)])
def test_on_alpha_only_from_4_15_on(token: Token, version: tuple[int, ...], shows: bool) -> None:
    """READ_ONCE() has a barrier there since then."""
    found = outcomes(token, publishes, follows, sees="a", memory="alpha", version=version)
    assert (found[0,] > 0) is shows


def buffers(mine: str, theirs: str, sees: str, between: Callable[[], None]) -> Thread:
    def thread(case: Shared) -> None:
        WRITE_ONCE(case.w, mine, 1)
        between()
        case.r[sees] = READ_ONCE(case.w, theirs)

    return thread


def _nothing() -> None:
    """No barrier."""


@pytest.mark.parametrize(("between", "shows"), [(_nothing, True), (smp_wmb, True), (smp_mb, False)])
@pytest.mark.parametrize(("memory", "version"), [("weak", NEW), ("i386", OLD)])
def test_store_buffering(
    token: Token, between: Callable[[], None], shows: bool, memory: str, version: tuple[int, ...]
) -> None:
    one, other = buffers("x", "y", "a", between), buffers("y", "x", "b", between)
    found = outcomes(token, one, other, memory=memory, version=version)
    assert (found[0, 0] > 0) is shows


# -- atomics ----------------------------------------------------------------------------------


def test_nothing_is_lost_of_atomics(token: Token) -> None:
    def thread(case: Shared) -> None:
        atomic_inc(case.w, "x")
        atomic_inc(case.w, "x")
        case.r["a"] = case.w.v_x

    assert outcomes(token, thread, thread, thread, sees="a")[6,] == RUNS


def test_an_atomic_that_returns_a_value_is_a_full_barrier(token: Token) -> None:
    def thread(mine: str, theirs: str, sees: str) -> Thread:
        def run(case: Shared) -> None:
            WRITE_ONCE(case.w, mine, 1)
            atomic_dec_and_test(case.w, "z")
            case.r[sees] = READ_ONCE(case.w, theirs)

        return run

    one, other = thread("x", "y", "a"), thread("y", "x", "b")
    assert outcomes(token, one, other)[0, 0] == 0
    assert outcomes(token, one, other, memory="ppc", version=OLD)[0, 0] > 0  # isync alone


def test_a_failed_add_unless_may_have_seen_an_old_count(token: Token) -> None:
    def revives(case: Shared) -> None:
        WRITE_ONCE(case.w, "x", 1)
        smp_store_release(case.w, "z", 1)

    def thread(case: Shared) -> None:
        while not smp_load_acquire(case.w, "x"):
            return
        case.r["a"] = atomic_add_unless(case.w, "z", 1, 0)

    found = outcomes(token, revives, thread, sees="a")
    assert found[False,] > 0
    assert found[True,] > 0


@pytest.mark.parametrize(("version", "shows"), [((3, 13), False), ((4, 19), True), ((5, 17), True)])
def test_a_failed_test_and_set_bit(token: Token, version: tuple[int, ...], shows: bool) -> None:
    """Of a bit that is set: a full barrier until 4.18, nothing after that."""

    def one(mine: str, theirs: str, sees: str) -> Thread:
        def thread(case: Shared) -> None:
            case.other.v_x = 1
            WRITE_ONCE(case.w, mine, 1)
            and_set_bit(0, case.other, "x")
            case.r[sees] = READ_ONCE(case.w, theirs)

        return thread

    found = outcomes(token, one("x", "y", "a"), one("y", "x", "b"), version=version)
    assert (found[0, 0] > 0) is shows


# -- contexts ---------------------------------------------------------------------------------


def test_an_interrupt_sees_the_stores_of_its_cpu(token: Token) -> None:
    def handler(case: Shared) -> None:
        case.r["b"] = READ_ONCE(case.w, "x")

    def device(case: Shared) -> None:
        WRITE_ONCE(case.w, "y", 1)
        raise_irq(case.line)

    def below(case: Shared) -> None:
        WRITE_ONCE(case.w, "x", 1)
        case.r["a"] = 1
        WRITE_ONCE(case.w, "z", 1)

    def on_top(case: Shared) -> None:
        if case.r.get("a"):
            handler(case)

    found = outcomes(token, device, below, irq=on_top, sees="b")
    assert set(found) <= {(1,), (None,)}
    assert found[1,] > 0


def test_a_handler_sees_what_was_stored_before_it_was_raised(token: Token) -> None:
    def handler(case: Shared) -> None:
        case.r["a"] = READ_ONCE(case.w, "x")

    def device(case: Shared) -> None:
        WRITE_ONCE(case.w, "x", 1)
        raise_irq(case.line)

    def idle(case: Shared) -> None:
        READ_ONCE(case.w, "z")

    assert set(outcomes(token, device, idle, irq=handler, sees="a")) == {(1,)}


@pytest.mark.parametrize(
    ("says", "lost"), [(set_current_state, False), (__set_current_state, True)]
)
def test_a_wake_up_is_lost_without_the_barrier(
    token: Token, says: Callable[[int], None], lost: bool
) -> None:
    """The sleeper says that it sleeps, then looks; the waker stores, then looks at the sleeper."""

    def waker(case: Shared) -> None:
        WRITE_ONCE(case.w, "x", 1)
        wake_up_process(case.task)

    def sleeper(case: Shared) -> None:
        says(TASK_UNINTERRUPTIBLE)
        if not READ_ONCE(case.w, "x"):
            schedule()
        case.r["a"] = READ_ONCE(case.w, "x")

    found = outcomes(token, waker, sleeper, sees="a")
    assert (found[None,] > 0) is lost  # it sleeps for ever
    if not lost:
        assert set(found) == {(1,)}  # who is woken sees what the waker did


# -- what it costs -----------------------------------------------------------------------------


def test_without_it_nothing_is_added_to_an_access(token: Token) -> None:
    seen = []

    def thread(case: Shared) -> None:
        seen.append(door.slow)
        WRITE_ONCE(case.w, "x", 1)

    machine = Machine(2)
    with machine.booted():
        case = Shared()
        machine.spawn(thread, case, comm="t", cpu=0)
        token.run(machine, RandomWalk(stream(1, "policy")))
    assert [slow.__func__ for slow in seen] == [Token._slow]


def test_a_long_run_takes_no_more_memory_than_a_short_one(token: Token) -> None:
    sizes = []

    def thread(case: Shared) -> None:
        for n in range(8_000):
            made = words()
            WRITE_ONCE(made, "x", n)
            atomic_inc(case.w, "x")
            WRITE_ONCE(case.w, "y", n)
            READ_ONCE(case.w, "z")
            if n % 500 == 0:
                views = memory._views
                bits = max(cpu.prop.bit_length() for cpu in views.cpus)
                sizes.append(bits + len(views.words))

    machine = Machine(2)
    machine.max_steps = 1 << 30
    memory = WeakMemory(2, Orders("weak", NEW), Sampled(stream(1, "reads")))
    machine.memory = memory
    with machine.booted():
        case = Shared()
        for cpu in (0, 1):
            machine.spawn(thread, case, comm="t", cpu=cpu)
        token.run(machine, RandomWalk(stream(1, "policy")))
    assert machine.steps == 2 * 4 * 8_000
    assert max(sizes) < 4 * EVERY
    assert all(len(history.messages) <= LIMIT for history in memory._views.words.values())
