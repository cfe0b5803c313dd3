# SPDX-License-Identifier: GPL-2.0-only
"""What a student's kernel file may use besides the kernel.

`student_kernel`, at its end, makes the file a scenario: every tool of mmsim takes it with
``--file kernel.py``, and shows the student's own lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mmsim.engine.machine import Machine
from mmsim.labs.catalogue import find
from mmsim.labs.kernel import install
from mmsim.scenarios.api import Scenario, Variant
from mmsim.scenarios.registry import find_variant


def student_kernel(number: int, *functions: Callable[..., Any]) -> Scenario:
    """The kernel of a lab with these functions in it; a variant a cast, ``lab3.packets``."""
    lab = find(number)
    base = find_variant(lab.base)
    theirs = base.scenario
    by_name = {function.__name__: function for function in functions}

    def setup(machine: Machine, variant: Variant) -> None:
        install(lab, by_name)
        small = theirs.casts.get(variant.cast, theirs.setup)
        small(machine, replace(base, cast=variant.cast))

    return Scenario(
        id=f"lab{number}",
        name=f"lab{number}",
        title=lab.title,
        story=theirs.story,
        era=base.era,
        setup=setup,
        check=theirs.check,
        max_steps=theirs.max_steps,
        file=functions[0].__code__.co_filename,
        variants=tuple(
            replace(base, id=f"lab{number}.{cast}", cast=cast, metrics={}, against=())
            for cast in lab.casts
        ),
    )
