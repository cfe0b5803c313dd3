# SPDX-License-Identifier: GPL-2.0-only
"""The story of a run says what happened in it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mmsim.engine.events import Event
from mmsim.engine.op import Op
from mmsim.report.record import function_of
from mmsim.report.sentence import sentence
from mmsim.report.story import SPIN, Step, windows
from tests.report.told import told

SAME = Op("")
VARIANTS = ("002.flawed", "000.get-from-zero", "002.base2417-irq")


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_events_are_those_that_a_listener_hears(variant: str) -> None:
    """So the text columns made from it are the ones they always were."""
    story, events, _ = told(variant)
    assert [e.kind for e in story.events] == [e.kind for e in events]
    # what is no effect has an operation made for the occasion
    assert [replace(e, op=SAME) for e in story.events] == [replace(e, op=SAME) for e in events]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_effect_is_a_step_and_once(variant: str) -> None:
    story, _, _ = told(variant)
    numbers = [step.number for step in story.steps if step.effect]
    assert numbers == list(range(1, len(numbers) + 1))


def test_locks_and_interrupts_follow_from_the_operations() -> None:
    """The recorder reads them off the machine; here they are added up from the events."""
    story, _, _ = told("002.flawed")
    held: dict[int, list[str]] = {}
    off: dict[int, bool] = {}
    takes = drops = 0
    for step in story.steps:
        event = step.event
        mine = held.setdefault(event.entity, [])
        if event.kind == "lock":
            mine.append(event.obj)
            takes += 1
        elif event.kind == "unlock":
            mine.remove(event.obj)
            drops += 1
        elif event.kind in ("irq-off", "irq-on"):
            off[event.cpu] = event.kind == "irq-off"
        assert sorted(mine) == sorted(step.locks), sentence(step)
        assert step.irqs_off == off.get(event.cpu, False), sentence(step)
    assert takes > drops > 0  # it ends under a lock


def test_a_count_that_was_changed_is_in_the_state_of_the_page() -> None:
    story, _, _ = told("002.flawed")
    seen = 0
    state = {thing.name: thing for thing in story.first}
    for step in story.steps:
        state.update((thing.name, thing) for thing in step.changed)
        event = step.event
        if event.label == "count" and event.kind.startswith("rmw"):
            assert dict(state[event.obj].fields)["count"] == str(event.new)
            seen += 1
    assert seen >= 3


def test_a_page_leaves_its_list_when_it_is_unlinked() -> None:
    """Membership comes from walking the lists: a stale pointer of the page itself is none."""
    story, _, _ = told("000.get-from-zero")
    lists = {thing.name: thing.lists for thing in story.first if thing.page}
    moved = 0
    for step in story.steps:
        for thing in step.changed:
            if thing.page:
                moved += thing.lists != lists[thing.name]
                lists[thing.name] = thing.lists
    assert any(lists.values())
    assert moved > 0


def test_the_window_of_7_february() -> None:
    """The last put is between shrink_cache's looks at the page; then it says what the code says."""
    story, _, _ = told("002.flawed")
    assert story.focus
    assert story.windows
    for window in story.windows:
        assert window.opened < min(window.inside) <= max(window.inside) < window.closed
        ends = {story.steps[i].event.entity for i in (window.opened, window.closed)}
        assert ends == {window.who}
        assert all(story.steps[i].event.entity != window.who for i in window.inside)
        assert all(story.steps[i].event.op.writes for i in window.inside)
    assert any("last put has happened" in window.race for window in story.windows)


def test_who_finds_a_lock_taken_spins_and_on_whom() -> None:
    """The deadlock of 2.4.17: the interrupt spins for what the task below it has."""
    story, _, _ = told("002.base2417-irq")
    spins = [step for step in story.steps if step.event.kind == SPIN]
    assert spins
    assert all(step.other for step in spins)
    assert "spins on pagemap_lru_lock, held by" in sentence(spins[-1])


def test_a_stack_is_the_kernels() -> None:
    story, _, _ = told("002.flawed")
    functions = {place.function for step in story.steps for place in step.stack}
    names = {function.symbol for function in functions}
    assert {"shrink_cache", "__free_pages_ok", "kswapd"} <= names
    assert not any(function.path.endswith("linux/spinlock.py") for function in functions)
    source = {function.symbol: function.source for function in functions}
    assert source["shrink_cache"] == "mm/vmscan.c"


def test_every_step_has_a_sentence_with_a_subject() -> None:
    for variant in VARIANTS:
        story, _, _ = told(variant)
        for step in story.steps:
            text = sentence(step)
            assert text.startswith(f"CPU{step.event.cpu} {step.event.comm}")
            assert not text.endswith((".", " ", "None"))


def step(n: int, who: int, op: Op, *locks: str) -> Step:
    event = Event(
        n, who, f"t{who}", who, who, "task", op, "pfn:00001", 0, 0, 0, "f", "/mmsim/f.py", 1
    )
    return Step(event, (), "", locks, False, ())


LOOK, LOOK_ELSEWHERE, CHANGE = Op("read", "count"), Op("read", "index"), Op("rmw", "count")


def test_a_window_is_a_change_that_is_met() -> None:
    steps = [step(1, 0, LOOK), step(2, 1, CHANGE), step(3, 0, LOOK_ELSEWHERE), step(4, 0, LOOK)]
    assert [(w.opened, w.inside, w.closed) for w in windows(steps)] == [(0, (1,), 3)]


def test_a_change_of_what_is_not_looked_at_again_is_none() -> None:
    assert not list(windows([step(1, 0, LOOK), step(2, 1, CHANGE), step(3, 0, LOOK_ELSEWHERE)]))
    assert not list(windows([step(1, 1, CHANGE), step(2, 0, LOOK), step(3, 0, LOOK)]))


def test_critical_sections_of_one_lock_are_none() -> None:
    apart = [step(1, 0, LOOK, "l"), step(2, 1, CHANGE, "l"), step(3, 0, LOOK, "l")]
    assert not list(windows(apart))
    loose = [step(1, 0, LOOK, "l"), step(2, 1, CHANGE), step(3, 0, LOOK, "l")]
    assert len(list(windows(loose))) == 1


def test_equal_code_in_two_files_is_told_apart() -> None:
    """Python compares code by what it does, and not by where it stands."""
    codes = []
    for file in ("one.py", "two.py"):
        space: dict[str, Any] = {}
        exec(compile("def f():\n    return 1\n", file, "exec"), space)
        codes.append(space["f"].__code__)
    assert codes[0] == codes[1]
    assert [function_of(code).path for code in codes] == ["one.py", "two.py"]
