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


@cache
def ours(variant: str, *, cpus: int = 2, runs: int = 1) -> tuple[Trace, ...]:
    """One trace for each of ``runs`` runs, the first of seeds 0, 1, …"""
    traces = []
    for seed in range(runs):
        with recorded() as recorder, Runner(find_variant(variant), cpus=cpus, seed=seed) as runner:
            runner.run(0)
        traces.append(parse("\n".join(call_tree(recorder.calls))))
    return tuple(traces)


def called(function: Callable[..., Any], *args: Any) -> tuple[Trace, ...]:
    """The trace of one call on a booted machine where nobody else runs."""
    with recorded() as recorder:
        function(*args)
    return (parse("\n".join(call_tree(recorder.calls))),)
