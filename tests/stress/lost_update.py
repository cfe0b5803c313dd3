# SPDX-License-Identifier: GPL-2.0-only
"""Two CPUs add one to a counter. A load and a store are two things, so one of the two can be lost.

1. CPU0 reads 0.
2. CPU1 reads 0 and writes 1.
3. CPU0 writes 1: an increment is gone.
"""

from mmsim.linux.bug import report
from mmsim.linux.spinlock import spin_lock, spin_unlock, spinlock
from mmsim.model.gate import GATES, Gate, declare, patched
from mmsim.model.struct import Struct, shared
from mmsim.scenarios.api import ALWAYS, NEVER, SOMETIMES, Scenario, Variant

if "900-lock" not in GATES:
    declare(
        Gate("900-lock", "900", "2024-01-01", "nobody", "take the lock around the increment"),
        Gate("900-twice", "900", "2024-01-01", "nobody", "count twice", kind="mutation"),
    )


class counter(Struct):
    value = shared(0)


def increment(c, lock):
    if patched("900-lock"):
        spin_lock(lock)
        c.value = c.value + (2 if patched("900-twice") else 1)
        spin_unlock(lock)
    else:
        c.value = c.value + 1


def setup(m, v):
    m.vm = counter()
    m.vm.name = "counter"
    lock = spinlock("counter_lock")
    for cpu in range(len(m.cpus)):
        m.spawn(increment, m.vm, lock, comm=f"adder{cpu}", cpu=cpu)


def check(m, v):
    m.count("lost", len(m.cpus) - m.vm.v_value)
    if m.vm.v_value != len(m.cpus):
        report("invariant", "an increment was lost", where="increment")


SCENARIO = Scenario(
    id="900",
    name="lost_update",
    title="Two increments, one counter",
    story=__doc__,
    era="5.17",
    setup=setup,
    check=check,
    variants=(
        Variant("900.plain", "load, add, store", SOMETIMES, findings=("was lost",)),
        Variant(
            "900.locked",
            "under a lock",
            NEVER,
            gates=("900-lock",),
            metrics={"lost": "== 0"},
            against="900.plain",
        ),
        Variant("900.up", "the same on one CPU", NEVER, config={"SMP": False}),
        Variant("900.twice", "counts twice", ALWAYS, gates=("900-lock", "900-twice")),
    ),
)
