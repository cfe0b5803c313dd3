# SPDX-License-Identifier: GPL-2.0-only
"""What a level is, and when a run stands at one."""

from __future__ import annotations

import pytest

from mmsim.engine.op import READ, WRITE, Op
from mmsim.errors import UsageError
from mmsim.rare.levels import Level, Levels, levels_of
from mmsim.rare.watch import Watch

LOOK = Op(READ, "x", label="x")
STORE = Op(WRITE, "x", label="x")
A, B, C = "A", "B", "C"  # contexts and objects: they are compared by identity and nothing else
P, Q = "P", "Q"

WINDOW = Levels(
    Level("one looks", "read x", party="one", thing="page", value=1),
    Level("another stores", "write x", party="other", thing="page"),
    Level("the first looks again", "read x", party="one", thing="page"),
)


def stands(levels, *events):
    """The level after (context, operation, object, value)s."""
    watch = Watch(levels, lambda level: None)
    for step, (who, op, obj, value) in enumerate(events, 1):
        watch.after(who, step, op, obj, value)
    return watch.level


def test_steps_are_taken_in_their_order_by_the_same_people_on_the_same_thing():
    assert stands(WINDOW, (A, LOOK, P, 1)) == 1
    assert stands(WINDOW, (A, LOOK, P, 1), (B, STORE, P, None)) == 2
    assert stands(WINDOW, (A, LOOK, P, 1), (B, STORE, P, None), (A, LOOK, P, 0)) == 3
    assert stands(WINDOW, (B, STORE, P, None), (A, LOOK, P, 1)) == 1, "in another order"
    assert stands(WINDOW, (A, LOOK, P, 1), (A, STORE, P, None)) == 1, "two names are two people"
    assert stands(WINDOW, (A, LOOK, P, 1), (B, STORE, Q, None)) == 1, "another page"
    assert stands(WINDOW, (A, LOOK, P, 1), (B, STORE, P, None), (C, LOOK, P, 0)) == 2
    assert stands(WINDOW, (A, LOOK, P, 0), (B, STORE, P, None)) == 0, "another value"


def test_the_last_step_before_its_time_closes_the_window():
    closed = (A, LOOK, P, 0)
    assert stands(WINDOW, (A, LOOK, P, 1), closed, (B, STORE, P, None)) == 1


def test_a_window_may_open_anew_and_on_several_things():
    first = ((A, LOOK, P, 1), (A, LOOK, Q, 1), (B, STORE, Q, None), (B, STORE, P, None))
    assert stands(WINDOW, *first, (A, LOOK, P, 0)) == 3
    again = ((A, LOOK, P, 1), (A, LOOK, P, 1), (B, STORE, P, None), (A, LOOK, P, 0))
    assert stands(WINDOW, *again) == 3, "its second look opened it again"


def test_what_puts_an_end_to_it():
    over = Levels(*WINDOW.steps, over=(Level("he stores", "write x", party="one", thing="page"),))
    assert stands(over, (A, LOOK, P, 1), (A, STORE, P, None), (B, STORE, P, None)) == 1
    assert stands(over, (A, LOOK, P, 1), (A, STORE, Q, None), (B, STORE, P, None)) == 2


def test_anybody_else():
    held_up = Levels(
        Level("one looks", "read x", party="one"),
        Level("he is held up", party="not one"),
        Level("a store", "write x", value=lambda value: value > 2),
    )
    assert stands(held_up, (A, LOOK, P, 1), (A, STORE, P, 3)) == 1
    assert stands(held_up, (A, LOOK, P, 1), (B, LOOK, Q, 1), (A, STORE, P, 2)) == 2
    assert stands(held_up, (A, LOOK, P, 1), (B, LOOK, Q, 1), (B, STORE, P, 3)) == 3


def test_a_function_is_looked_for_on_the_stack():
    levels = Levels(Level("in here", "read x", function="inner"))
    watch = Watch(levels, lambda level: None)

    def inner():
        watch.after(A, 1, LOOK, P, 1)

    watch.after(A, 1, LOOK, P, 1)
    assert watch.level == 0
    assert watch.seen == [1]
    inner()
    assert watch.level == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Level(""), "says what the step is"),
        (lambda: Level("anything"), "any operation of anybody"),
        (lambda: Level("x", 3), "does is 3"),
        (lambda: Levels(), "at least one"),
        (lambda: Levels("x"), "takes Level"),
        (lambda: Levels(Level("x", party="not one")), "no step before it"),
        (lambda: WINDOW.only((4,)), "1 to 3"),
        (lambda: WINDOW.only((2, 1)), "in their order"),
        (lambda: levels_of("1.a", {"1.a": 3}, "f.py"), r"LEVELS\['1.a'\] has to be"),
        (lambda: levels_of("1.a", 3, "f.py"), "has to be a dict"),
    ],
)
def test_what_is_wrong_is_said(make, said):
    with pytest.raises(UsageError, match=said):
        make()


def test_a_run_is_split_at_the_last_step_in_any_case():
    assert WINDOW.only((1,)).numbers == (1, 3)
    assert WINDOW.all.numbers == (1, 2, 3)


def test_the_first_pattern_that_fits_counts():
    other = Levels(Level("x", "write"))
    declared = {"1.a": other, "1.*": WINDOW}
    assert levels_of("1.a", declared, "f.py") is other
    assert levels_of("1.b@1.a", declared, "f.py") is WINDOW
    assert levels_of("2.a", declared, "f.py") is None
