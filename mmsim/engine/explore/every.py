# SPDX-License-Identifier: GPL-2.0-only
"""Every execution of a program, for whoever has a program and no variant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from mmsim.engine.explore.search import Search, Stopped
from mmsim.engine.explore.words import NotQuiet

Result = TypeVar("Result")


def executions(search: Search, run: Callable[[Search], Result]) -> Iterator[Result]:
    """Run with ``search`` as the policy until there is nothing left; the result of each execution.

    When ``search.restarts`` has grown, what was yielded before is to be forgotten.
    """
    while search.more():
        restarts = search.restarts
        try:
            result = run(search)
        except (Stopped, NotQuiet):
            search.done()
            continue
        search.done()
        if search.restarts == restarts:
            yield result
