# SPDX-License-Identifier: GPL-2.0-only
"""mmsim's own call trees, printed and read back as a kernel's are."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from mmsim.cli.calls import recorded
from mmsim.report.calltree import call_tree
from mmsim.run import Runner
from mmsim.scenarios.registry import find_variant

from .tree import Trace, parse


def ours(variant: str, *, cpus: int = 2, runs: int = 1) -> tuple[Trace, ...]:
    """One trace for each of ``runs`` runs, the first of seeds 0, 1, …"""
    return tuple(one(variant, cpus, seed) for seed in range(runs))


@cache
def one(variant: str, cpus: int, seed: int) -> Trace:
    """The first run of this seed; kept, as most are looked at by several tests."""
    with recorded() as recorder, Runner(find_variant(variant), cpus=cpus, seed=seed) as runner:
        runner.run(0)
    return parse("\n".join(call_tree(recorder.calls)))


def called(function: Callable[..., Any], *args: Any) -> tuple[Trace, ...]:
    """The trace of one call on a booted machine where nobody else runs."""
    with recorded() as recorder:
        function(*args)
    return (parse("\n".join(call_tree(recorder.calls))),)
