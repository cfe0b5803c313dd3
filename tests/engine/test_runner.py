# SPDX-License-Identifier: GPL-2.0-only
"""Runner: a run is a pure function of its numbers, and a failure is one line of text."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from typing import Any

import pytest

from mmsim.engine.events import Event
from mmsim.engine.instruments import Events
from mmsim.engine.schedule import Schedule, join
from mmsim.errors import InternalError, StaleSchedule, UsageError
from mmsim.linux.bug import BUG, report
from mmsim.model.struct import Struct, shared
from mmsim.run import ENGINES, POLICIES, Runner, RunResult
from mmsim.scenarios.api import NEVER, SOMETIMES, Scenario, Variant


class Counter(Struct):
    name = "counter"
    n = shared(0)
    waiters = shared(0)


def setup(m: Any, v: Variant) -> None:
    m.vm = Counter()
    m.vm.limit = m.rng.randrange(1, 3)  # set-up draws from the run's seed

    def add(counter: Counter) -> None:
        for _ in range(counter.limit):
            value = counter.n
            if v.id.endswith("bug") and value > 1:
                BUG("add.c:1")
            if v.id.endswith("raises") and value > 1:
                raise ZeroDivisionError("in an actor")
            if v.id.endswith("exits") and value > 1:
                raise SystemExit(9)
            if v.id.endswith("ctrl-c") and value > 1:
                main = threading.main_thread().ident
                assert main is not None
                signal.pthread_kill(main, signal.SIGINT)
                while True:
                    counter.waiters  # noqa: B018
            counter.n = value + 1
        m.count("rounds")

    for cpu in range(len(m.cpus)):
        m.spawn(add, m.vm, comm=f"add{cpu}", cpu=cpu)
    m.irq(add, m.vm, comm="irq", cpu=1)


def check(m: Any, v: Variant) -> None:
    if m.vm.v_n != (len(m.cpus) + 1) * m.vm.limit:
        report("invariant", "counter lost an update", where="add")
    if v.id.endswith("check-fails"):
        raise KeyError("in check")
    while v.id.endswith("check-circles"):
        m.vm.n  # noqa: B018 (a list that leads in a circle)


def variant(name: str, **config: Any) -> Variant:
    return Variant(f"950.{name}", name, SOMETIMES, config=config)


SCENARIO = Scenario(
    id="950",
    name="runner_test",
    title="Increments",
    story="",
    era="5.17",
    setup=setup,
    check=check,
    variants=(
        variant("plain"),
        variant("bug"),
        variant("raises"),
        variant("exits"),
        variant("ctrl-c"),
        variant("check-fails"),
        variant("check-circles"),
        Variant("950.up", "one CPU", NEVER, config={"SMP": False}),
    ),
)


def effects(line: str) -> tuple[tuple[int, int], ...]:
    return join(segment for segment in Schedule.parse(line).segments if segment[1])


def get(name: str) -> Variant:
    return next(v for v in SCENARIO.variants if v.id == f"950.{name}")


def facts(result: RunResult) -> tuple[Any, ...]:
    """All of a result that has to be the same."""
    return (result.findings, result.steps, result.schedule, dict(result.metrics))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_is_a_function_of_its_numbers(policy: str) -> None:
    def runs(order: list[int], seed: int = 7) -> dict[int, Any]:
        with Runner(get("bug"), cpus=4, seed=seed, policy=policy) as runner:
            return {i: facts(runner.run(i)) for i in order}

    first = runs(list(range(30)))
    assert runs([29, 3, *range(29)]) == first
    assert runs(list(range(30)), seed=8) != first


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["plain", "bug"])
def test_every_failure_replays(engine: str, name: str) -> None:
    """Under the token; under the free carrier, held to the schedule; with somebody listening."""
    failures = 0
    with (
        Runner(get(name), cpus=3, seed=2, engine=engine) as runner,
        Runner(get(name), cpus=3, seed=99) as token,
        Runner(get(name), cpus=3, seed=99, engine="free") as free,
    ):
        for index in range(40):
            result = runner.run(index)
            if not result.findings:
                assert result.schedule == ""
                continue
            failures += 1
            events: list[Event] = []
            again = token.replay(result.schedule)
            observed = token.replay(result.schedule, instruments=[Events(events.append)])
            held = free.replay(result.schedule)
            for other in (again, observed, held):
                assert other.findings[0].fingerprint == result.findings[0].fingerprint
                assert other.findings[0].step == result.findings[0].step
                assert other.metrics == result.metrics
            assert again.schedule == observed.schedule
            assert effects(again.schedule) == effects(result.schedule)
            assert events
    assert failures > 10


def test_the_schedule_says_what_it_is_for() -> None:
    with Runner(get("bug"), cpus=4, seed=1) as runner:
        result = next(r for r in map(runner.run, range(50)) if r.findings)
    schedule = Schedule.parse(result.schedule)
    assert schedule.cpus == 4
    assert schedule.fingerprint == result.findings[0].fingerprint
    assert schedule.steps == result.steps == result.findings[0].step


def test_metrics_and_checks_belong_to_the_run() -> None:
    with Runner(get("plain"), cpus=3, seed=1) as runner:
        for index in range(30):
            result = runner.run(index)
            assert result.metrics == {"rounds": 4}
            titles = [finding.title for finding in result.findings]
            assert titles in ([], ["counter lost an update"])
            assert result.index == index


def test_going_on_past_the_first_finding() -> None:
    with Runner(get("bug"), cpus=4, seed=1) as runner:
        result = next(r for r in map(runner.run, range(50)) if r.findings)
        more = runner.replay(result.schedule, keep_going=True)
    assert len(result.findings) == 1
    assert more.findings[0].fingerprint == result.findings[0].fingerprint
    assert more.steps > result.steps
    assert len(more.findings) > 1


def test_a_variants_own_policy_takes_the_place_of_what_draws_one_and_of_no_other() -> None:
    own = replace(SCENARIO.variants[0], policy="pct")
    for asked, decides in (("mix", "pct"), ("portfolio", "pct"), ("geometric", "geometric")):
        with Runner(own, cpus=2, seed=1, policy=asked) as runner:
            assert {runner.run(index).policy for index in range(6)} == {decides}
    with pytest.raises(UsageError, match="unknown policy 'pkt': one of portfolio, mix, "):
        Runner(replace(own, policy="pkt"), cpus=2, seed=1)


def test_a_up_variant_runs_on_one_cpu_whatever_is_asked_for() -> None:
    with Runner(get("up"), cpus=8, seed=1) as runner:
        result = runner.run(0)
        assert runner.cpus == 1
        assert all(finding.cpus == 1 for finding in result.findings)


# -- what does not fit -------------------------------------------------------------------------


def a_failure(name: str, cpus: int = 3) -> str:
    with Runner(get(name), cpus=cpus, seed=1) as runner:
        return next(r.schedule for r in map(runner.run, range(100)) if r.findings)


def replay(name: str, line: str, engine: str = "threads") -> RunResult:
    with Runner(get(name), cpus=3, seed=1, engine=engine) as runner:
        return runner.replay(line)


def test_another_variants_schedule_is_stale() -> None:
    line = a_failure("bug")
    with Runner(get("plain"), cpus=3, seed=1) as runner:
        with pytest.raises(StaleSchedule, match="recorded for another variant"):
            runner.replay(line)
        assert runner.run(0).steps  # and the runner goes on


def test_a_schedule_of_other_code_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    line = a_failure("bug")
    monkeypatch.setattr("mmsim.run.code_hash", lambda file: "abcdef")
    with pytest.raises(StaleSchedule, match=r"the code has changed since \(\w{6}, now abcdef\)"):
        replay("plain", line)


def test_a_finding_that_does_not_come_any_more_is_stale() -> None:
    recorded = Schedule.parse(a_failure("bug"))
    other = Schedule(3, recorded.seed, recorded.segments, "123456", recorded.code)
    with pytest.raises(StaleSchedule, match="it now comes to kernel BUG at"):
        replay("bug", str(other))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_ends_before_its_recording_is_stale(engine: str) -> None:
    recorded = Schedule.parse(a_failure("plain"))
    longer = (*recorded.segments, (0, 5))
    other = Schedule(3, recorded.seed, longer, recorded.fingerprint, recorded.code)
    with pytest.raises(StaleSchedule):
        replay("plain", str(other), engine)


def test_the_number_of_cpus_has_to_fit() -> None:
    line = a_failure("bug", cpus=4)
    with pytest.raises(UsageError, match="recorded with 4 CPUs, this run has 3"):
        replay("bug", line)


@pytest.mark.parametrize("text", ["", "mm1:", "mm2:8:x:y", "hello"])
def test_what_is_no_schedule_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="schedule"):
        replay("bug", text)


@pytest.mark.parametrize(
    "options",
    [{"cpus": 0}, {"cpus": 65}, {"engine": "turbo"}, {"policy": "fast"}],
)
def test_impossible_numbers_are_usage_errors(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"cpus|engine|policy"):
        Runner(get("plain"), **{"cpus": 2, "seed": 1, **options})


# -- errors ------------------------------------------------------------------------------------


def failing(name: str, engine: str) -> None:
    with Runner(get(name), cpus=4, seed=1, engine=engine) as runner:
        for index in range(100):
            runner.run(index)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "error"), [("raises", ZeroDivisionError), ("exits", SystemExit)])
def test_what_an_actor_raises_is_an_internal_error_with_its_cause(
    engine: str, name: str, error: type[BaseException]
) -> None:
    with pytest.raises(InternalError, match=f"950.{name}: {error.__name__}") as caught:
        failing(name, engine)
    cause = caught.value.__cause__
    assert isinstance(cause, error)
    assert cause.__traceback__ is not None
    last = cause.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    assert last.tb_frame.f_code.co_name == "add"


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_check_raises_comes_out_and_the_next_run_is_none_the_worse(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyError, match="in check"):
        failing("check-fails", engine)
    monkeypatch.setattr("mmsim.run.LONGEST_CHECK", 1000)
    with pytest.raises(RuntimeError, match="does not come to an end"):
        failing("check-circles", engine)
    failing("plain", engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_in_the_middle_of_a_run(engine: str) -> None:
    before = threading.active_count()
    with Runner(get("ctrl-c"), cpus=4, seed=1, engine=engine) as runner:
        with pytest.raises(KeyboardInterrupt):
            for index in range(100):
                runner.run(index)
        assert threading.active_count() == before
    with Runner(get("plain"), cpus=4, seed=1, engine=engine) as runner:
        assert runner.run(0).steps


@pytest.mark.parametrize("engine", ENGINES)
def test_a_runner_takes_its_threads_with_it(engine: str) -> None:
    before = threading.active_count()
    with Runner(get("plain"), cpus=4, seed=1, engine=engine) as runner:
        runner.run(0)
        assert engine == "green" or threading.active_count() > before
    assert threading.active_count() == before
