# SPDX-License-Identifier: GPL-2.0-only
"""Who serialises is refused, with the measure."""

from __future__ import annotations

import pytest

from mmsim.engine.machine import Machine
from mmsim.labs.room import Room, measure, serial
from mmsim.linux.atomic import atomic_inc
from mmsim.linux.irqflags import local_irq_disable, local_irq_enable
from mmsim.linux.spinlock import spin_lock, spin_lock_init, spin_unlock
from mmsim.model.struct import Struct, shared
from mmsim.scenarios.api import NEVER, Scenario, Variant


class counter(Struct):
    """What everybody increments."""

    name = "counter"
    n = shared(0)


def work(machine: Machine, how: str) -> None:
    """Ten increments; under one lock, or with interrupts off, if ``how`` says so."""
    if how == "lock":
        spin_lock(machine.vm.big)
    if how == "irqs":
        local_irq_disable()
    for _ in range(10):
        atomic_inc(machine.vm, "n")
    if how == "irqs":
        local_irq_enable()
    if how == "lock":
        spin_unlock(machine.vm.big)


def kernel(how: str) -> Variant:
    """Three CPUs, each with that work."""

    def setup(machine: Machine, variant: Variant) -> None:
        machine.vm = counter()
        machine.vm.big = spin_lock_init("big")
        for cpu in range(3):
            machine.spawn(work, machine, how, comm=f"worker{cpu}", cpu=cpu)

    (variant,) = Scenario(
        id="900",
        name="room",
        title="room",
        story="",
        era="5.17",
        setup=setup,
        variants=(Variant("900.room", "room", NEVER),),
    ).variants
    return variant


def room(how: str) -> Room:
    return measure(kernel(how), cpus=3, seed=1, runs=5)


def test_who_works_side_by_side_is_not_refused() -> None:
    assert serial(room(""), room("")) == ""
    assert room("").able > 2


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("lock", "takes big, which the reference does not take"),
        ("irqs", "interrupts are off in 9"),
    ],
)
def test_who_serialises_is(how: str, says: str) -> None:
    assert serial(room(how), room("")).startswith(says)


def test_a_lock_that_was_there_gives_itself_away_by_its_holds() -> None:
    mine = room("lock")
    short = Room(mine.able, {"big": 2}, mine.off)
    assert "holds big for up to" in serial(Room(mine.able, {"big": 60}, 0.0), short)


def test_one_lock_for_all_leaves_one_cpu() -> None:
    mine = room("lock")
    assert mine.able < 1.5
    assert "on average" in serial(Room(mine.able, {}, 0.0), room(""))
