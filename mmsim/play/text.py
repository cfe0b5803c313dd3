# SPDX-License-Identifier: GPL-2.0-only
"""The game in a terminal: a line is a command, so that a file of lines is a played game.

Nothing is drawn in place: what is said comes below what was said before, reads the same in a pipe,
and a screen reader reads it in order.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator

from mmsim.errors import UsageError
from mmsim.play.known import Known
from mmsim.play.session import Position, Session, goal_of
from mmsim.play.steering import AWAY, BLOCKED, CAN, Ask, Standing
from mmsim.report.sentence import sentence
from mmsim.report.story import Story, Thing

WIDTH = 78
MOST_SHOWN = 40  # steps of one action that are said in full

HELP = """\
You are the scheduler. Each step lets one context do one thing.
  0          CPU0 goes one step: whoever is on it; an interrupt by i0
  1 5        CPU1 goes five steps
  1 l        CPU1 goes on to the next lock, f: to the end of the function,
             b: until it is blocked or has ended
  i0         deliver the interrupt that waits on CPU0 (i0 NAME if several wait)
  #3         the context with that number, where a CPU has several tasks
  e          go on without preemptions to the end of the run
  u, r       undo, redo (u 5: five actions); 'u all' begins again
  c, p, w    code, pages, who stands where
  goal       what has to happen, and the fewest preemptions known
  line       the command that brings your game back
  show       give up: the moves of a known run, to be made one by one with r
  q          leave
