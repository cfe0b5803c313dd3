# SPDX-License-Identifier: GPL-2.0-only
"""A second opinion: the kernel memory model as axioms over candidate executions.

Nothing of the view machinery is used here. A thread is run by itself for every combination of
values that its reads could return; the runs of all threads are put together with every reads-from
and coherence order that fits; what the axioms let pass is allowed. All accesses count as marked.

Source: tools/memory-model/linux-kernel.cat, linux-kernel.bell and lock.cat, as of 6.3 and later
(with rmw-sequence). The names of the relations are theirs, with underscores.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mmsim.litmus.program import Litmus, Place, RegisterName, Value, holds, places
from tests.litmus.relations import (
    Relation,
    acyclic,
    irreflexive,
    opt,
    plus,
    seq,
    star,
    union,
    within,
)
from tests.litmus.runs import Event, Run, all_runs


class Candidate:
    """One run of every thread, put together: all that does not depend on who reads from whom."""

    def __init__(self, litmus: Litmus, chosen: Sequence[Run]) -> None:
        self.events: list[Event] = [
            Event("W", word=word, value=value) for word, value in litmus.initial.items()
        ]
        self.thread = [-1] * len(self.events)
        self.first = list(range(len(self.events)))
        for number, run in enumerate(chosen):
            offset = len(self.events)

            def moved(reads: frozenset[int], offset: int = offset) -> frozenset[int]:
                return frozenset(read + offset for read in reads)

            for event in run.events:
                partner = None if event.partner is None else event.partner + offset
                self.events.append(
                    replace(
                        event,
                        addr=moved(event.addr),
                        data=moved(event.data),
                        ctrl=moved(event.ctrl),
                        partner=partner,
                    )
                )
                self.thread.append(number)
        self.size = len(self.events)
        self.words = list(litmus.initial)

    def mask(self, *names: str) -> int:
        """Events of a kind or with a tag."""
        return sum(
            1 << number
            for number, event in enumerate(self.events)
            if event.kind in names or event.tags & set(names)
        )

    def none(self) -> Relation:
        return [0] * self.size

    def static(self) -> None:
        size, events = self.size, self.events
        self.po = [
            sum(
                1 << later
                for later in range(event + 1, size)
                if self.thread[event] >= 0 and self.thread[later] == self.thread[event]
            )
            for event in range(size)
        ]
        same = [
            sum(1 << other for other in range(size) if self.thread[other] == self.thread[event])
            for event in range(size)
        ]
        self.int = [
            row if self.thread[event] >= 0 else 1 << event for event, row in enumerate(same)
        ]
        self.r, self.w = self.mask("R"), self.mask("W")
        self.m = self.r | self.w
        po = self.po
        self.rmw, self.addr, self.data, self.ctrl = (self.none() for _ in range(4))
        for number, event in enumerate(events):
            if event.partner is not None:
                self.rmw[event.partner] |= 1 << number
            for read in event.addr:
                self.addr[read] |= 1 << number
            for read in event.data:
                self.data[read] |= 1 << number
            for read in event.ctrl:
                self.ctrl[read] |= 1 << number

        def fencerel(kind: str) -> Relation:
            fences = self.mask(kind)
            return seq(within(-1, po, fences), po)

        acquire, release, rmw = self.mask("acquire"), self.mask("release"), self.mask("rmw")
        lkw, mb_tagged = self.mask("LKW"), self.mask("mb") & self.m
        m, r, w = self.m, self.r, self.w
        r4rmb = r & ~self.mask("noreturn")
        acq_po = within(acquire, po, m)
        po_rel = within(m, po, release)
        rmb = within(r4rmb, fencerel("rmb"), r4rmb)
        wmb = within(w, fencerel("wmb"), w)
        mb = union(
            within(m, fencerel("mb"), m),
            within(m, po, mb_tagged & r),
            within(mb_tagged & w, po, m),
            within(m, seq(within(-1, fencerel("before-atomic"), rmw), opt(po)), m),
            within(m, seq(within(-1, opt(po), rmw), fencerel("after-atomic")), m),
            within(m, seq(within(-1, opt(po), lkw), fencerel("after-spinlock")), m),
        )
        sync = self.mask("synchronize")
        gp = seq(within(-1, po, sync), opt(po))
        self.strong = union(mb, gp)
        self.po_rel, self.wmb = po_rel, wmb
        self.fence = union(self.strong, po_rel, acq_po, wmb, rmb)
        dep = union(self.addr, self.data)
        self.dep = dep
        self.static_ppo = union(
            within(-1, union(dep, self.ctrl), w), within(-1, self.addr, r), self.fence
        )
        self.ul, self.lkr = self.mask("UL"), self.mask("LKR")
        self.after_unlock_lock = self.mask("after-unlock-lock")
        self.sync = sync
        self.rscsi = self.sections()
        self.has_rcu = bool(sync and any(self.rscsi))
        self.to_store = within(m, po, w)

    def sections(self) -> Relation:
        """rcu_read_unlock() -> the rcu_read_lock() it belongs to, of outermost sections."""
        found = self.none()
        opened: dict[int, list[int]] = {}
        for number, event in enumerate(self.events):
            stack = opened.setdefault(self.thread[number], [])
            if event.kind == "rcu-lock":
                stack.append(number)
            elif event.kind == "rcu-unlock":
                lock = stack.pop()
                if not stack:
                    found[number] |= 1 << lock
        return found

    def orders(self, word: str) -> list[tuple[list[int], dict[int, int]]]:
        """Every coherence order of a word, each with every coherent and atomic reads-from."""
        first = self.words.index(word)
        by_thread: dict[int, list[int]] = {}
        for number, event in enumerate(self.events):
            if number >= len(self.words) and event.word == word:
                by_thread.setdefault(self.thread[number], []).append(number)
        writes = [
            [number for number in numbers if self.events[number].kind == "W"]
            for numbers in by_thread.values()
        ]
        found = []
        for order in merges(writes):
            line = [first, *order]
            at = {write: position for position, write in enumerate(line)}
            per_thread = [list(self.readings(numbers, line, at)) for numbers in by_thread.values()]
            for parts in itertools.product(*per_thread):
                found.append((line, {r: w for part in parts for r, w in part.items()}))
        return found

    def readings(
        self, numbers: list[int], line: list[int], at: dict[int, int]
    ) -> Iterator[dict[int, int]]:
        """What a thread's reads of a word may read from, if its accesses never go back."""

        def go(index: int, low: int, chosen: dict[int, int]) -> Iterator[dict[int, int]]:
            if index == len(numbers):
                yield chosen
                return
            number = numbers[index]
            event = self.events[number]
            if event.kind == "W":
                position = at[number]
                if event.partner is not None:  # nothing between the two halves of an atomic
                    if position == at[chosen[event.partner]] + 1:
                        yield from go(index + 1, position, chosen)
                elif position > low:
                    yield from go(index + 1, position, chosen)
                return
            for position in range(low, len(line)):
                if self.events[line[position]].value == event.value:
                    # A write of the own thread that is still to come cannot be read.
                    if line[position] in numbers[index + 1 :]:
                        break
                    yield from go(index + 1, position, {**chosen, number: line[position]})

        yield from go(0, 0, {})


