# SPDX-License-Identifier: GPL-2.0-only
"""One run: boot, run, quiesce, check.

A Runner boots one variant again and again.  With a token a run is a pure function of (variant,
cpus, seed, policy, index), so a block of runs can be computed anywhere and a failure is one line of
text.  Without one (``free``) the operating system decides; the order of effects is written down,
and the same line of text replays it with the token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from types import TracebackType

from mmsim.detect.finding import Finding
from mmsim.engine import policy as policies
from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.carriers.threads import present_core, threads
from mmsim.engine.door import door
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Instrument
from mmsim.engine.machine import Machine
from mmsim.engine.memory import orders
from mmsim.engine.memory.orders import SC, Orders
from mmsim.engine.memory.weak import Planned, Reads, Sampled, WeakMemory, planned
from mmsim.engine.memory.without import Barriers, WithoutBarrier
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import (
    DRAWN,
    EVEN,
    MIX,
    PORTFOLIO,
    Policy,
    Portfolio,
    RandomWalk,
    Replay,
)
from mmsim.engine.schedule import BadSchedule, Diverged, Schedule
from mmsim.engine.seeds import run_seed, stream
from mmsim.errors import InternalError, StaleSchedule, UsageError, one_line
from mmsim.linux import watchdog
from mmsim.model.era import ERAS, EraError
from mmsim.scenarios.api import Variant

POLICIES = policies.NAMES
MEMORIES = orders.NAMES
TOKENS: Mapping[str, Callable[[], Token]] = {
    "threads": lambda: threads(pin=present_core()),
    "green": greenlets,
}
ENGINES = (*TOKENS, "free")
MAX_CPUS = 64
PROBES = 4
"""Runs that are watched for policies that have to know what a run touches."""
NO_FINDING = "000000"
LONGEST_CHECK = 1_000_000  # accesses; those of the scenarios here need some hundreds


@dataclass(frozen=True)
class RunResult:
    """What one run came to.  ``schedule`` is the line that replays it.

    ``policy`` is the one that decided; ``os`` where that was the operating system.
    """

    index: int
    findings: tuple[Finding, ...]
    steps: int
    handovers: int
    schedule: str
    metrics: Mapping[str, float]
    policy: str = "os"


class Runner:
    """Boots ``variant`` again and again.  A context manager; one at a time per process.

    ``cpus`` is what was asked for: a UP variant runs with one.  ``gates``, if given, are booted in
    place of the variant's own, with the same seeds; and so is ``memory``, what a load may return
    (`mmsim.engine.memory.orders`); ``barriers`` takes one away from weak memory.  Under `mix` and
    `portfolio`, which draw a policy for each run, a variant that names one of its own has that.
    Raises UsageError for an unknown engine, policy or memory, one that the kernel or the engine
    cannot have, or a number of CPUs outside 1..64.
    """

    def __init__(
        self,
        variant: Variant,
        *,
        cpus: int,
        seed: int,
        engine: str = "threads",
        policy: str = MIX,
        gates: frozenset[str] | None = None,
        memory: str | None = None,
        barriers: Barriers | None = None,
    ) -> None:
        if engine not in ENGINES:
            raise UsageError(f"unknown engine {engine!r}: one of {', '.join(ENGINES)}")
        for name in (policy, variant.policy or MIX):
            if name not in POLICIES:
                raise UsageError(f"unknown policy {name!r}: one of {', '.join(POLICIES)}")
        if not 1 <= cpus <= MAX_CPUS:
            raise UsageError(f"cpus is {cpus}: it has to be 1 to {MAX_CPUS}")
        self.variant = variant
        self.cpus = variant.effective_cpus(cpus)
        self.seed = seed
        self.policy = (variant.policy if policy in DRAWN else "") or policy
        self.engine = engine
        self.memory = memory or variant.memory or SC
        self._orders = _orders(self.memory, variant.era)
        if self._orders is not None and engine == "free":
            raise UsageError(
                f"memory {self.memory!r} needs an engine with a token: one of {', '.join(TOKENS)}"
            )
        self._barriers = barriers
        self._gates = frozenset(variant.gates) if gates is None else gates
        self._token: Token | None = None
        self._free: FreeCarrier | None = None
        self._length = 0  # steps of a typical run, for PCT
        self._profiles: dict[int, policies.Profile] = {}  # and its effects, for SURW

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
        for execution in (self._token, self._free):
            if execution is not None:
                execution.close()
        self._token = self._free = None

    def run(
        self, index: int, portfolio: Portfolio = EVEN, *, instruments: Sequence[Instrument] = ()
    ) -> RunResult:
        """Run number ``index`` of the campaign.

        Under the policy `portfolio` its policy is drawn from ``portfolio``.
        """
        seed = run_seed(self.seed, self.variant.id, index)
        rng = stream(seed, "policy")
        if self.engine == "free":
            free = self._freely()
            q = rng.choice((0.5, 0.125, 0.03125))
            return self._run(seed, free, lambda m: free.run(m, q), instruments, index)
        name = portfolio.draw(rng) if self.policy == PORTFOLIO else self.policy
        profile = self._a_profile(rng) if name in policies.PROFILED else None
        policy = policies.make(name, rng, self._typical_length(), profile)
        result = self.run_with(policy, seed, instruments=instruments, index=index)
        decides = policies.name_of(policy) if self.policy == MIX else name
        return replace(result, policy=decides)

    def run_with(
        self,
        policy: Policy,
        seed: int,
        *,
        instruments: Sequence[Instrument] = (),
        keep_going: bool = False,
        index: int = -1,
        reads: Reads | None = None,
    ) -> RunResult:
        """One run whose set-up has ``seed``, under a policy of the caller's, with a token.

        ``reads`` chooses what loads take, where memory is weak; by default it is drawn.
        """
        token = self._with_token()
        return self._run(
            seed, token, lambda m: token.run(m, policy), instruments, index, keep_going, reads
        )

    def replay(
        self,
        schedule: str | Schedule,
        *,
        instruments: Sequence[Instrument] = (),
        keep_going: bool = False,
        memory: str | None = None,
    ) -> RunResult:
        """Run a recorded schedule again; with ``keep_going`` past the first finding to the end.

        Whatever engine recorded it, it is followed with a token.  With another ``memory`` than it
        was recorded under, loads take the newest value and it may come to whatever it comes to.
        Raises UsageError for a line that is no schedule and StaleSchedule if the run diverges
        from it or comes to another finding than was recorded.
        """
        try:
            recorded = schedule if isinstance(schedule, Schedule) else Schedule.parse(schedule)
        except BadSchedule as error:
            raise UsageError(str(error)) from error
        if recorded.cpus != self.cpus:
            raise UsageError(
                f"the schedule was recorded with {recorded.cpus} CPUs, this run has {self.cpus}"
            )
        other = memory is not None and memory != recorded.memory
        self.memory = memory or recorded.memory
        self._orders = _orders(self.memory, self.variant.era)
        token = self._with_token()
        follow = Replay(recorded.segments)
        reads = Reads() if other else Planned(planned(recorded.segments, recorded.reads))

        def go(machine: Machine) -> None:
            token.run(machine, follow)
            if not follow.finished and not machine.findings:
                raise Diverged(f"the run ended after {machine.steps} of {recorded.steps} steps")

        try:
            result = self._run(recorded.seed, token, go, instruments, -1, keep_going, reads)
        except Diverged as error:
            if other:
                raise StaleSchedule(
                    f"under memory {self.memory} the run goes another way ({error})"
                ) from error
            raise StaleSchedule(f"{self._stale(recorded)} ({error})") from error
        if other:
            return result
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

    def _run(
        self,
        seed: int,
        execution: Token | FreeCarrier,
        go: Callable[[Machine], None],
        instruments: Sequence[Instrument],
        index: int,
        keep_going: bool = False,
        reads: Reads | None = None,
    ) -> RunResult:
        """Boot, run, check."""
        machine = self._machine(seed)
        if self._orders is not None:
            machine.memory = self._memory(reads or Sampled(stream(seed, "reads")), self._orders)
        machine.instruments += instruments
        machine.stop_on_first = not keep_going
        try:
            with machine.booted():
                self.variant.boot(machine)
                self._go(go, machine)
                self._check(machine)
        except EraError as error:
            self.close()
            raise UsageError(f"{self.variant.id}: {error}") from error
        return self._result(index, machine, execution)

    def _memory(self, reads: Reads, order: Orders) -> WeakMemory:
        if self._barriers is not None:
            return WithoutBarrier(self.cpus, order, reads, self._barriers)
        return WeakMemory(self.cpus, order, reads)

    def _go(self, go: Callable[[Machine], None], machine: Machine) -> None:
        try:
            go(machine)
        except (Diverged, KeyboardInterrupt, EraError):
            raise
        except BaseException as error:  # SystemExit in an actor, too: not the caller's doing
            self.close()
            what = f"{type(error).__name__}: {one_line(error)}"
            raise InternalError(f"{self.variant.id}: {what}") from error

    def _machine(self, seed: int) -> Machine:
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
        return machine

    def _check(self, machine: Machine) -> None:
        check = self.variant.scenario.check
        if machine.findings or check is None:
            return
        door.allow(LONGEST_CHECK)
        try:
            check(machine, self.variant)
        except ContextDied:
            pass  # an assertion of the kernel that fires inside the check is a finding
        finally:
            door.close()

    def _result(self, index: int, machine: Machine, execution: Token | FreeCarrier) -> RunResult:
        findings = tuple(machine.findings)
        line = ""
        if findings:
            line = str(
                Schedule(
                    self.cpus,
                    machine.seed,
                    execution.segments,
                    findings[0].fingerprint,
                    code_hash(self.variant.scenario.file),
                    self.memory,
                    () if machine.memory is None else tuple(machine.memory.stale),
                )
            )
        return RunResult(index, findings, machine.steps, execution.handovers, line, machine.metrics)

    def _typical_length(self) -> int:
        """Steps of one probe run: PCT's k."""
        if not self._length:
            self._length = max(self._probe(0).steps, 16)
        return self._length

    def _a_profile(self, rng: Random) -> policies.Profile:
        """One of a few; each is made when it is asked for the first time."""
        number = int(rng.random() * PROBES)
        if number not in self._profiles:
            profile = policies.Profile()
            self._probe(number, profile)
            self._profiles[number] = profile
        return self._profiles[number]

    def _probe(self, number: int, *watching: Instrument) -> RunResult:
        """A run under a random walk. A fixed seed, so that it is the same everywhere."""
        seed = run_seed(self.seed, self.variant.id + "/probe", number)
        walk = RandomWalk(stream(seed, "policy"))
        return self.run_with(walk, seed, instruments=watching)

    def _with_token(self) -> Token:
        if self._token is None:
            self._token = TOKENS.get(self.engine, TOKENS["threads"])()
        return self._token

    def _freely(self) -> FreeCarrier:
        if self._free is None:
            self._free = FreeCarrier()
        return self._free


def _orders(memory: str, era: str) -> Orders | None:
    """What operations order; None if everything is in order."""
    if memory not in MEMORIES:
        raise UsageError(f"unknown memory {memory!r}: one of {', '.join(MEMORIES)}")
    if memory == SC or era not in ERAS:  # an unknown era is the kernel's to complain of
        return None
    try:
        return Orders(memory, ERAS[era].version)
    except ValueError as error:
        raise UsageError(str(error)) from error


@lru_cache(maxsize=32)
def code_hash(scenario_file: str) -> str:
    """Six hex digits over the source of everything that decides how a scenario runs."""
    digest = hashlib.sha1(usedforsecurity=False)
    for file in code_files(scenario_file):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:6]


def code_files(scenario_file: str) -> list[Path]:
    """What decides how a scenario runs.

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
    return sorted(files)
