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

    def __init__(self, name: str, cpus: int, seed: int, policy: str = "mix") -> None:
        self._variant = find_variant(name)
        self._options = {"cpus": cpus, "seed": seed, "engine": "green", "policy": policy}
        self._tried = 0
        self._found: list[RunResult] = []

    def among(self, runs: int) -> Iterator[RunResult]:
        """Those that fail of the first ``runs``."""
        yield from [result for result in self._found if result.index < runs]
        if self._tried >= runs:
            return
        with Runner(self._variant, **self._options) as runner:
            while self._tried < runs:
                result = runner.run(self._tried)
                self._tried += 1
                if result.findings:
                    self._found.append(result)
                    yield result


failing = cache(Failing)
