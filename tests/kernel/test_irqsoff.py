# SPDX-License-Identifier: GPL-2.0-only
"""The latency tracer counts points of the CPU itself, whatever the others do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.carriers.threads import threads
from mmsim.engine.door import door
from mmsim.engine.machine import Machine
from mmsim.engine.policy import RandomWalk, RoundRobin
from mmsim.linux.irqflags import (
    local_irq_disable,
    local_irq_enable,
    local_irq_restore,
    local_irq_save,
)
from mmsim.linux.irqsoff import METRIC
from mmsim.model.struct import Struct, shared


class Word(Struct):
    value = shared(0)
    name = "word"


WORD = Word()


def spend(points: int) -> None:
    for _ in range(points):
        WORD.value = 0


def nested() -> None:
    """Five points, one to turn interrupts off again, five more, one to leave them off, five."""
    spend(50)
    local_irq_disable()
    spend(5)
    flags = local_irq_save()
    spend(5)
    local_irq_restore(flags)
    spend(5)
    local_irq_enable()
    spend(50)


def twice() -> None:
    for points in (12, 7):
        flags = local_irq_save()
        spend(points)
        local_irq_restore(flags)
        spend(30)


def booted(work: Callable[[], None], *, traced: bool = True) -> Machine:
    machine = Machine(4, config={"IRQSOFF_TRACER": traced})
    door.boot(machine)  # until the next one is booted
    machine.spawn(work, comm="work", cpu=0)
    for cpu in range(1, 4):
        machine.spawn(spend, 100, comm=f"noise{cpu}", cpu=cpu)
    return machine


@pytest.mark.parametrize(("work", "longest"), [(nested, 17), (twice, 12)])
@pytest.mark.parametrize("policy", [RoundRobin(1), RoundRobin(7), RandomWalk(Random(1))])
def test_the_longest_section_in_points_of_its_own(
    work: Callable[[], None], longest: int, policy: RandomWalk | RoundRobin
) -> None:
    carrier = threads()
    machine = booted(work)
    carrier.run(machine, policy)
    carrier.close()
    assert machine.metrics == {METRIC: longest}


def test_free_running_threads_are_counted_as_well() -> None:
    carrier = FreeCarrier()
    machine = booted(nested)
    carrier.run(machine)
    carrier.close()
    assert machine.metrics == {METRIC: 17}


def test_without_the_option_nothing_is_counted() -> None:
    carrier = threads()
    machine = booted(nested, traced=False)
    carrier.run(machine, RoundRobin(1))
    carrier.close()
    assert machine.metrics == {}
