# SPDX-License-Identifier: GPL-2.0-only
"""A collection of variants without a kernel underneath.

Whether run number i of a variant fails is a pure function of (seed, variant, i), as it is for the
real thing; so the counting, the stopping and the dying of workers can be tested exactly and fast.
Some variants misbehave on purpose at one run: that is what the pool has to live with.
"""

from __future__ import annotations

import enum
import hashlib
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsim.detect.finding import Finding
from mmsim.errors import StaleSchedule


class Verdict(enum.Enum):
    NEVER = "Never"
    SOMETIMES = "Sometimes"
    ALWAYS = "Always"


@dataclass(frozen=True)
class FakeVariant:
    id: str
    expect: Verdict
    chance: float = 0.0
    findings: tuple[str, ...] = ()
    metrics: Mapping[str, str] = field(default_factory=dict)
    titles: tuple[str, ...] = ("kernel BUG at page_alloc.c:84!",)
    extra: str = ""
    trouble: str = ""
    """kill, exit, raise or hang: what happens in the run `at`."""
    at: int = 40
    summary: str = "a fake"
    gates: tuple[str, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)
    twins: tuple[str, ...] = ()
    policy: str = ""
    scenario: Any = None

    def effective_cpus(self, cpus: int) -> int:
        return cpus


@dataclass(frozen=True)
class FakeScenario:
    id: str
    name: str
    variants: tuple[FakeVariant, ...]


@dataclass(frozen=True)
class FakeResult:
    index: int
    findings: tuple[Finding, ...]
    schedule: str
    metrics: Mapping[str, float]
    policy: str = "pct"
    steps: int = 10


def finding(title: str, where: str = "shrink_cache", step: int = 3) -> Finding:
    return Finding(
        kind="BUG",
        title=title,
        where=where,
        comm="kswapd",
        pid=4,
        cpu=1,
        context="task",
        frames=(),
        page=None,
        locks=(),
        detail=(),
        era="2.4.17",
        cpus=2,
        preempt=False,
        step=step,
    )


def draw(seed: int, variant: str, index: int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}/{variant}/{index}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@dataclass
class FakeRunner:
    variant: FakeVariant
    seed: int

    def __enter__(self) -> FakeRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        pass

    def run(self, index: int) -> FakeResult:
        v = self.variant
        if v.trouble and index == v.at:
            misbehave(v.trouble)
        x = draw(self.seed, v.id, index)
        found: list[Finding] = []
        if x < v.chance:
            found.append(finding(v.titles[index % len(v.titles)], step=index))
            if v.extra:
                found.append(finding(v.extra, "free_pages"))
        return FakeResult(index, tuple(found), f"mm1:s{self.seed}:i{index}", {"draw": x})

    def replay(
        self, schedule: str, *, instruments: Any = (), keep_going: bool = False
    ) -> FakeResult:
        head, _, number = schedule.partition(":i")
        if head != f"mm1:s{self.seed}" or not number.isdigit():
            raise StaleSchedule(f"{schedule!r} is not a schedule of {self.variant.id}")
        return self.run(int(number))


def misbehave(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(7)
    if how == "raise":
        raise RuntimeError("the engine lost its token")
    if how == "hang":
        threading.Event().wait()


@dataclass(frozen=True)
class FakeSource:
    content: tuple[FakeScenario, ...]
    file: str | None = None

    def scenarios(self) -> Sequence[FakeScenario]:
        return self.content

    def engines(self) -> Sequence[str]:
        return ("threads", "free")

    def policies(self) -> Sequence[str]:
        return ("mix", "pct")

    def runner(
        self, variant: FakeVariant, *, cpus: int, seed: int, engine: str, policy: str
    ) -> FakeRunner:
        return FakeRunner(variant, seed)


def source(*variants: FakeVariant) -> FakeSource:
    """One scenario with these variants."""
    return FakeSource((FakeScenario("900", "fake_race", variants),))