"""
_UNTIL = {"l": "lock", "f": "function", "b": "blocked"}


class Game:
    """Reads commands, says what came of them."""

    def __init__(
        self, session: Session, known: Known | None, command: Callable[[str, bool], str]
    ) -> None:
        """``command(line, over)`` is what a person types to have this game again."""
        self.session = session
        self.known = known
        self._command = command
        self._told = 0

    def play(self, commands: Iterable[str]) -> Iterator[str]:
        """What is said, line by line; ends with the commands."""
        yield from self.greeting()
        for text in commands:
            words = text.split("#!")[0].split()
            if not words:
                continue
            if words[0] in ("q", "quit", "exit"):
                return
            try:
                yield from self._do(words)
            except UsageError as error:
                yield f"? {error}"

    def greeting(self) -> Iterator[str]:
        """Before the first command."""
        v = self.session.variant
        yield f"{v.id}: {v.summary}"
        yield from self._goal()
        yield "Type ? for help."
        yield ""
        yield from self._standing()

    # -- commands ---------------------------------------------------------------------------------

    def _do(self, words: list[str]) -> Iterator[str]:
        word, rest = words[0], words[1:]
        plain: dict[str, Callable[[], Iterator[str]]] = {
            "?": lambda: iter(HELP.splitlines()),
            "help": lambda: iter(HELP.splitlines()),
            "w": self._standing,
            "p": self._pages,
            "c": self._code,
            "goal": self._goal,
            "line": self._line,
            "show": self._show,
        }
        if word in plain:
            if rest:
                raise UsageError(f"{word} stands alone")
            yield from plain[word]()
            return
        before = self.session.position
        if word in ("u", "undo", "r", "redo"):
            back = word[0] == "u"
            times = _count(rest, before.actions if back else before.undone)
            after = self.session.undo(times) if back else self.session.redo(times)
        elif word == "e":
            after = self.session.ask(Ask(-1, "end"))
        else:
            after = self.session.ask(self._asked(word, rest))
        yield from self._news(before, after)

    def _asked(self, word: str, rest: list[str]) -> Ask:
        interrupt = word.startswith("i")
        if word.startswith("#"):
            ctx = _number(word[1:], "context")
        else:
            ctx = self._on_cpu(_number(word.removeprefix("i"), "CPU"), interrupt, rest)
        if not rest:
            return Ask(ctx)
        if len(rest) > 1:
            raise UsageError(f"what is {' '.join(rest)!r}? (? for help)")
        if rest[0] in _UNTIL:
            return Ask(ctx, _UNTIL[rest[0]])
        return Ask(ctx, "step", max(1, _number(rest[0], "number of steps")))

    def _on_cpu(self, cpu: int, interrupt: bool, rest: list[str]) -> int:
        if not 0 <= cpu < self.session.cpus:
            raise UsageError(f"there is no CPU{cpu}: 0 to {self.session.cpus - 1}")
        here = [s for s in self.session.position.standing if s.who.cpu == cpu]
        some = [s for s in here if s.state == CAN and _comes_in(s) == interrupt]
        if interrupt and rest and any(s.who.comm == rest[0] for s in some):
            some = [s for s in some if s.who.comm == rest.pop(0)]
        if not some:
            why = "; ".join(f"{s.who} {s.reason}" for s in here if s.reason and s.state != AWAY)
            what = "no interrupt would be let in" if interrupt else "nobody can go on"
            raise UsageError(f"on CPU{cpu} {what}{f': {why}' * bool(why)}")
        if len(some) > 1 and not interrupt:
            names = ", ".join(f"#{s.who.id} {s.who}" for s in some)
            raise UsageError(f"on CPU{cpu} there are {names}: which?")
        return some[0].who.id

    # -- what is said -----------------------------------------------------------------------------

    def _news(self, before: Position, after: Position) -> Iterator[str]:
        """The steps since, or where we are if it went back."""
        old, new = len(before.story.steps), len(after.story.steps)
        if after.actions < before.actions:
            yield f"back at step {_at(after.story)}"
        steps = after.story.steps[old:new]
        for step in steps[-MOST_SHOWN:]:
            yield from textwrap.wrap(
                f"{step.number:>5}  {sentence(step)}", WIDTH, subsequent_indent=" " * 7
            )
        if len(steps) > MOST_SHOWN:
            yield f"       ({len(steps) - MOST_SHOWN} steps before these)"
        yield ""
        if after.over:
            yield from self._end(after)
        else:
            yield from self._standing()

    def _standing(self) -> Iterator[str]:
        position = self.session.position
        fewest = "" if self.known is None else f" (fewest known {self.known.preemptions})"
        yield f"step {_at(position.story)}, preemptions {position.preemptions}{fewest}"
        for standing in position.standing:
            yield from _row(standing)
        if position.over:
            yield "  the run is over"

    def _end(self, position: Position) -> Iterator[str]:
        if not position.findings:
            yield "The machine has come to rest, and nothing is wrong with it."
            yield "Undo (u, 'u all') and try another order."
            return
        finding = position.findings[0]
        yield f"{'*** ' * position.won}{finding.title}"
        if not position.won:
            yield "It fails, but not in the way that was asked for."
        many = "s" * (position.preemptions != 1)
        yield f"{position.preemptions} preemption{many}, {_at(position.story)} steps."
        for window in position.story.windows[-3:]:
            steps = position.story.steps
            who = position.story.names[window.who]
            yield from textwrap.wrap(
                f"Window: {who} looked at {window.thing} at step {steps[window.opened].number} and "
                f"again at step {steps[window.closed].number}; in between it was changed. "
                f"{window.function}: {window.race}".rstrip(": "),
                WIDTH,
            )
        yield from self._line()

    def _goal(self) -> Iterator[str]:
        yield from textwrap.wrap(f"Goal: {goal_of(self.session.variant)}", WIDTH)
        if self.known is None:
            yield "No run that does is known here."
        else:
            yield f"Fewest preemptions known: {self.known.preemptions}"

    def _line(self) -> Iterator[str]:
        position = self.session.position
        yield self._command(position.line, position.over and bool(position.findings))

    def _show(self) -> Iterator[str]:
        if self.known is None:
            raise UsageError("no run that fails is known here")
        self.session.show(self.known.line)
        moves = len(self.session.undone)
        yield f"{self.known.title}: {moves} moves. Make them one by one with r, or with r {moves}."
        yield ""
        yield from self._standing()

    def _pages(self) -> Iterator[str]:
        for thing in _now(self.session.position.story):
            if thing.page:
                fields = " ".join(f"{name}:{value}" for name, value in thing.fields)
                lists = f" on {', '.join(thing.lists)}" if thing.lists else ""
                free = f" ({thing.state})" if thing.state else ""
                yield f"  {thing.name} {fields} flags:{'|'.join(thing.flags) or '-'}{lists}{free}"

    def _code(self) -> Iterator[str]:
        for standing in self.session.position.standing:
            if standing.stack:
                place = standing.stack[0]
                names = " < ".join(p.function.symbol for p in standing.stack)
                yield f"CPU{standing.who.cpu} {standing.who}: {names}"
                yield from _listing(place.function.path, place.line)


def _row(standing: Standing) -> Iterator[str]:
    who = standing.who
    name = str(who)
    if standing.state == CAN:
        key = f"i{who.cpu}" if _comes_in(standing) else f"{who.cpu}"
        mark = "*" if standing.preempts else " "
        yield f"  CPU{who.cpu:<3}{name:<32}[{key}]{mark} {standing.next}"
    elif standing.state == BLOCKED:
        yield f"  CPU{who.cpu:<3}{name:<32} --   {standing.reason}"
    elif standing.state == AWAY:
        yield f"  CPU{who.cpu:<3}{name:<32} ..   {standing.reason}"


def _comes_in(standing: Standing) -> bool:
    return standing.fresh and standing.who.kind != "task"


def _listing(path: str, line: int, around: int = 3) -> Iterator[str]:
    import linecache

    for nr in range(max(1, line - around), line + around + 1):
        text = linecache.getline(path, nr).rstrip()
        yield f"  {'>' if nr == line else ' '} {nr:>4} {text}"[: WIDTH + 20]


def _now(story: Story) -> list[Thing]:
    now = {thing.name: thing for thing in story.first}
    for step in story.steps:
        now.update((thing.name, thing) for thing in step.changed)
    return list(now.values())


def _at(story: Story) -> int:
    return story.steps[-1].number if story.steps else 0


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise UsageError(f"{text[:20]!r} is no {what} (? for help)")
    return int(text)


def _count(rest: list[str], most: int) -> int:
    if not rest:
        return 1
    if rest == ["all"]:
        return most
    if len(rest) > 1:
        raise UsageError(f"what is {' '.join(rest)!r}? (? for help)")
    return _number(rest[0], "number")
