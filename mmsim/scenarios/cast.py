# SPDX-License-Identifier: GPL-2.0-only
"""Who takes part: one variant's kernel with the people of another.

A set-up may give each variant the people that its race needs. To be compared, two kernels have to
meet the same ones. Whether they do anyhow is found out by watching what the set-up asks of the
variant: if both give it the same answers, it does the same for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mmsim.engine.machine import Machine
from mmsim.scenarios.api import Variant

CAST = "@"
"""Between a variant and the one whose cast it runs with: ``002.pagelocked@002.flawed``."""

LOOKS = 8
"""Boots that are watched; what a set-up asks may depend on what it has drawn."""


def on_cast_of(right: Variant, wrong: Variant) -> Variant:
    """The kernel of ``right`` with the people of ``wrong``, and under its policy."""
    theirs = right.scenario
    check = theirs.check
    pair = replace(
        right, id=f"{right.id}{CAST}{wrong.id}", metrics={}, against=(), policy=wrong.policy
    )
    replace(
        theirs,
        setup=lambda machine, _: theirs.setup(machine, wrong),
        check=None if check is None else lambda machine, _: check(machine, right),
        variants=(pair,),
    )
    return pair


def with_cast(variant: Variant, name: str) -> Variant:
    """The variant with the cast of that name: of the scenario's small ones, or of its others."""
    whole = variant.scenario
    recast = replace(variant, cast=name)
    replace(whole, setup=whole.casts.get(name, whole.setup), variants=(recast,))
    return recast


def same_cast(one: Variant, other: Variant, cpus: int) -> bool:
    """Does the set-up get the same answers from both, whatever it asks?

    The set-up is a function of the machine and of these answers. A set-up that raises is nothing to
    rely on; the workers will tell.
    """
    if one.scenario.setup is not other.scenario.setup:
        return False
    for seed in range(LOOKS):
        machine = Machine(
            one.effective_cpus(cpus),
            preempt=one.preempt,
            smp=one.smp,
            seed=seed,
            config=one.config,
            gates=frozenset(one.gates),
            era=one.era,
        )
        asked = Asked(one)
        try:
            with machine.booted():
                one.scenario.setup(machine, asked)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            raise
        except BaseException:
            return False
        if any(question(one) != question(other) for question in asked.questions):
            return False
    return True


class Asked:
    """A variant that remembers what it was asked."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        self.questions: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name == "config":
            return _Options(self._variant.config, self.questions)
        self.questions.append(lambda variant: getattr(variant, name))
        return getattr(self._variant, name)


class _Options(Mapping[str, Any]):
    """Its configuration, option by option: a set-up that asks for one does not see the others."""

    def __init__(self, options: Mapping[str, Any], questions: list[Any]) -> None:
        self._options = options
        self._questions = questions

    def __getitem__(self, name: str) -> Any:
        self._questions.append(lambda variant: variant.config.get(name))
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        self._questions.append(lambda variant: variant.config)
        return iter(self._options)

    def __len__(self) -> int:
        self._questions.append(lambda variant: len(variant.config))
        return len(self._options)
