# SPDX-License-Identifier: GPL-2.0-only
"""What a policy is asked, and what it is told.

``pick(enabled, current)`` names the context that goes on; ``enabled`` comes CPU by CPU and is
never empty, ``current`` is the one that ran last.  Each of them has its ``pending`` operation: what
it does next.  ``quantum(context)`` says how many effects may pass before the next decision; that
number is what makes most points free.  Three more methods have defaults: ``ran`` tells how many
effects really passed, ``kicked`` is asked when somebody became able to run within a quantum, and
``ended`` is told when a run has come to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from mmsim.engine.choices import Choices
from mmsim.engine.context import Context
from mmsim.engine.machine import Machine
from mmsim.engine.op import Op

FOREVER = 1 << 40

Passing = tuple[Op, int, int]
"""An operation, the number of the context that performs it, and what its object is known as."""


class Policy(Protocol):
    """Base of all policies, but for the searches, which have what it takes and are no children.

    ``memoryless``: a context alone able to run need not be interrupted.  ``fair``: nobody able to
    run waits for ever, so that a loop which does not end under it is a livelock.
    """

    memoryless: bool = False
    fair: bool = False

    @property
    def directed(self) -> bool:
        """Does it know by name who goes on?  Then it is offered those in cpu_relax() as well."""
        return False

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        raise NotImplementedError

    def quantum(self, ctx: Context) -> int:
        """Effects until the next decision, at least 1."""
        return 1

    quiet: AbstractSet[Passing] | None = None
    """What may go on without being picked where a quantum is used up.  It can be another set at any
    time.  None: everybody has to be picked, and ``passes`` is not asked."""

    longest: int = 0
    """So many effects may go on in a row because they are ``quiet``."""

    def passes(self, ctx: Context, passed: int, choices: Choices) -> bool:
        """May ``ctx``, which has performed so many effects since it was picked, go on as well?

        Its pending operation is not quiet; ``choices.after(ctx)`` are those who could go on.
        """
        return False

    def ran(self, ctx: Context, n: int) -> None:
        """``ctx`` performed ``n`` effects."""
        return

    def kicked(self) -> int | None:
        """A context became able to run: effects until the next decision; None leaves it."""
        return 0

    def ended(self, machine: Machine) -> None:
        """The run is over; what is raised here comes out of it."""
        return
