# SPDX-License-Identifier: GPL-2.0-only
"""The rules of the game: moves, undo, blocked contexts, and lines that replay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmsim.engine.schedule import Schedule
from mmsim.errors import StaleSchedule, UsageError
from mmsim.play import known
from mmsim.play.session import Session, goal_of
from mmsim.play.steering import AWAY, BLOCKED, CAN, ENDED, Ask
from mmsim.run import Runner
from mmsim.stress.source import Library, find_variant
from tests.play.games import flawed


@pytest.fixture
def game() -> Iterator[Session]:
    with flawed() as session:
        yield session


def context(session: Session, comm: str, kind: str = "") -> int:
    return next(
        s.who.id
        for s in session.position.standing
        if s.who.comm == comm and s.state == CAN and kind in ("", s.who.kind)
    )


def win(session: Session) -> None:
    """Two preemptions: see games.py."""
    session.ask(Ask(context(session, "ksoftirqd")))
    session.ask(Ask(context(session, "ksoftirqd"), "blocked"))
    session.ask(Ask(context(session, "ksoftirqd")))
    session.ask(Ask(context(session, "ksoftirqd"), times=3))
    session.ask(Ask(context(session, "kswapd"), times=23))
    session.ask(Ask(context(session, "ksoftirqd"), "blocked"))


def test_at_the_start_everybody_stands_before_its_first_line(game: Session) -> None:
    standing = game.position.standing
    assert [s.state for s in standing] == [CAN] * 3
    assert all(s.fresh and s.stack and not s.preempts for s in standing)
    assert {s.stack[0].function.symbol for s in standing} == {"net_tx_action", "kswapd"}
    assert not game.position.story.steps


def test_a_move_is_one_effect(game: Session) -> None:
    kswapd = context(game, "kswapd")
    for n in range(5):  # the first move only begins
        assert len(game.position.story.steps) == max(0, n - 1)
        game.ask(Ask(kswapd))
    assert [s.event.entity for s in game.position.story.steps] == [kswapd] * 4


def test_what_is_said_to_come_next_does(game: Session) -> None:
    kswapd = context(game, "kswapd")
    game.ask(Ask(kswapd))
    for _ in range(12):
        standing = next(s for s in game.position.standing if s.who.id == kswapd)
        game.ask(Ask(kswapd))
        step = game.position.story.steps[-1]
        assert step.stack == standing.stack
        assert step.event.label.split(":")[-1] in standing.next or step.event.obj in standing.next


def test_the_double_free_by_hand(game: Session) -> None:
    win(game)
    position = game.position
    assert position.over
    assert position.won
    assert position.preemptions == 2
    assert position.findings[0].kind == "double-free"
    assert any("last put" in window.race for window in position.story.windows)


def test_its_line_replays_with_threads(game: Session) -> None:
    win(game)
    with Runner(game.variant, cpus=2, seed=0) as runner:
        result = runner.replay(game.position.line)
    assert result.findings[0].fingerprint == game.position.findings[0].fingerprint
    assert result.steps == game.position.story.steps[-1].number


def test_undo_and_redo_are_exact(game: Session) -> None:
    win(game)
    seen = [game.position]
    while game.actions:
        seen.append(game.undo())
    assert not game.position.story.steps
    for before in reversed(seen[:-1]):
        again = game.redo()
        assert again.story.steps == before.story.steps
        assert again.line == before.line
        assert [s.state for s in again.standing] == [s.state for s in before.standing]
    assert game.position.won


def test_another_move_forgets_what_was_undone(game: Session) -> None:
    game.ask(Ask(context(game, "kswapd"), times=3))
    game.undo()
    assert game.position.undone == 1
    game.ask(Ask(context(game, "ksoftirqd")))
    assert game.position.undone == 0


def test_it_runs_to_the_next_lock_and_no_further(game: Session) -> None:
    kswapd = context(game, "kswapd")
    for _ in range(2):
        game.ask(Ask(kswapd, "lock"))
        standing = next(s for s in game.position.standing if s.who.id == kswapd)
        assert standing.next == "take pagemap_lru_lock"
        game.ask(Ask(kswapd))
        assert game.position.story.steps[-1].event.kind == "lock"


def test_it_runs_to_the_end_of_the_function(game: Session) -> None:
    kswapd = context(game, "kswapd")
    game.ask(Ask(kswapd, times=10))
    inner = next(s for s in game.position.standing if s.who.id == kswapd).stack
    assert inner[0].function.symbol == "shrink_cache"
    game.ask(Ask(kswapd, "function"))
    assert all(
        s.state == ENDED or inner[0].function not in {p.function for p in s.stack}
        for s in game.position.standing
        if s.who.id == kswapd
    )


def test_a_blocked_context_says_by_what() -> None:
    """2.4.17: the card's interrupt wants the lock of the task that it interrupted."""
    with Session(find_variant(Library(), "002.base2417-irq"), cpus=2) as session:
        kswapd = context(session, "kswapd")
        session.ask(Ask(kswapd, "lock"))
        session.ask(Ask(kswapd, times=2))
        irq = next(s for s in session.position.standing if s.who.kind == "hardirq")
        assert (irq.who.cpu, irq.state, irq.preempts) == (1, CAN, True)
        session.ask(Ask(irq.who.id))
        below = next(s for s in session.position.standing if s.who.id == kswapd)
        assert below.state == AWAY
        assert below.stack
        with pytest.raises(UsageError):
            session.ask(Ask(kswapd))
        session.ask(Ask(irq.who.id, "blocked"))
        position = session.position
        if not position.over:
            spinner = next(s for s in position.standing if s.who.id == irq.who.id)
            assert spinner.state == BLOCKED
            assert spinner.reason.startswith("spins on pagemap_lru_lock, held by kswapd/")
            session.ask(Ask(-1, "end"))
        assert session.position.won
        assert session.position.findings[0].title == "deadlock on pagemap_lru_lock"


