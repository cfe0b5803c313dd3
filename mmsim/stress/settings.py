# SPDX-License-Identifier: GPL-2.0-only
"""What was asked for, checked and complete: options over profile over defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmsim.engine.policy import DRAWN, EVEN, PORTFOLIO
from mmsim.errors import UsageError
from mmsim.stress import odds, worker
from mmsim.stress.pairs import Pair, pairs
from mmsim.stress.profile import Budget, Profile
from mmsim.stress.source import Source, all_variants, select

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant

MOST_CPUS = 64
DEFAULT_CPUS = 8
DEFAULT_SEED = 1
DEFAULT_ENGINE = "threads"
DEFAULT_PROFILE = "default"


@dataclass(frozen=True)
class Request:
    """The command line as it was given; None where it was silent."""

    cpus: int | None = None
    scenarios: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    engine: str | None = None
    policy: str | None = None
    memory: str | None = None
    runs: int | None = None
    seconds: float | None = None
    seed: int | None = None
    jobs: int | None = None
    stop_after: int | None = None
    file: str | None = None
    cluster: str | None = None


@dataclass(frozen=True)
class Settings:
    """A campaign, ready to run."""

    variants: tuple[tuple[Variant, Budget], ...]
    cpus: int
    seed: int
    engine: str
    policy: str
    jobs: int
    seconds: float | None
    profile: str
    file: str | None
    pairs: tuple[Pair, ...] = ()
    beside: tuple[tuple[Variant, Budget], ...] = ()
    """What runs for the sake of pairs, and was not asked for."""
    cluster: str | None = None
    """Where the workers are; None: processes of this machine."""
    memory: str | None = None
    """What loads may return, in all variants; None: what each of them says."""

    @property
    def scheduler(self) -> str:
        """Who decides what runs next: the policy, or under `free` nobody here."""
        return "os" if self.engine == "free" else self.policy

    def run_line(self, variant: Variant) -> dict[str, str | int]:
        """What a report of a run says of it; a variant may have a policy of its own."""
        own = variant.policy if self.scheduler in DRAWN else ""
        return {"engine": self.engine, "policy": own or self.scheduler, "seed": self.seed}

    @property
    def workers(self) -> str:
        """Who computes, in words."""
        if self.cluster is not None:
            return f"cluster {self.cluster}"
        return f"{self.jobs} process{'es' * (self.jobs != 1)}"

    @property
    def pin(self) -> bool:
        """One core a worker, unless real parallelism inside a worker is what is wanted."""
        return not (self.engine == "free" and not worker.gil_enabled())


def chosen(request: Request, profile: Profile, source: Source) -> list[Variant]:
    """The variants that were asked for; the profile's own choice if the command line has none."""
    if request.scenarios or request.variants:
        return select(source, request.scenarios, request.variants)
    if request.file is None:
        own = select(source, profile.scenarios, profile.variants)
        return [v for v in own if v.id not in profile.skip]
    return select(source)


def resolve(request: Request, profile: Profile, source: Source) -> Settings:
    """Put command line, profile and defaults together."""
    variants = chosen(request, profile, source)
    if not variants:
        raise UsageError("there is no variant to run")
    if request.file is None and not profile.built_in:
        profile.check_ids(all_variants(source))
    cpus = request.cpus or profile.cpus or DEFAULT_CPUS
    if cpus > MOST_CPUS:
        raise UsageError(f"profile {profile.name}: cpus = {cpus}; allowed are 1 to {MOST_CPUS}")
    seconds = request.seconds
    if seconds is None and request.runs is None:
        seconds = profile.seconds
    if request.engine == "free" and request.policy is not None:
        raise UsageError("--policy: under --engine free it is the operating system that schedules")
    seed = request.seed if request.seed is not None else profile.seed
    if (request.engine or profile.engine) == "free":
        variants = _in_order(variants, request.memory)
    engine = _one_of("engine", request.engine or profile.engine, DEFAULT_ENGINE, source.engines())
    names = source.policies()
    policy = _one_of("policy", request.policy or profile.policy, names[0], names)
    known = None
    if policy == PORTFOLIO and engine != "free":
        known = odds.learnt() if request.file is None else {}
    settings = Settings(
        variants=tuple((v, _budget(v, request, profile, seconds, known)) for v in variants),
        cpus=cpus,
        seed=DEFAULT_SEED if seed is None else seed,
        engine=engine,
        policy=policy,
        jobs=request.jobs or len(worker.cores()),
        seconds=seconds,
        profile=profile.name,
        file=request.file,
        cluster=request.cluster,
        memory=request.memory,
    )
    if not profile.pairs:
        return settings
    compared = pairs(variants, source, cpus, shares=known is not None)
    twins = {p.wrong.id: p.wrong for p in compared if p.wrong not in variants}
    arms = {p.arm.id: p.arm for p in compared if not p.own_cast}
    beside = [(twin, _budget(twin, request, profile, seconds, known)) for twin in twins.values()]
    for arm in arms.values():
        budget = _budget(arm, request, profile, seconds, known)
        if budget.most is not None:  # as many as the pair asks for, with no least of its own
            budget = replace(budget, runs=0)
        beside.append((arm, budget))
    return replace(settings, pairs=compared, beside=tuple(beside))


def _budget(
    variant: Variant,
    request: Request,
    profile: Profile,
    seconds: float | None,
    known: Mapping[str, odds.Odds] | None,
) -> Budget:
    """``known``: what has been learnt of policies; None where no portfolio is asked for."""
    if seconds is not None:
        budget = Budget(None, request.stop_after)
    elif request.runs is not None:
        budget = Budget(request.runs, request.stop_after)
    else:
        budget = profile.budget(variant.id, variant.expect.value)
        budget = replace(budget, stop_after=request.stop_after or budget.stop_after)
    return budget if known is None else _shared(budget, variant, known)


def _shared(budget: Budget, variant: Variant, known: Mapping[str, odds.Odds]) -> Budget:
    """With the shares of policies; a race that nothing is known of is learnt on the way.

    Not if fewer findings are wanted than learning takes.
    """
    if variant.expect.value == "Sometimes" and not variant.policy:
        if variant.id in known:
            return replace(budget, portfolio=known[variant.id].portfolio())
        if budget.stop_after is None or budget.stop_after > odds.LEARNT:
            return replace(budget, portfolio=EVEN, learns=True)
    return replace(budget, portfolio=EVEN)


def _in_order(variants: list[Variant], memory: str | None) -> list[Variant]:
    """Those that can run without a token: there the machine's own memory decides."""
    from mmsim.run import MEMORIES

    if memory not in (None, MEMORIES[0]):
        raise UsageError(f"--memory {memory}: it needs a token; --engine free has none")
    if memory == MEMORIES[0]:
        return variants
    possible = [variant for variant in variants if variant.memory in ("", MEMORIES[0])]
    if not possible:
        raise UsageError(f"{variants[0].id} runs under memory {variants[0].memory}, not under free")
    return possible


def _one_of(what: str, asked: str | None, default: str, known: Sequence[str]) -> str:
    name = asked or default
    if name not in known:
        raise UsageError(f"no {what} {name!r}; allowed: {', '.join(known)}")
    return name
