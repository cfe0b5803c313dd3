# SPDX-License-Identifier: GPL-2.0-only
"""The OS threads behind a carrier: kept, ended, and got out of wherever Ctrl-C finds them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.carriers.threads import threads
from mmsim.engine.door import access, door
from mmsim.engine.execution import Token
from mmsim.engine.op import READ, Op
from mmsim.engine.policy import FOREVER, RandomWalk, RoundRobin
from mmsim.linux import sched, sleeplock, spinlock
from tests.engine import fuzz
from tests.engine.lab import Lab, increment, steps

Carrier = Token | FreeCarrier


def go(carrier: Carrier, m: Lab) -> None:
    door.boot(m)
    if isinstance(carrier, Token):
        carrier.run(m, RandomWalk(Random(m.seed)))
    else:
        carrier.run(m)


LOADS = Op(READ, "n")


def pool_of(carrier: Carrier) -> Any:
    return carrier._carrier._pool if isinstance(carrier, Token) else carrier._pool


def threads_of(carrier: Carrier) -> list[threading.Thread]:
    return [host.thread for host in pool_of(carrier)._hosts]


@pytest.fixture(params=["threads", "free"])
def carrier(request: pytest.FixtureRequest) -> Iterator[Carrier]:
    """One of each kind, its threads gone afterwards."""
    made: Carrier = threads() if request.param == "threads" else FreeCarrier()
    yield made
    left = threads_of(made)
    made.close()
    assert not any(thread.is_alive() for thread in left)


def three(seed: int = 0) -> Lab:
    m = Lab(3, seed=seed)
    for i, name in enumerate("abc"):
        m.task(name, increment, cpu=i)
    m.interrupt("irq", increment, cpu=1)
    return m


def is_as_good_as_new(carrier: Carrier) -> bool:
    lost = 0
    for seed in range(10):
        m = three(seed)
        go(carrier, m)
        assert m.steps == 8
        lost += m.vm.v_n < 4
    return lost > 0


def test_many_runs_use_the_same_threads(carrier: Carrier) -> None:
    go(carrier, three())
    before = threads_of(carrier)
    assert len(before) == 3
    started = threading.active_count()
    for seed in range(150):
        go(carrier, three(seed))
    assert threads_of(carrier) == before
    assert threading.active_count() == started


def test_a_bigger_machine_adds_what_it_needs(carrier: Carrier) -> None:
    go(carrier, three())
    m = Lab(64)
    for i in range(64):
        m.task("a", steps(2), cpu=i)
    go(carrier, m)
    assert m.steps == 128
    assert len(threads_of(carrier)) == 64


def test_stuck_and_aborted_runs_leave_no_stack_behind(carrier: Carrier) -> None:
    for seed in range(25):
        machine = fuzz.boot(seed)
        if isinstance(carrier, Token):
            carrier.run(machine, RandomWalk(Random(seed)))
        else:
            carrier.run(machine)
        assert all(h.ctx is None for h in pool_of(carrier)._hosts)
    assert is_as_good_as_new(carrier)


def test_closing_twice_and_running_after_closing(carrier: Carrier) -> None:
    go(carrier, three())
    carrier.close()
    carrier.close()
    assert threads_of(carrier) == []
    assert is_as_good_as_new(carrier)


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyError])
@pytest.mark.parametrize("where", ["task", "interrupt", "effect"])
def test_what_a_context_raises_comes_out_of_the_run(
    carrier: Carrier, error: type[BaseException], where: str
) -> None:

    def fails(word: Any) -> None:
        word.n  # noqa: B018
        if where == "effect":
            access(LOADS, word, raises)
        raise error("on purpose")

    def raises() -> None:
        raise error("on purpose")

    for _ in range(3):
        m = three()
        if where == "interrupt":
            m.interrupt("bad", fails, cpu=2)
        else:
            m.task("bad", fails, cpu=2)
        with pytest.raises(error, match="on purpose") as caught:
            go(carrier, m)
        names = [entry.name for entry in caught.traceback]
        assert "fails" in names  # the traceback leads to the line that did it
    assert is_as_good_as_new(carrier)


def test_what_the_watchdog_raises_comes_out_of_the_run(carrier: Carrier) -> None:
    def broken(machine: Any, why: str) -> None:
        raise ZeroDivisionError

    m = Lab(2)
    lock = spinlock.spin_lock_init("lock")
    m.task("a", lambda w: (spinlock.spin_lock(lock), spinlock.spin_lock(lock)))
    m.on_stuck = broken
    with pytest.raises(ZeroDivisionError):
        go(carrier, m)
    assert is_as_good_as_new(carrier)


# -- Ctrl-C ------------------------------------------------------------------------------------


def ctrl_c() -> None:
    """What the terminal does: the signal goes to the main thread, which waits for the run."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def accesses(m: Lab) -> None:
    def body(word: Any) -> None:
        ctrl_c()
        while True:
            word.n  # noqa: B018

    m.task("a", body)
    m.task("b", lambda w: [w.n for _ in range(10**9)], cpu=1)