def test_a_run_that_ends_well_is_not_won(game: Session) -> None:
    position = game.ask(Ask(-1, "end"))
    assert position.over
    assert not position.won
    assert not position.findings
    with pytest.raises(UsageError, match="over"):
        game.ask(Ask(-1, "end"))


def test_a_recorded_run_can_be_gone_on_with(game: Session) -> None:
    win(game)
    with Session.of_line(game.variant, game.position.line) as other:
        assert not other.position.story.steps
        while other.undone:
            other.redo()
        assert other.position.story.steps == game.position.story.steps
        other.undo(3)
        assert not other.position.over
        line = other.position.line
    with Session.of_line(game.variant, line) as third:  # one that stops in the middle
        moves = len(third.undone)
        third.redo(moves)
        assert not third.position.over
        assert third.position.line == line


def test_a_line_of_another_variant_is_refused(game: Session) -> None:
    win(game)
    other = find_variant(Library(), "000.get-from-zero")
    with pytest.raises(StaleSchedule):
        Session.of_line(other, game.position.line)
    with pytest.raises(UsageError):
        Session.of_line(other, "mm1:nonsense")


def test_a_known_run_wins_and_is_measured_alike(game: Session) -> None:
    """What shrinking calls a preemption is what the game calls one."""
    found = known.find(game)
    assert found is not None
    assert found.preemptions == 2
    assert Schedule.parse(found.line).cpus == 2
    game.show(found.line)
    game.redo(1_000)
    assert game.position.won
    assert game.position.preemptions == found.preemptions


def test_what_chance_rarely_meets_is_searched_for() -> None:
    """The hole in the patch of 12 February, which random runs hardly meet."""
    with Session(find_variant(Library(), "002.pagelocked-swapoff"), cpus=2) as session:
        found = known.search(session)
        assert found is not None
        session.show(found.line)
        session.redo(10_000)
        assert session.position.won
        assert session.position.preemptions == found.preemptions


def test_goals_are_words() -> None:
    goal = goal_of(find_variant(Library(), "003.unlock-first"))
    assert "kernel BUG at include/linux/swapops.h:258!" in goal
    assert "\\" not in goal
    assert "nobody" in goal_of(find_variant(Library(), "002.pagelocked"))