def merges(lists: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """All orders of all elements that keep each list in its own order."""
    lists = [part for part in lists if part]
    if not lists:
        yield ()
        return
    for place, part in enumerate(lists):
        rest = [*lists[:place], part[1:], *lists[place + 1 :]]
        for tail in merges(rest):
            yield (part[0], *tail)


def allowed(
    candidate: Candidate, lines: Sequence[list[int]], rf_of: dict[int, int], *, machine: bool
) -> bool:
    """Whether the axioms let an execution pass.

    ``machine``: and it can be laid out in time so that nothing is delayed past a later store of its
    thread and stores reach memory in coherence order, which is how the operational model works.
    """
    c = candidate
    size = c.size
    rf, co, fr = [0] * size, [0] * size, [0] * size
    later: dict[int, int] = {}
    for line in lines:
        behind = 0
        for write in reversed(line):
            co[write] = behind
            later[write] = behind
            behind |= 1 << write
    for read, write in rf_of.items():
        rf[write] |= 1 << read
        fr[read] = later[write]
    internal = c.int
    rfe = [row & ~same for row, same in zip(rf, internal, strict=True)]
    rfi = [row & same for row, same in zip(rf, internal, strict=True)]
    overwrite = union(co, fr)
    po = c.po
    strong, fence = c.strong, c.fence
    pulp = c.none()
    if c.ul:
        pulp = seq(within(-1, seq(within(-1, po, c.ul), union(po, rf)), c.lkr), po)
        if c.after_unlock_lock:
            more = seq(within(c.m, pulp, c.after_unlock_lock), within(-1, po, c.m))
            strong, fence = union(strong, more), union(fence, more)
    to_r = seq(c.dep, rfi)
    ppo = [
        static | read | ((over | passed | fenced) & same)
        for static, read, over, passed, fenced, same in zip(
            c.static_ppo, to_r, overwrite, pulp, fence, internal, strict=True
        )
    ]
    cumul_fence = union(seq(opt(rfe), union(strong, c.po_rel)), c.wmb, pulp)
    if any(c.rmw):
        cumul_fence = seq(cumul_fence, star(seq(rf, c.rmw)))
    over_ext = [row & ~same for row, same in zip(overwrite, internal, strict=True)]
    prop = seq(seq(opt(over_ext), star(cumul_fence)), opt(rfe))
    hb = [
        preserved | read | (row & same & ~(1 << event))
        for event, (preserved, read, row, same) in enumerate(
            zip(ppo, rfe, prop, internal, strict=True)
        )
    ]
    hb_plus = plus(hb)
    if not irreflexive(hb_plus):
        return False
    hb_star = opt(hb_plus)
    pb = seq(seq(prop, strong), hb_star)
    pb_plus = plus(pb)
    if not irreflexive(pb_plus):
        return False
    rb = c.none()
    if c.has_rcu:
        rb = _rb(c, prop, hb_star, opt(pb_plus))
        if not irreflexive(rb):
            return False
    return not machine or acyclic(union(hb, pb, rb, co, c.to_store))


def _rb(c: Candidate, prop: Relation, hb_star: Relation, pb_star: Relation) -> Relation:
    po = c.po
    onward = seq(hb_star, pb_star)
    link = seq(seq(seq(opt(po), onward), prop), po)
    grace = [1 << event if c.sync >> event & 1 else 0 for event in range(c.size)]
    order = union(grace, seq(seq(grace, link), c.rscsi), seq(seq(c.rscsi, link), grace))
    while True:
        between = seq(seq(link, order), link)
        wider = union(
            order,
            seq(seq(grace, between), c.rscsi),
            seq(seq(c.rscsi, between), grace),
            seq(seq(order, link), order),
        )
        if wider == order:
            break
        order = wider
    return seq(seq(seq(seq(prop, po), order), opt(po)), onward)


class TooMany(Exception):
    """More candidate executions than it is worth to look at."""


def combinations(litmus: Litmus) -> Iterator[tuple[Run, ...]]:
    """A run of every thread, such that somebody writes what is read."""
    initial = set(litmus.initial.items())
    threads = [
        [
            (
                run,
                {(event.word, event.value) for event in run.events if event.kind == "W"},
                {(event.word, event.value) for event in run.events if event.kind == "R"},
            )
            for run in found
        ]
        for found in all_runs(litmus)
    ]
    for chosen in itertools.product(*threads):
        written = initial.union(*(writes for _, writes, _ in chosen))
        if all(reads <= written for _, _, reads in chosen):
            yield tuple(run for run, _, _ in chosen)


def outcomes(
    litmus: Litmus, *, machine: bool = False, count: bool = True, most: int | None = None
) -> Counter[tuple[Value, ...]]:
    """Final states of the allowed executions, each with the number of those (1 without ``count``).

    Raises TooMany if there are more than ``most`` candidates.
    """
    found: Counter[tuple[Value, ...]] = Counter()
    looked_at = 0
    for chosen in combinations(litmus):
        candidate = Candidate(litmus, chosen)
        per_word = [candidate.orders(word) for word in candidate.words]
        if not all(per_word):
            continue
        candidate.static()
        for choice in itertools.product(*per_word):
            looked_at += 1
            if most is not None and looked_at > most:
                raise TooMany
            state = _final(litmus, candidate, chosen, [line for line, _ in choice])
            if litmus.filter is not None and not holds(litmus.filter, state):
                continue
            end = tuple(state[place] for place in litmus.observed)
            if not count and end in found:
                continue
            rf_of = {read: write for _, reads in choice for read, write in reads.items()}
            if allowed(candidate, [line for line, _ in choice], rf_of, machine=machine):
                found[end] += 1
    return found


def satisfies(litmus: Litmus, state: Sequence[Value]) -> bool:
    """Whether the condition speaks of a final state."""
    return holds(litmus.condition, dict(zip(litmus.observed, state, strict=True)))


def _final(
    litmus: Litmus, candidate: Candidate, chosen: Sequence[Run], lines: Sequence[list[int]]
) -> dict[Place, Value]:
    state: dict[Place, Value] = {}
    shown = set(litmus.observed) | set(places(litmus.filter) if litmus.filter else ())
    for place in shown:
        if isinstance(place, RegisterName):
            number = litmus.threads[place.thread].registers.index(place.name)
            state[place] = chosen[place.thread].registers[number]
        else:
            line = lines[candidate.words.index(place.name)]
            state[place] = candidate.events[line[-1]].value
    return state
