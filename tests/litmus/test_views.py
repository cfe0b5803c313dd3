# SPDX-License-Identifier: GPL-2.0-only
"""The view memory by itself, as an engine uses it: long runs, and what is forgotten on the way."""

from __future__ import annotations

import random

import pytest

from mmsim.engine.memory.views import Memory


def stored(memory: Memory, *values: int, word: str = "x", cpu: int = 0) -> None:
    for value in values:
        memory.write(cpu, word, value)


def offered(memory: Memory, cpu: int, word: str = "x") -> list[int]:
    history = memory.words[word]
    return [history.at(position).value for position in memory.readable(cpu, word)]


def test_a_read_may_be_stale_but_never_goes_back() -> None:
    memory = Memory(2)
    memory.place("x", 0)
    stored(memory, 1, 2)
    assert offered(memory, 0) == [2]
    assert offered(memory, 1) == [0, 1, 2]
    memory.read(1, "x", 1)
    assert offered(memory, 1) == [1, 2]


def test_a_full_barrier_reaches_every_cpu_but_binds_only_its_own() -> None:
    memory = Memory(2)
    memory.place("x", 0)
    stored(memory, 1)
    memory.mb(0)
    assert offered(memory, 1) == [0, 1]
    memory.mb(1)
    assert offered(memory, 1) == [1]


def test_an_object_carries_the_bound_of_the_read_that_led_to_it() -> None:
    def seen(memory: Memory) -> list[int]:
        memory.place("field", 0)
        memory.place("pointer", None)
        memory.write(0, "field", 1)
        memory.wmb(0)
        memory.write(0, "pointer", "thing")
        bound = memory.read(1, "pointer", 1)
        memory.loaded(1, "thing", bound)
        dep = memory.dependency(1, "thing")
        return list(memory.readable(1, "field", dep))

    assert seen(Memory(2)) == [1]
    assert seen(Memory(2, dependencies=False)) == [0, 1]


def test_no_more_than_the_limit_stays_readable() -> None:
    memory = Memory(2, limit=3)
    memory.place("x", 0)
    stored(memory, 1, 2, 3, 4, 5)
    assert offered(memory, 1) == [3, 4, 5]
    assert len(memory.words["x"].messages) == 3


def test_what_everybody_is_past_is_dropped_and_nothing_else() -> None:
    memory = Memory(2)
    memory.place("x", 0)
    stored(memory, 1, 2)
    memory.read(1, "x", 1)
    memory.collect()
    assert offered(memory, 1) == [1, 2]
    memory.read(1, "x", 2)
    memory.collect()
    assert [message.value for message in memory.words["x"].messages] == [2]
    assert not any(cpu.prop or cpu.floor for cpu in memory.cpus)
    memory.forget("x")
    assert "x" not in memory.words


def test_a_word_that_can_still_be_stale_is_not_forgotten() -> None:
    memory = Memory(2)
    memory.place("x", 0)
    stored(memory, 1)
    memory.collect()
    with pytest.raises(ValueError, match="can still be read"):
        memory.forget("x")


def test_after_a_while_a_store_has_reached_everybody() -> None:
    memory = Memory(2)
    memory.place("x", 0)
    memory.write(0, "x", 1, step=10)
    memory.write(0, "x", 2, step=20)
    memory.collect(before=10)
    assert offered(memory, 1) == [0, 1, 2]
    memory.collect(before=11)
    assert offered(memory, 1) == [1, 2]
    memory.collect(before=21)
    assert offered(memory, 1) == [2]


def test_a_long_run_takes_no_more_memory_than_a_short_one() -> None:
    draw = random.Random(1)
    memory = Memory(4, limit=8)
    sizes = []
    for step in range(20_000):
        word, cpu = f"w{step // 100}-{draw.randrange(5)}", draw.randrange(4)
        if word not in memory.words:
            memory.place(word, 0)
        if draw.random() < 0.5:
            memory.write(cpu, word, step, step=step, release=draw.random() < 0.3)
        else:
            positions = memory.readable(cpu, word)
            memory.read(cpu, word, draw.choice(positions), acquire=draw.random() < 0.3)
        if draw.random() < 0.05:
            memory.mb(cpu)
        if step % 500 == 499:
            memory.collect(before=step - 500)
            for idle in [w for w, h in memory.words.items() if len(h.messages) == 1]:
                memory.forget(idle)
            views = [view for cpu_ in memory.cpus for view in (cpu_.prop, cpu_.floor, cpu_.reads)]
            sizes.append(sum(view.bit_length() for view in views) + len(memory.words))
    assert max(sizes[10:]) <= 2 * max(sizes[:10])


def walked(collecting: bool, seed: int) -> list[list[int]]:
    """What each read of a random run is offered; the reads take the same place in the offer."""
    draw = random.Random(seed)
    memory = Memory(3)
    for word in "xyz":
        memory.place(word, 0)
    seen = []
    for step in range(120):
        cpu, word = draw.randrange(3), draw.choice("xyz")
        kind, place = draw.randrange(7), draw.random()
        if kind < 2:
            memory.write(cpu, word, step, release=kind == 1)
        elif kind < 5:
            offer = memory.readable(cpu, word)
            seen.append(offered(memory, cpu, word))
            memory.read(cpu, word, offer[int(place * len(offer))], acquire=kind == 4)
        else:
            draw.choice((memory.mb, memory.rmb, memory.wmb))(cpu)
        if collecting:
            memory.collect()
    return seen


@pytest.mark.parametrize("seed", range(20))
def test_collecting_changes_nothing_that_can_be_seen(seed: int) -> None:
    assert walked(True, seed) == walked(False, seed)
