# SPDX-License-Identifier: GPL-2.0-only
"""The failing runs of a variant, found when a test asks for them and kept for the next that does.

Found on greenlets, which make the decisions of threads in less time; tests that look at a run again
replay it under threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from mmsim.run import Runner, RunResult
from mmsim.scenarios.registry import find_variant


class Failing:
    """The runs of one variant, in their order, as far as somebody wanted to see them."""

    def __init__(self, name: str, cpus: int, seed: int) -> None:
        self._variant, self._cpus, self._seed = find_variant(name), cpus, seed
        self._tried = 0
        self._found: list[RunResult] = []

    def among(self, runs: int) -> Iterator[RunResult]:
        """Those that fail of the first ``runs``."""
        yield from [result for result in self._found if result.index < runs]
        if self._tried >= runs:
            return
        with Runner(self._variant, cpus=self._cpus, seed=self._seed, engine="green") as runner:
            while self._tried < runs:
                result = runner.run(self._tried)
                self._tried += 1
                if result.findings:
                    self._found.append(result)
                    yield result


failing = cache(Failing)
