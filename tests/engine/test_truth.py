# SPDX-License-Identifier: GPL-2.0-only
"""Do operations tell the truth?

Search, memory models and detectors believe what an operation declares.  Three questions are put to
all of kernel code here.  Does an effect touch what its operation declares, and nothing else?  Do
two steps that do not conflict commute?  Is a word the same word in every schedule?

``make test`` asks a sample, ``make slow`` asks them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.context import Context
from mmsim.engine.door import access, door
from mmsim.engine.instruments import Instrument, accessor
from mmsim.engine.machine import Machine
from mmsim.engine.op import RMW, WRITE, Op, Pending, depends, footprint
from mmsim.engine.policy import RandomWalk, Replay
from mmsim.engine.seeds import run_seed, stream
from mmsim.model.struct import Struct, identity
from mmsim.run import Runner
from mmsim.scenarios.api import NEVER, Scenario, Variant
from mmsim.scenarios.registry import scenarios
from tests.engine.lab import Lab, Word
from tests.engine.spy import Spy
from tests.engine.state import differences, encode, state

CPUS = 4
SEED = 11


def _ids(variants: Sequence[Variant]) -> list[str]:
    return [variant.id for variant in variants]


ALL_VARIANTS = [variant for scenario in scenarios() for variant in scenario.variants]


# -- an effect touches what its operation declares ------------------------------------------------


def _spied(variant: Variant, runs: int) -> Spy:
    spy = Spy()
    runner = Runner(
        variant, cpus=CPUS, seed=SEED, engine="green", policy="random-walk", memory="sc"
    )
    with runner, spy.at_work():
        for index in range(runs):
            runner.run(index, instruments=[spy])
    return spy


def _complaints(spy: Spy) -> list[str]:
    return [
        f"{op} {how} {kind}.{attribute} ({n} times)"
        for (op, kind, attribute, how), n in sorted(spy.undeclared.items())
    ]


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda s: s.id)
def test_effects_touch_what_they_declare_in_a_sample(scenario: Scenario) -> None:
    for variant in scenario.variants[:: max(1, len(scenario.variants) // 4)]:
        spy = _spied(variant, 1)
        assert _complaints(spy) == [], variant.id
        assert spy.touches > spy.effects > 0


@pytest.mark.slow
@pytest.mark.parametrize("variant", ALL_VARIANTS, ids=_ids(ALL_VARIANTS))
def test_effects_touch_what_they_declare(variant: Variant) -> None:
    spy = _spied(variant, 20)
    assert _complaints(spy) == []
    assert spy.touches > spy.effects > 0


def test_the_spy_sees_what_is_not_declared() -> None:
    machine = Lab(1)
    spy = Spy()
    machine.instruments.append(spy)
    only_n = Op(WRITE, "n")

    def lies(word: Word, value: int) -> None:
        word.v_n = value + word.v_m
        word.v_m = 1

    machine.task("liar", lambda word: access(only_n, word, lies, word, 1))
    machine.task("honest", lambda word: setattr(word, "n", 2))
    token = greenlets()
    with spy.at_work():
        token.run(machine, RandomWalk(Random(1)))
    token.close()
    assert spy.effects == 2
    assert set(spy.undeclared) == {
        ("<write n>", "Word", "v_m", "reads"),
        ("<write n>", "Word", "v_m", "writes"),
    }
    assert "__getattribute__" not in vars(Struct)  # and leaves the classes as they were


# -- steps that do not conflict commute -----------------------------------------------------------


class Steps(Instrument):
    """Who performed each effect, and which neighbours in the order may be swapped.

    A pair counts if the second context was enabled on another CPU when the first went on, its
    operation was known, and the two do not conflict.  Contexts of one CPU interrupt one another,
    which no operation says.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.pairs: list[int] = []  # the first's place in ``ids``
        self.close: list[int] = []  # those of them that touch one object
        self._commute: dict[int, bool] = {}

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        self.machine: Machine = door.machine
        mine = (op, obj, args)
        self._now = {
            other.id: _close(mine, other.pending)
            for other in self.machine.enabled()
            if other.at_point and other.cpu is not ctx.cpu and not depends(mine, other.pending)
        }

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        close = self._commute.get(ctx.id)
        if close is not None:
            (self.close if close else self.pairs).append(len(self.ids) - 1)
        self.ids.append(ctx.id)
        self._commute = self._now

    def choose(self, rng: Random, most: int, fits: Callable[[int], bool]) -> list[int]:
        """Some pairs; close ones, of which there are few, and which bits decide about, first."""
        close, others = [p for p in self.close if fits(p)], [p for p in self.pairs if fits(p)]
        chosen = rng.sample(close, min(most // 2, len(close)))
        return chosen + rng.sample(others, min(most - len(chosen), len(others)))


def _close(one: Pending, other: Pending) -> bool:
    return any(a is b for a, _ in footprint(one) for b, _ in footprint(other))


def _singly(segments: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Segments of one effect each, or none."""
    return [(id, min(n, 1)) for id, n in segments for _ in range(max(n, 1))]


def _swapped(runner: Runner, index: int, rng: Random, most: int) -> int:
    """Record a run and follow it with two neighbours swapped, ``most`` times; how often it was."""
    recorded = Steps()
    runner.run(index, instruments=[recorded])
    assert runner._token is not None
    order = _singly(runner._token.segments)
    before = state(recorded.machine)
    place = [i for i, (_, n) in enumerate(order) if n]  # of each effect
    assert [order[i][0] for i in place] == recorded.ids

    def fits(i: int) -> bool:  # what the last effect led to may have ended the run: it stays
        return i + 2 < len(place) and place[i] + 1 == place[i + 1]

    chosen = recorded.choose(rng, most, fits)
    for i in chosen:
        at = place[i]
        other = [*order]
        other[at], other[at + 1] = order[at + 1], order[at]
        again = Steps()
        runner.run_with(Replay(other), recorded.machine.seed, instruments=[again])
        what = f"{runner.variant.id} run {index}: effects {i + 1} and {i + 2} swapped"
        assert again.ids[i : i + 2] == [recorded.ids[i + 1], recorded.ids[i]], what
        assert differences(before, state(again.machine)) == [], what
    return len(chosen)


def _swap(variants: Sequence[Variant], wanted: int) -> None:
    rng = Random(SEED)
    done = index = 0
    while done < wanted:
        assert index < 10 * wanted, f"only {done} pairs in {index} runs"
        variant = rng.choice(variants)
        with Runner(
            variant, cpus=CPUS, seed=SEED, engine="green", policy="random-walk", memory="sc"
        ) as runner:
            done += _swapped(runner, index, rng, min(6, wanted - done))
        index += 1


def test_swapping_shows_a_word_that_was_forgotten() -> None:
    """An effect that stores into a second object, and an operation that does not say so."""
    forgetful, honest = Op(WRITE, "n"), Op(RMW, "m")

    def stores_both(word: Word, other: Word, value: int) -> None:
        word.v_n = value
        append(other, value)

    def append(word: Word, digit: int) -> None:  # no later store may hide the order
        word.v_m = word.v_m * 10 + digit

    def setup(machine: Machine, variant: Variant) -> None:
        machine.vm = one, other = Word(), Word()

        def both() -> None:
            for n in range(4):
                access(forgetful, one, stores_both, one, other, n)

        def second() -> None:
            for n in range(4, 8):
                access(honest, other, append, other, n)

        machine.spawn(both, comm="forgetful", cpu=0)
        machine.spawn(second, comm="honest", cpu=1)

    variant = Variant("990.forgetful", "a word is left out", NEVER)
    Scenario(
        id="990",
        name="forgetful",
        title="x",
        story="",
        era="5.17",
        setup=setup,
        variants=(variant,),
    )
    with pytest.raises(AssertionError, match="swapped"):
        _swap([variant], 30)


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda s: s.id)
def test_neighbours_that_do_not_conflict_commute_in_a_sample(scenario: Scenario) -> None:
    _swap(scenario.variants, 8)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", scenarios(), ids=lambda s: s.id)
def test_neighbours_that_do_not_conflict_commute(scenario: Scenario) -> None:
    _swap(scenario.variants, 400)  # of each of five threads


# -- a word is the same word in every schedule ----------------------------------------------------


class Words(Instrument):
    """The word of every operation, by what its CPU has done and seen so far.

    Code is deterministic: with the same past a context comes to the same access.  So "the n-th
    access of this context at this line" is asked of runs in which it has seen the same values;
    another value may well lead it to another page.  Its past is that of its CPU: per-CPU data are
    no words, and an interrupt may have changed them.
    """

    def __init__(self) -> None:
        self.words: dict[tuple[int, int], Any] = {}
        self.agreed = 0  # times that a word was met again, in another schedule
        self.broken: set[str] = set()

    def begin(self) -> None:
        self._past: dict[int, int] = {}
        self._met: set[tuple[int, int]] = set()

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        self._where = accessor(sys._getframe(1))
        key = (ctx.id, hash((self._past.get(ctx.cpu.id, 0), self._where)))
        word = (identity(obj), op.words)
        known = self.words.setdefault(key, word)
        if known != word:
            self.broken.add(f"{ctx.comm} at {self._where[0]}: {known} and {word}")
        elif key not in self._met:
            self.agreed += 1
            self._met.add(key)

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        seen = (ctx.id, self._where, op.words, identity(obj), encode(value))
        self._past[ctx.cpu.id] = hash((self._past.get(ctx.cpu.id, 0), seen))


def _same_words(variant: Variant, schedules: int) -> None:
    words = Words()
    seed = run_seed(SEED, variant.id, 0)
    with Runner(variant, cpus=CPUS, seed=SEED, engine="green", memory="sc") as runner:
        for n in range(schedules):
            words.begin()
            runner.run_with(RandomWalk(stream(n, "policy")), seed, instruments=[words])
    assert words.broken == set()
    assert words.agreed > 10 * schedules  # and there was something to compare


TEN = [
    variant for scenario in scenarios() for variant in (scenario.variants[0], scenario.variants[-1])
]


@pytest.mark.parametrize("variant", TEN, ids=_ids(TEN))
def test_words_are_told_alike_in_a_few_schedules(variant: Variant) -> None:
    _same_words(variant, 8)


@pytest.mark.slow
@pytest.mark.parametrize("variant", TEN, ids=_ids(TEN))
def test_words_are_told_alike_in_every_schedule(variant: Variant) -> None:
    _same_words(variant, 1000)
