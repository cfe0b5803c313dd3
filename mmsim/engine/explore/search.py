# SPDX-License-Identifier: GPL-2.0-only
"""What all searches share: one policy that lives through many executions.

An execution follows the choices made before, by countdown; then it chooses anew.  What a context
does on its own (to begin, to go on after it was woken, to touch quiet words) needs no choice and
happens at once.  Everything else is an *event*, and before each there is a :class:`Node`.

    while search.more():
        with suppress(Stopped, NotQuiet):
            run one execution with ``search`` as its policy
        search.done()

An execution is cut off (:class:`Stopped`) when nothing new can come of it, or when it is too long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush
from typing import Any, Final

from mmsim.engine.choices import Choices
from mmsim.engine.context import DONE, FRESH, SLEEPING, TASK, Context
from mmsim.engine.door import door
from mmsim.engine.explore.clocks import join
from mmsim.engine.explore.doors import Doors, look_again, look_round
from mmsim.engine.explore.nodes import (
    NO_STEP,
    NOBODY,
    Frame,
    Knowledge,
    Node,
    Request,
    State,
    Step,
    Twig,
    compressed,
    explored,
)
from mmsim.engine.explore.words import (
    EVERY_BIT,
    NOTHING,
    Learner,
    NotQuiet,
    Touch,
    Touches,
    Words,
    number_of,
)
from mmsim.engine.instruments import Instrument
from mmsim.engine.machine import Machine
from mmsim.engine.op import (
    BH_OFF,
    BH_ON,
    IRQ_OFF,
    IRQ_ON,
    LOCK,
    RAISE,
    RELAX,
    RESCHED,
    SPAWN,
    START,
)
from mmsim.engine.policy.base import Passing
from mmsim.engine.schedule import Diverged

NOTHING_PASSES: Final = frozenset[Passing]()
LONGEST = 20_000  # effects; no execution of a small cast comes near
_new_tuple: Callable[..., Any] = tuple.__new__  # all that Step(...) comes to, in half the time
SPECIAL = frozenset({START, RAISE, SPAWN, RESCHED, IRQ_OFF, IRQ_ON, BH_OFF, BH_ON})


OFFER: Final[Touches] = type("Offer", (tuple,), {})()
"""Touches nothing: here another task can be switched in."""


class Stopped(Diverged):
    """The execution need not, or must not, go on."""


class Blocked(Stopped):
    """Whatever could come next was explored elsewhere."""


class TooLong(Stopped):
    """The execution has more effects than the limit.  What it would have come to is unknown."""


class Search:
    """Base of the searches.  ``longest`` is the limit on the effects of one execution.

    It is a policy, but no child of that class: compiled, the one cannot be the other's.

    Counts so far: ``executions`` that came to an end, ``blocked`` ones that did not need to,
    ``cut`` ones that were longer than the limit, ``restarts`` because a word was not quiet.
    """

    memoryless = False
    fair = True  # its limit is its own
    quiet: AbstractSet[Passing] | None = NOTHING_PASSES

    def __init__(self, *, longest: int = LONGEST) -> None:
        self.words = Words()
        self.telling = False  # keep account of what was reversed
        self.longest = longest
        self.restarts = 0
        self._multi: set[int] = set()  # CPUs that ever have more than one task
        self._raisable: set[int] = set()  # lines that somebody raises
        self._lines: set[int] = set()  # CPUs that have interrupts
        self._choosy: set[int] = set()  # CPUs that have a choice of their own: both
        self._state = State()
        self._onward = False  # from here on it is always the one that runs who goes first
        self._sole = False  # all others have ended
        self._raceless = False  # and it has seen all that they did: nothing that it does can race
        self._doors: Doors | None = None  # of the last node, if nobody was picked since
        self._raising: tuple[Context, bool, bool] | None = None
        self._before = 0  # contexts at the last decision
        self._stirred = False  # since then somebody may have been made able to go on
        self._known: dict[Passing, Touches | None] = {}
        self._failing: dict[Passing, Touches | None] = {}  # of those that fail, if they do
        self._quiet: set[Passing] = set()
        self._harmless: set[Passing] = set()  # once nobody else is left
        self._enabled: list[Context] | None = None  # who could go on at the last node
        self._can: list[Context] = []  # and those of them who need not wait
        self._locks: list[tuple[Any, bool]] = []  # that others want; were they taken?
        self._ids: tuple[int, ...] = ()
        self._forget()

    def _forget(self) -> None:
        self.nodes: list[Node] = []
        self._open: list[int] = []  # a heap: nodes where others have to have a turn, less deep last
        self.executions = self.blocked = self.cut = 0
        self._known.clear()
        self._failing.clear()
        self._quiet.clear()
        self._harmless.clear()
        self._log: list[tuple[int, int]] = []  # (context, quantum) of each pick
        self._over = False
        self._ended: BaseException | None = None
        self._script: list[Frame] = []  # nodes to be built anew
        self._depth = 0  # nodes at the beginning of the execution
        self._floor = 0  # so many nodes belong to somebody else's search
        self._twigs: list[Twig] = []  # what is to come next
        self.requests: dict[Request, None] = {}
        self.reversed: Counter[tuple[str, str]] = Counter()  # races, and how often

    # -- from one execution to the next -------------------------------------------------------

    def cast(self) -> list[Context]:
        """Tasks and interrupts of the last execution."""
        return list(self._machine.contexts)

    def learner(self) -> Instrument:
        """Listens to an execution under any policy, to learn which words are not quiet."""
        return Learner(self.words)

    @property
    def unfinished(self) -> bool:
        """Is something left to be explored?"""
        return not self._over

    def more(self) -> bool:
        """Is there another execution?  If so the policy is ready for it."""
        if self._over:
            return False
        self._prefix = compressed(self._log)
        self._at = 0
        self._rest = 0
        self._effects = 0
        self._begun = self._free = self._onward = self._raceless = False
        self.quiet = NOTHING_PASSES
        self._depth = len(self._script) or len(self.nodes)
        self._twigs = []
        self._plan: tuple[Node, Context] | None = None
        self._fault: Stopped | NotQuiet | None = None
        return True

    def done(self) -> None:
        """The execution is over, one way or another."""
        ended, self._ended = self._ended, None
        if isinstance(ended, NotQuiet) or self.words.mistaken:
            restarts = self.restarts + 1
            self.words.start_again()
            self._clear()
            self._forget()
            self.restarts = restarts
            return
        if isinstance(ended, Blocked):
            self.blocked += 1
        elif isinstance(ended, TooLong):
            self.cut += 1
        else:
            self.executions += 1
        self._reverse()
        self._begun = False
        self._over = not self._turn()

    def _turn(self) -> bool:
        """Go back to the last node where another has to have a turn; False if there is none."""
        nodes, open = self.nodes, self._open
        while open and -open[0] >= self._floor:
            depth = -open[0]
            node = nodes[depth]
            if len(node.back) > len(node.done) + 1:
                self._back_to(depth)
                del nodes[depth + 1 :]
                node.done = {**node.done, node.cur: node.step}
                node.cur = next(id for id in node.back if id not in node.done)
                node.step = NO_STEP
                self._cut_back(node.log)
                return True
            heappop(open)
        self._back_to(self._floor)
        del nodes[self._floor :]
        return False

    def _cut_back(self, log: tuple[int, int]) -> None:
        entries, effects = log
        del self._log[entries:]
        if entries:
            self._log[-1] = self._log[-1][0], effects

    def explored(self) -> float:
        """A guess at the part of the tree that is explored: see :func:`explored`."""
        return 1.0 if self._over else explored(self.nodes)

    # -- a search that is left and gone on with, or split ---------------------------------------

    def frames(self) -> list[Frame]:
        """Where the search stands: the nodes, of which the last one's ``cur`` is to be explored.

        Right between two executions, and after one that was broken off.
        """
        if self._script:
            return list(self._script)
        nodes = self.nodes[: self._depth if self._begun else None]
        return [Frame.of(node, self.words, node is nodes[-1]) for node in nodes]

    def load(self, frames: Sequence[Frame], floor: int = 0) -> None:
        """Go on where ``frames`` stand.

        The first ``floor`` nodes belong to somebody else's search: only what is below them is
        explored, and what their events are found to race with becomes ``requests``.
        """
        self._clear()
        self._forget()
        self._script = list(frames)
        self._floor = floor

    @property
    def knowledge(self) -> Knowledge:
        """What this search has learned since the words were settled."""
        return Knowledge(self.words.not_quiet, sorted(self._multi), sorted(self._raisable))

    def learn(self, knowledge: Knowledge) -> None:
        """Take over what another search of the same program has learned.  Right after settling."""
        self.words.learn(knowledge.words)
        self._multi.update(knowledge.multi)
        self._raisable.update(knowledge.raisable)

    # -- for subclasses -----------------------------------------------------------------------

    def _clear(self) -> None:
        """Forget all events."""

    def _back_to(self, depth: int) -> None:
        """Forget the events from number ``depth`` on."""

    def _enter(self, node: Node) -> None:
        """Fill in what of ``node`` follows from the nodes before it."""

    def _first(self, node: Node, can: list[Context], current: Context | None) -> Context:
        """Who is to go first there; others who are to get a turn go into ``node.back``."""
        raise NotImplementedError

    def _event(self, node: Node, ctx: Context, touches: Touches) -> None:
        """``ctx`` is about to perform an event."""

    def _seen_all(self, node: Node) -> bool:
        """Does the event of ``node``, and all that will come after it, come after all others?"""
        return False

    def _reverse(self) -> None:
        """The execution is over: see to it that races of its events go the other way, too."""

    # -- the policy ---------------------------------------------------------------------------

    @property
    def directed(self) -> bool:
        return not self._free

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        self._enabled = self._doors = None
        self._sole = False
        if self._raceless:
            self._raceless = False
            self.quiet = self._quiet
        try:
            if self._fault is not None:
                raise self._fault
            if self._plan is not None:
                ctx = self._go(*self._plan)
                self._log.append((ctx.id, self._quantum))
                return ctx
            if not self._free:
                followed = self._follow(enabled)
                if followed is not None:
                    return followed
            if self._effects > self.longest:
                raise TooLong(f"more than {self.longest} effects")
            ctx = self._decide(enabled, current)
            self._log.append((ctx.id, self._quantum))
            return ctx
        except BaseException as error:
            self._ended = error
            raise

    def passes(self, ctx: Context, passed: int, choices: Choices) -> bool:
        """An event may go to who runs anyhow; what touches only quiet words is none.

        If it does not, ``pick`` is asked next, and goes by what was decided here.
        """
        if not self._free or passed > self.longest:
            return False
        touches = self._touches(ctx)
        if touches is None:
            return True
        op, obj, _ = ctx.pending
        kind = op.kind
        if kind is LOCK and obj.locked:
            return False
        makes = kind is SPAWN or kind is RAISE  # others, who can go on then
        if self._raceless and not makes:
            return True
        enabled = choices.after(ctx)
        changed = enabled is not self._enabled or (self._locks and self._moved())
        if changed and not self._look(enabled, ctx):
            return False
        try:
            stirred = self._stirred
            if stirred:
                self._settle()
            doors = self._doors
            if doors is None or (doors and stirred):
                doors = look_round(self._machine, self._choosy)
            elif ctx.cpu.id in doors:  # nobody else has run since the last node
                doors = look_again(doors, ctx.cpu, self._machine.preempt)
            node = self._node(doors, (len(self._log), passed))
            if self._onward:
                node.cur = ctx.id
                node.back = (ctx.id,)
                self.nodes.append(node)
            else:
                chosen = self._choose(node, self._can, ctx)
                if chosen is not ctx:
                    self._plan = node, chosen
                    return False
            self._perform(node, ctx, touches)
            if makes:
                self._sole = self._raceless = False
                self.quiet = self._quiet
            elif self._sole and self._onward and self._seen_all(node):
                self._raceless = True
                self.quiet = self._harmless
        except (Stopped, NotQuiet) as error:  # it must not unwind simulated code
            self._fault = error
            return False
        return True

    def _look(self, enabled: list[Context], ctx: Context) -> bool:
        """Who could go on in place of ``ctx``?  False if somebody has to be asked first."""
        can = []
        locks = []
        multi = self._multi
        for c in enabled:
            if c is not ctx:
                op, obj, _ = c.pending
                kind = op.kind
                if kind is LOCK:  # it may be taken or freed, and the choices do not tell
                    locks.append((obj, obj.locked))
                    if obj.locked:
                        continue
                elif kind is START and c.kind is TASK and c.cpu.id not in multi:
                    return False
                if c.relaxed:
                    return False
            can.append(c)
        self._enabled = enabled
        self._locks = locks
        self._can = can
        self._ids = tuple([c.id for c in can])
        self._sole = all(c is ctx or c.state == DONE for c in self._machine.contexts)
        return True

    def _moved(self) -> bool:
        """Was a lock taken or freed that somebody wants?"""
        return any(lock.locked is not was for lock, was in self._locks)

    def quantum(self, ctx: Context) -> int:
        return self._quantum

    def ran(self, ctx: Context, n: int) -> None:
        self._effects += n
        if self._free:
            id, granted = self._log[-1]
            if n > granted:  # it passed points that needed no decision
                self._log[-1] = id, n
        else:
            self._rest -= n

    def kicked(self) -> int | None:
        return None

    def ended(self, machine: Machine) -> None:
        """An execution that ends of its own accord says nothing more."""

    def _follow(self, enabled: Sequence[Context]) -> Context | None:
        """The next of the prefix; None once it is at its end."""
        if self._rest <= 0:
            if self._begun:
                self._at += 1
            self._begun = True
            if self._at >= len(self._prefix):
                return None
            self._rest = self._prefix[self._at][1]
        who = self._prefix[self._at][0]
        self._quantum = self._rest
        for ctx in enabled:
            if ctx.id == who:
                return ctx
        raise RuntimeError(f"an execution is not repeatable: context {who} cannot go on")

    def _decide(self, enabled: Sequence[Context], current: Context | None) -> Context:
        if not self._free:
            self._free = True
            self.quiet = self._quiet
            if self.nodes:  # the node where this execution parts from those before
                node = self.nodes[-1]
                self._load(node)
                self._twigs = node.then[node.cur].then if node.cur in node.then else []
                by_id = {ctx.id: ctx for ctx in enabled}
                return self._go(node, by_id[node.cur])
            self._at_boot()
        self._settle()
        self._quantum = 0
        for ctx in enabled:
            kind = ctx.pending[0].kind
            if kind is RELAX and ctx.kind is TASK:  # what happened last is what it waited for
                wakers = self._state.wakers
                clock = join(wakers.get(ctx.id, []), self._last())
                self._state = self._state._replace(wakers={**wakers, ctx.id: clock})
                return ctx
            if kind is RELAX or (
                kind is START and ctx.kind is TASK and ctx.cpu.id not in self._multi
            ):  # nobody else can tell
                return ctx
        can = [c for c in enabled if not _waits(c)]
        if not can:  # they try in vain, and the execution sees who is stuck
            return enabled[0]
        touches = None
        if current is not None and current.at_point and current in can:
            touches = self._touches(current)
            if touches is None:
                self._quantum = 1
                return current
        self._can = can
        self._ids = tuple([c.id for c in can])
        log = len(self._log), self._log[-1][1] if self._log else 0
        node = self._node(look_round(self._machine, self._choosy), log)
        chosen = self._choose(node, can, current)
        return self._go(node, chosen, touches if chosen is current else None)

    def _node(self, doors: Doors, log: tuple[int, int]) -> Node:
        node = Node()
        node.can = self._ids
        node.step = NO_STEP
        node.done = node.sleep = node.then = NOBODY
        node.back = ()
        node.preemptions = 0
        node.depth = len(self.nodes)
        node.log = log
        node.state = self._state
        node.cpus = self._doors = doors
        return node

    def _choose(self, node: Node, can: list[Context], current: Context | None) -> Context:
        self._enter(node)
        chosen = self._scripted(node, can) if self._script else self._first(node, can, current)
        node.cur = id = chosen.id
        if not node.back:
            node.back = (id,)
        else:
            if id not in node.back:
                node.back += (id,)
            heappush(self._open, -node.depth)
        self.nodes.append(node)
        return chosen

    def _scripted(self, node: Node, can: list[Context]) -> Context:
        """Build a node anew that was there before."""
        depth = len(self.nodes)
        frame = self._script[depth]
        if node.can != tuple(frame.can):
            raise RuntimeError(f"an execution is not repeatable: others can go on at {depth}")
        node.back = frame.back
        node.then = {id: twig.heard(self.words) for id, twig in frame.then.items()}
        by_id = {ctx.id: ctx for ctx in can}
        node.done = {
            id: Step(id, by_id[id].cpu.id, self._touches_of(by_id[id])) for id in frame.done
        }
        if depth + 1 == len(self._script):
            self._script = []
            self._twigs = node.then[frame.cur].then if frame.cur in node.then else []
        return by_id[frame.cur]

    def _go(self, node: Node, ctx: Context, touches: Touches | None = None) -> Context:
        """Pick ``ctx``, which ``touches`` that if it is known, for the event after ``node``."""
        if touches is None:
            touches = self._touches_of(ctx)
        self._plan = None
        self._perform(node, ctx, touches)
        kind = ctx.pending[0].kind
        self._quantum = 0 if kind is START or kind is RELAX else 1
        return ctx

    def _perform(self, node: Node, ctx: Context, touches: Touches) -> None:
        """``ctx`` performs the event after ``node``."""
        id, cpu = ctx.id, ctx.cpu.id
        node.step = _new_tuple(Step, (id, cpu, touches))
        self._event(node, ctx, touches)
        wakers = self._state.wakers
        if wakers and id in wakers and waits_for_waker(ctx):
            wakers = {other: clock for other, clock in wakers.items() if other != id}
            self._state = self._state._replace(wakers=wakers)
        if cpu in self._multi:
            offered = self._state.offered
            offered = offered | {cpu} if touches is OFFER else offered - {cpu}
            self._state = self._state._replace(offered=offered)
        op, obj, _ = ctx.pending
        kind = op.kind
        if kind is RAISE:
            if obj.id not in self._raisable:
                self._raisable.add(obj.id)
                raise NotQuiet("an interrupt is raised after all")
            self._raising = obj, obj.armed and obj.state == FRESH, obj.again
            self._stirred = True
        elif kind is SPAWN:
            self._stirred = True

    # -- what the state of the machine says ---------------------------------------------------

    def _at_boot(self) -> None:
        self._multi |= {cpu.id for cpu in door.machine.cpus if len(cpu.tasks) > 1}
        machine = self._begin()
        self._state = State(jumps=machine.clock.jumps)

    def _load(self, node: Node) -> None:
        self._begin()
        self._state = node.state

    def _begin(self) -> Machine:
        machine: Machine = door.machine
        self._machine = machine
        self._lines = {c.cpu.id for c in machine.contexts if c.kind is not TASK}
        self._choosy = self._lines | self._multi
        self._raising = None
        self._before = len(machine.contexts)
        self._stirred = True
        return machine

    def _settle(self) -> None:
        """Note who was made able to run since the last decision, and by what."""
        contexts = self._machine.contexts
        asleep, before, wakers, offered = self._state
        jumps = self._machine.clock.jumps
        woken = [id for id in asleep if contexts[id].state != SLEEPING]
        if woken or self._raising is not None or len(contexts) > self._before:
            clock = self._everything() if jumps != before else self._last()
            wakers = dict(wakers)
            for id in woken:
                wakers[id] = clock
            for id in range(self._before, len(contexts)):
                wakers[id] = clock
                cpu = contexts[id].cpu
                others = any(c.cpu is cpu and c.kind is TASK for c in contexts[:id])
                if others and cpu.id not in self._multi:
                    self._multi.add(cpu.id)
                    raise NotQuiet("a CPU has several tasks after all")
            if self._raising is not None:
                line, armed, again = self._raising
                if (line.armed and line.state == FRESH, line.again) != (armed, again):
                    wakers[line.id] = self._last()
                self._raising = None
            self._before = len(contexts)
        asleep = tuple([c.id for c in contexts if c.state == SLEEPING])
        self._state = State(asleep, jumps, wakers, offered)
        self._stirred = bool(asleep)

    def _last(self) -> list[int]:
        """The clock of the last event."""
        return []

    def _everything(self) -> list[int]:
        """The clock of all events so far."""
        return []

    def _touches_of(self, ctx: Context) -> Touches:
        touches = self._touches(ctx)
        return NOTHING if touches is None else touches

    def _touches(self, ctx: Context) -> Touches | None:
        """What ``ctx`` does next to words that matter; None if it can do so at any time."""
        op, obj, _ = ctx.pending
        try:
            number = 0 if obj is None else obj.known_as
        except AttributeError:  # nothing of ours
            number = number_of(obj)
        if number < 0:
            number = obj.known_as = number_of(obj)
        passing = op, ctx.id, number
        touches = self._known.get(passing, OFFER)
        return self._ask(passing, ctx) if touches is OFFER else touches

    def _ask(self, passing: Passing, ctx: Context) -> Touches | None:
        """The same, and remember it if it does not depend on the state."""
        op, obj, args = ctx.pending
        if op.also is not None or ctx.cpu.id in self._multi:
            return self._look_up(ctx)
        if op.fails is not None and op.fails(obj, *args):
            touches = self._failing.get(passing, OFFER)
            if touches is OFFER:
                touches = self._failing[passing] = self._look_up(ctx)
            return touches
        touches = self._look_up(ctx)
        if op.fails is None:
            self._known[passing] = touches
        if touches is None:  # nor does it touch more if it fails
            self._quiet.add(passing)
        if op.kind is not LOCK and op.kind is not SPAWN and op.kind is not RAISE:
            self._harmless.add(passing)
        return touches

    def _look_up(self, ctx: Context) -> Touches | None:
        op, obj, _ = ctx.pending
        kind = op.kind
        cpu = ctx.cpu
        touches: Touches
        if kind in SPECIAL:
            if kind is START:
                touches, alone = NOTHING, ctx.kind is TASK and cpu.id not in self._multi
            elif kind is RAISE:
                # whether it merges with another depends on how far the handler is
                touches = (Touch(self.words.number(obj, "line"), EVERY_BIT, EVERY_BIT, False),)
                alone = False
            elif kind is SPAWN:
                touches, alone = self.words.touches(ctx, ctx.pending), False
            elif kind is RESCHED:
                touches = self.words.touches(ctx, ctx.pending)
                alone = cpu.id not in self._multi
            else:
                touches, alone = NOTHING, cpu.id not in self._lines
        else:
            touches, alone = self.words.touches(ctx, ctx.pending), True
        if ctx.id in self._raisable:
            touches = (*touches, Touch(self.words.number(ctx, "line"), EVERY_BIT, EVERY_BIT, False))
            alone = False
        if touches or not alone:
            return touches
        if (
            cpu.id in self._multi
            and cpu.id not in self._state.offered
            and cpu.preemptible(self._machine.preempt)
        ):
            return OFFER
        return None


def waits_for_waker(ctx: Context) -> bool:
    """Was it made able to do what comes next, if somebody made it able to do anything?

    A line that is raised while it is being handled begins again later, and may end first.
    """
    return ctx.kind is TASK or ctx.pending[0].kind is START


def _waits(ctx: Context) -> bool:
    op, obj, _ = ctx.pending
    return op.kind is LOCK and obj.locked
