# SPDX-License-Identifier: GPL-2.0-only
"""The tree of a search as it stands: what is explored, what is known to be needed, what was found.

It is what processes share, and what a file keeps of a search that is to go on later.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from mmsim.engine.explore import ADDED, Frame, Knowledge, add, explored, meet_spelled
from mmsim.exploration.explorer import Found, Part

Path = tuple[int, ...]
Key = tuple[Path, tuple[tuple[int, int], ...]]
ROOT = (-1,)


@dataclass
class Tree:
    """``frames`` are the nodes under way; the last one's ``cur`` is to be explored next."""

    frames: list[Frame] = field(default_factory=list)
    knowledge: Knowledge = field(default_factory=lambda: Knowledge([], [], []))
    executions: int = 0
    blocked: int = 0
    cut: int = 0
    restarts: int = 0
    complete: bool = False
    findings: dict[str, Found] = field(default_factory=dict)
    reversed: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def first(self) -> int | None:
        """Executions up to the first finding."""
        return min((found.nth for found in self.findings.values()), default=None)

    def explored(self) -> float:
        """A guess at the explored part: 0 to 1."""
        return 1.0 if self.complete else explored(self.frames)

    @property
    def key(self) -> Key:
        """Of the branch that comes next."""
        return key(self.frames)

    def branches(self, most: int) -> list[list[Frame]]:
        """Branches that are certain to be needed, at most so many; the next one first.

        More may have to come in a branch until its turn has come: see :func:`key`.
        """
        out = [list(self.frames)]
        for depth in range(len(self.frames) - 1, -1, -1):
            frame = self.frames[depth]
            done = (*frame.done, frame.cur)
            for other in frame.back:
                if other in done:
                    continue
                if len(out) >= most:
                    return out
                turned = replace(frame, cur=other, done=done)
                out.append([*self.frames[:depth], turned])
                done += (other,)
        return out

    def take(self, part: Part) -> None:
        """The next branch is explored, or broken off: go to the one after it."""
        for found in part.findings:
            if found.title not in self.findings:
                self.findings[found.title] = found._replace(nth=self.executions + found.nth)
        self.executions += part.executions
        self.blocked += part.blocked
        self.cut += part.cut
        self.reversed.update(part.reversed)
        for depth, steps, what in part.requests:
            frame = self.frames[depth]
            begun = [frame.then[id].step for id in (*frame.done, frame.cur)]
            begun += frame.sleep.values()
            if add(frame, begun, steps, meet_spelled) == ADDED and what[0]:
                self.reversed[what] += 1
        if part.rest:
            self.frames += part.rest
        else:
            self._turn()

    def _turn(self) -> None:
        while self.frames:
            frame = self.frames[-1]
            frame.done += (frame.cur,)
            for other in frame.back:
                if other not in frame.done:
                    frame.cur = other
                    return
            self.frames.pop()
        self.complete = True

    def start_again(self, knowledge: Knowledge) -> None:
        """A word was not quiet: nothing that was explored counts."""
        known = self.knowledge
        fresh = Tree(
            knowledge=Knowledge(
                sorted({*known.words, *knowledge.words}),
                sorted({*known.multi, *knowledge.multi}),
                sorted({*known.raisable, *knowledge.raisable}),
            ),
            restarts=self.restarts + 1,
        )
        self.__dict__.update(fresh.__dict__)


def key(frames: list[Frame]) -> Key:
    """The choices that lead to a branch, and what is to come in it: that may grow."""
    if not frames:
        return ROOT, ()
    last = frames[-1]
    twig = last.then.get(last.cur)
    to_come = () if twig is None else tuple([(i, step.ctx) for i, step in twig.flat()])
    return tuple([frame.cur for frame in frames]), to_come