def relaxing(m: Lab) -> None:
    def body(word: Any) -> None:
        ctrl_c()
        while True:
            sched.cpu_relax()

    m.task("a", body)


def spinning_and_sleeping(m: Lab) -> None:
    lock = spinlock.spin_lock_init("lock")
    mutex = sleeplock.mutex_init("mutex")

    def body(word: Any) -> None:
        spinlock.spin_lock(lock)
        word.n = 1
        for _ in range(50):
            word.n  # noqa: B018
        ctrl_c()
        while True:
            word.n  # noqa: B018

    def waits(word: Any) -> None:
        while not word.n:
            sched.cpu_relax()
        spinlock.spin_lock(lock)

    m.task("a", body)
    m.task("b", waits, cpu=1)
    m.task("c", lambda w: sleeplock.mutex_lock(mutex), cpu=2)
    m.task("d", lambda w: sleeplock.mutex_lock(mutex), cpu=2)
    m.interrupt("irq", steps(2), cpu=1)


def in_an_interrupt(m: Lab) -> None:
    def handler(word: Any) -> None:
        ctrl_c()
        while True:
            word.n  # noqa: B018

    m.task("a", steps(5))
    m.interrupt("irq", handler)


def without_a_point(m: Lab) -> None:
    def body(word: Any) -> None:
        ctrl_c()
        while True:
            pass

    m.task("a", body)
    m.task("b", steps(3), cpu=1)


@pytest.mark.parametrize(
    "build", [accesses, relaxing, spinning_and_sleeping, in_an_interrupt, without_a_point]
)
def test_ctrl_c_ends_the_run_and_its_threads(
    carrier: Carrier, build: Callable[[Lab], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsim.engine.carriers.threads.TRIES", 3)
    m = Lab(3)
    m.max_steps = FOREVER
    build(m)
    go(carrier, three())
    left = threads_of(carrier)
    door.boot(m)
    with pytest.raises(KeyboardInterrupt):
        if isinstance(carrier, Token):
            carrier.run(m, RoundRobin(1000))
        else:
            carrier.run(m)
    assert not any(thread.is_alive() for thread in left)
    assert threads_of(carrier) == []
    assert is_as_good_as_new(carrier)


def test_a_late_word_from_a_thread_that_was_ended_does_not_end_the_next_run() -> None:
    """It may have looked whether it is to say that the run is over just before Ctrl-C."""
    token = threads()
    go(token, three())
    ended = pool_of(token)
    token.close()
    ended.closing = False
    ended.done()
    assert is_as_good_as_new(token)
    token.close()


def test_ctrl_c_before_anybody_runs(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the decision and the release of the first thread: nobody holds the token."""

    def interrupted(*args: Any) -> Any:
        raise KeyboardInterrupt

    go(carrier, three())
    left = threads_of(carrier)
    name = "_host_of" if isinstance(carrier, Token) else "_check"
    with monkeypatch.context() as patch:
        patch.setattr(carrier, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            go(carrier, three())
    assert not any(thread.is_alive() for thread in left)
    assert is_as_good_as_new(carrier)
