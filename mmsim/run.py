# SPDX-License-Identifier: GPL-2.0-only
"""One run: boot, run, quiesce, check.

A Runner boots one variant again and again.  Under the token carrier a run is a pure function of
(variant, cpus, seed, policy, index), so a block of runs can be computed anywhere and a failure is
one line of text.  Under the free carrier the operating system decides; the order of effects is
written down, and the same line of text replays it with the token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from mmsim.detect.finding import Finding
from mmsim.engine import policy as policies
from mmsim.engine.door import door
from mmsim.engine.events import Listener
from mmsim.engine.free import FreeCarrier
from mmsim.engine.hosts import present_core
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import RandomWalk, Replay
from mmsim.engine.schedule import BadSchedule, Diverged, Schedule
from mmsim.engine.seeds import run_seed, stream
from mmsim.engine.threads import ThreadsCarrier
from mmsim.errors import InternalError, StaleSchedule, UsageError
from mmsim.linux import watchdog
from mmsim.scenarios.api import Variant

POLICIES = policies.NAMES
ENGINES = ("threads", "free")
MAX_CPUS = 64
NO_FINDING = "000000"
LONGEST_CHECK = 1_000_000  # accesses; those of the scenarios here need some hundreds


@dataclass(frozen=True)
class RunResult:
    """What one run came to.  ``schedule`` is the line that replays it."""

    index: int
    findings: tuple[Finding, ...]
    steps: int
    handovers: int
    schedule: str
    metrics: Mapping[str, float]


class Runner:
    """Boots ``variant`` again and again.  A context manager; one at a time per process.

    ``cpus`` is what was asked for: a UP variant runs with one.  ``gates``, if given, are booted in
    place of the variant's own, with the same seeds.  Raises UsageError for an unknown
    engine or policy, or a number of CPUs outside 1..64.
    """

    def __init__(
        self,
        variant: Variant,
        *,
        cpus: int,
        seed: int,
        engine: str = "threads",
        policy: str = "mix",
        gates: frozenset[str] | None = None,
    ) -> None:
        if engine not in ENGINES:
            raise UsageError(f"unknown engine {engine!r}: one of {', '.join(ENGINES)}")
        if policy not in POLICIES:
            raise UsageError(f"unknown policy {policy!r}: one of {', '.join(POLICIES)}")
        if not 1 <= cpus <= MAX_CPUS:
            raise UsageError(f"cpus is {cpus}: it has to be 1 to {MAX_CPUS}")
        self.variant = variant
        self.cpus = variant.effective_cpus(cpus)
        self.seed = seed
        self.policy = policy
        self.engine = engine
        self._gates = frozenset(variant.gates) if gates is None else gates
        self._threads: ThreadsCarrier | None = None
        self._free: FreeCarrier | None = None
        self._length = 0  # steps of a typical run, for PCT

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the carriers' threads."""
        for carrier in (self._threads, self._free):
            if carrier is not None:
                carrier.close()
        self._threads = self._free = None

    def run(self, index: int) -> RunResult:
        """Run number ``index`` of the campaign."""
        seed = run_seed(self.seed, self.variant.id, index)
        # the probe boots a machine, too, so it has to come before the one that is checked
        length = 0 if self.engine == "free" else self._typical_length()
        machine = self._boot(seed)
        if self.engine == "free":
            free = self._free_carrier()
            rng = stream(seed, "policy")
            self._go(lambda: free.run(machine, q=rng.choice((0.5, 0.125, 0.03125))))
            return self._result(index, machine, seed, free, 0)
        threads = self._token_carrier()
        policy = policies.make(self.policy, stream(seed, "policy"), length)
        self._go(lambda: threads.run(machine, policy))
        return self._result(index, machine, seed, threads, threads.handovers)

    def replay(
        self, schedule: str, *, listener: Listener | None = None, keep_going: bool = False
    ) -> RunResult:
        """Run a recorded schedule again; with ``keep_going`` past the first finding to the end.

        Raises UsageError for a line that is no schedule and StaleSchedule if the run diverges
        from it or comes to another finding than was recorded.
        """
        try:
            recorded = Schedule.parse(schedule)
        except BadSchedule as error:
            raise UsageError(str(error)) from error
        if recorded.cpus != self.cpus:
            raise UsageError(
                f"the schedule was recorded with {recorded.cpus} CPUs, this run has {self.cpus}"
            )
        machine = self._boot(recorded.seed)
        machine.listener = listener
        machine.stop_on_first = not keep_going
        carrier: ThreadsCarrier | FreeCarrier
        try:
            if self.engine == "free":
                carrier = free = self._free_carrier()
                self._go(lambda: free.run(machine, gate=recorded.segments))
                followed, handovers = free.followed, 0
            else:
                carrier = threads = self._token_carrier()
                follow = Replay(recorded.segments)
                self._go(lambda: threads.run(machine, follow))
                followed, handovers = follow.finished, threads.handovers
            if not followed and not machine.findings:
                raise Diverged(f"the run ended after {machine.steps} of {recorded.steps} steps")
        except Diverged as error:
            raise StaleSchedule(f"{self._stale(recorded)} ({error})") from error
        result = self._result(-1, machine, recorded.seed, carrier, handovers)
        found = result.findings[0].fingerprint if result.findings else NO_FINDING
        if found != recorded.fingerprint:
            what = (
                f"it now comes to {result.findings[0].title}" if result.findings else "it is clean"
            )
            raise StaleSchedule(f"{self._stale(recorded)} ({what})")
        return result

    def _stale(self, recorded: Schedule) -> str:
        now = code_hash(self.variant.scenario.file)
        if now == recorded.code:
            return "stale schedule: it was recorded for another variant"
        return (
            f"stale schedule: the code has changed since ({recorded.code}, now {now}), "
            "or it was recorded for another variant"
        )

    def _boot(self, seed: int) -> Machine:
        variant = self.variant
        machine = Machine(
            self.cpus,
            preempt=variant.preempt,
            smp=variant.smp,
            seed=seed,
            config=variant.config,
            gates=self._gates,
            era=variant.era,
        )
        machine.on_stuck = watchdog.stuck
        machine.max_steps = variant.scenario.max_steps
        variant.scenario.setup(machine, variant)
        return machine

    def _go(self, run: object) -> None:
        try:
            run()  # type: ignore[operator]
        except (Diverged, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit in an actor, too, is none of the caller's doing
            self.close()
            raise InternalError(f"{self.variant.id}: {type(error).__name__}: {error}") from error

    def _result(
        self,
        index: int,
        machine: Machine,
        seed: int,
        carrier: ThreadsCarrier | FreeCarrier,
        handovers: int,
    ) -> RunResult:
        check = self.variant.scenario.check
        if not machine.findings and check is not None:
            door.allow(LONGEST_CHECK)
            try:
                check(machine, self.variant)
            except ContextDied:
                pass  # an assertion of the kernel that fires inside the check is a finding
            finally:
                door.close()
        findings = tuple(machine.findings)
        line = ""
        if findings:
            line = str(
                Schedule(
                    self.cpus,
                    seed,
                    carrier.segments,
                    findings[0].fingerprint,
                    code_hash(self.variant.scenario.file),
                )
            )
        return RunResult(index, findings, machine.steps, handovers, line, machine.metrics)

    def _typical_length(self) -> int:
        """Steps of one probe run: PCT's k.  A fixed seed, so that it is the same everywhere."""
        if not self._length:
            seed = run_seed(self.seed, self.variant.id + "/probe", 0)
            machine = self._boot(seed)
            self._go(lambda: self._token_carrier().run(machine, RandomWalk(stream(seed, "policy"))))
            self._length = max(machine.steps, 16)
        return self._length

    def _token_carrier(self) -> ThreadsCarrier:
        if self._threads is None:
            self._threads = ThreadsCarrier(pin=present_core())
        return self._threads

    def _free_carrier(self) -> FreeCarrier:
        if self._free is None:
            self._free = FreeCarrier()
        return self._free


@lru_cache(maxsize=32)
def code_hash(scenario_file: str) -> str:
    """Six hex digits over the source of everything that decides how a scenario runs.

    That is the engine, all kernel code, and the scenario: the whole folder of a mail thread
    (actors, stage, casts, check, gates), or the user's file.
    """
    root = Path(__file__).parent
    files = [*root.glob("*.py"), *(root / "scenarios").glob("*.py")]
    for part in ("engine", "linux", "model", "v2_4", "v3_13"):
        files += (root / part).rglob("*.py")
    scenario = Path(scenario_file)
    own = scenario.parent.parent == root / "scenarios"
    files += scenario.parent.glob("*.py") if own else [scenario]
    digest = hashlib.sha1(usedforsecurity=False)
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:6]
