# SPDX-License-Identifier: GPL-2.0-only
"""Small casts: few enough people that every order of what they do can be run.

A scenario's ``casts`` are these by name.  What is proved with them is worth what they have in
them: the actors that a variant's gates concern, and others who could meet the changed code.  Which
variant is explored with which of them is said in ``mmsim/proofs/plan.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmsim.engine.machine import Machine
from mmsim.errors import UsageError


@dataclass(frozen=True)
class SmallCast:
    """A set-up for the search: ``setup(machine, variant)``, on a machine of ``cpus`` CPUs.

    ``limits`` says what is shorter than in the kernel, such as the passes of a retry loop.
    On fewer CPUs tasks would share one, which is another cast: that raises UsageError.
    """

    setup: Callable[[Machine, Any], None]
    cpus: int = 2
    limits: str = ""

    def __call__(self, machine: Machine, variant: Any) -> None:
        if machine.smp and len(machine.cpus) < self.cpus:
            raise UsageError(f"cast {variant.cast} needs {self.cpus} CPUs: --cpus {self.cpus}")
        self.setup(machine, variant)
