# SPDX-License-Identifier: GPL-2.0-only
"""What a scenario is: a story, a way to boot it, checks at quiescence, and variants.

And what one is written with, to be imported from this one place: ``docs/write-a-scenario.md`` has
the list.  (The kernel's own functions come from the files that mirror the kernel's.)

A *variant* is the scenario with some gates on and some kernel options set, and the verdict its
author declares: **Never**, **Sometimes** or **Always** a finding, and which.  A verdict is
declared here and measured elsewhere; nothing in a run reads it.

    SCENARIO = Scenario(
        id="900", name="lost_update", title="Two increments, one counter", story=__doc__,
        era="5.17", setup=setup, check=check,
        variants=(
            Variant("900.plain", "x = x + 1", SOMETIMES, findings=("counter is",)),
            Variant("900.atomic", "atomic_inc", NEVER, gates=("atomic",), against="900.plain"),
        ),
    )

That no run of a right variant fails means something only beside a wrong one that does, with the
same people: the right one names it (``against``), and gets as many runs as it takes for the wrong
one's failures to show.  If the two have different casts, the right kernel runs with the cast of the
wrong one as well (see ``cast``).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mmsim.engine.context import HARDIRQ, SOFTIRQ
from mmsim.engine.machine import Machine
from mmsim.errors import UsageError
from mmsim.linux.bug import BUG_ON, report
from mmsim.linux.irqflags import raise_irq
from mmsim.memblock import memblock_alloc, memblock_free_all
from mmsim.mmzone import boot_mm
from mmsim.model.cite import cite
from mmsim.model.gate import Gate, declare, patched
from mmsim.model.struct import Struct, shared
from mmsim.scenarios.invariants import (
    broken,
    check_free_lists,
    check_locks,
    check_lru,
    check_mm,
    check_refs,
)
from mmsim.scenarios.sequencer import (
    BLOCKED,
    END,
    NeverThere,
    Sequencer,
    Step,
    after,
    before,
    run,
)
from mmsim.scenarios.setup import anon_page, cached_page, leave_free, lru_page, memory, new_file

__all__ = [
    "ALWAYS",
    "BLOCKED",
    "BUG_ON",
    "END",
    "HARDIRQ",
    "NEVER",
    "SOFTIRQ",
    "SOMETIMES",
    "Gate",
    "NeverThere",
    "Scenario",
    "Sequencer",
    "Step",
    "Struct",
    "Variant",
    "Verdict",
    "after",
    "anon_page",
    "before",
    "boot_mm",
    "broken",
    "cached_page",
    "check_free_lists",
    "check_locks",
    "check_lru",
    "check_mm",
    "check_refs",
    "cite",
    "declare",
    "leave_free",
    "lru_page",
    "memblock_alloc",
    "memblock_free_all",
    "memory",
    "new_file",
    "patched",
    "raise_irq",
    "report",
    "run",
    "shared",
]


class Verdict(Enum):
    """How often runs of a variant have a finding."""

    NEVER = "Never"
    SOMETIMES = "Sometimes"
    ALWAYS = "Always"


NEVER = Verdict.NEVER
SOMETIMES = Verdict.SOMETIMES
ALWAYS = Verdict.ALWAYS


@dataclass(frozen=True)
class Variant:
    """One row of a thread's table.

    ``findings`` are regular expressions, one of which matches the title of a failing run's first
    finding.  ``config`` are kernel options without ``CONFIG_``; besides those that kernel code
    asks for (DEBUG_VM, DEBUG_LIST, DEBUG_SPINLOCK ...) PREEMPT and SMP (default on) are read here.
    ``metrics`` declares conditions on a metric's mean over runs, such as ``{"retries": "> 0"}``.
    ``cast`` names who takes part, where a scenario has several casts; its ``setup`` looks it up.
    ``against`` names the wrong twin, or twins, that a variant declared Never is compared with.
    ``memory`` is what it runs on if nobody says otherwise: "" is sequentially consistent, the
    others are named in `mmsim.engine.memory.orders`.
    ``policy`` is who decides, where it has a window that most policies hardly come to.  It takes
    the place of `portfolio` and `mix`, which draw one, and of no other policy that is asked for.
    """

    id: str
    summary: str
    expect: Verdict
    findings: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    era: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)
    cast: str = ""
    against: str | tuple[str, ...] = ()
    memory: str = ""
    policy: str = ""
    scenario: Scenario = field(default=None, repr=False, compare=False)  # type: ignore[assignment]

    @property
    def twins(self) -> tuple[str, ...]:
        """The ids in ``against``."""
        return (self.against,) if isinstance(self.against, str) else tuple(self.against)

    @property
    def smp(self) -> bool:
        """False: a UP build, in which spinlocks are no-ops and there is one CPU."""
        return bool(self.config.get("SMP", True))

    @property
    def preempt(self) -> bool:
        """Kernel preemption."""
        return bool(self.config.get("PREEMPT", False))

    def boot(self, machine: Machine) -> None:
        """Run the scenario's ``setup``, and see that its actors can be called.

        Raises UsageError with the actor's name; in the run it would be an error of the engine.
        """
        self.scenario.setup(machine, self)
        for context in machine.contexts:
            fn, args = context.fn, context.args
            key = (getattr(fn, "__code__", None), type(fn), len(args))
            if key not in _CALLABLE:
                _check_actor(self.scenario.id, context.comm, fn, args)
                if key[0] is not None:
                    _CALLABLE.add(key)

    def effective_cpus(self, cpus: int) -> int:
        """CPUs that take part when ``cpus`` were asked for."""
        return cpus if self.smp else 1


_CALLABLE: set[tuple[Any, type, int]] = set()
"""Actors that were looked at: code, kind of callable, number of arguments."""


def _check_actor(scenario: str, comm: str, fn: Any, args: tuple[Any, ...]) -> None:
    who = f"scenario {scenario}: actor {comm!r}"
    if not callable(fn):
        raise UsageError(f"{who}: {fn!r} is not a function")
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # something built in
        return
    try:
        signature.bind(*args)
    except TypeError as error:
        name = getattr(fn, "__name__", type(fn).__name__)
        raise UsageError(f"{who}: {name}{signature} was given {len(args)}: {error}") from error


@dataclass(eq=False)
class Scenario:
    """A thread.  ``setup(machine, variant)`` boots memory and spawns the actors;
    ``check(machine, variant)`` states what must hold once all have finished, by entering findings.
    ``casts`` are set-ups by name that have few enough actors to be explored (``small``).

    Who takes part may depend on ``variant``; what kernel they run on depends on ``machine`` (its
    gates, config and era) and on nothing else, so that a fix can be tried with another's people.
    """

    id: str
    name: str
    title: str
    story: str
    era: str
    setup: Callable[[Machine, Variant], None]
    variants: tuple[Variant, ...]
    check: Callable[[Machine, Variant], None] | None = None
    thread: str = ""  # "LKML, 12 Feb 2002, Hugh Dickins, '[PATCH] __free_pages_ok oops'"
    max_steps: int = 200_000
    file: str = ""
    casts: Mapping[str, Callable[[Machine, Variant], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for variant in self.variants:
            if not variant.id.startswith(self.id + "."):
                raise ValueError(
                    f"variant {variant.id[:60]!r} does not belong to scenario {self.id[:60]!r}"
                )
            object.__setattr__(variant, "scenario", self)
            if not variant.era:
                object.__setattr__(variant, "era", self.era)
        if not self.file:
            code = getattr(inspect.unwrap(self.setup), "__code__", None)  # not of a partial()
            self.file = code.co_filename if code else sys._getframe(2).f_code.co_filename
