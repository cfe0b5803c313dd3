# SPDX-License-Identifier: GPL-2.0-only
"""A search in a file, to go on with later.

JSON, so that nothing in it is ever executed.  It names what is explored and the code that did it:
with other code the same choices may lead elsewhere.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmsim.engine.explore import Frame, Knowledge, Step, Twig
from mmsim.errors import UsageError
from mmsim.exploration.explorer import Found, Question
from mmsim.exploration.tree import Tree

FORMAT = "mmsim-explore-2"


@dataclass(frozen=True)
class Checkpoint:
    """What a file says: the question, the code's hash, the tree, and the seconds it has taken."""

    question: Question
    code: str
    tree: Tree
    seconds: float

    def save(self, file: Path) -> None:
        """Write it; what was there before is replaced at once or not at all."""
        tree = self.tree
        data = {
            "format": FORMAT,
            "question": asdict(self.question),
            "code": self.code,
            "seconds": round(self.seconds, 3),
            "knowledge": tree.knowledge._asdict(),
            "counts": [tree.executions, tree.blocked, tree.cut, tree.restarts],
            "complete": tree.complete,
            "findings": [list(found) for found in tree.findings.values()],
            "reversed": [[*what, n] for what, n in tree.reversed.items()],
            "frames": [_frame_out(frame) for frame in tree.frames],
        }
        beside = file.with_name(file.name + ".new")
        beside.write_text(json.dumps(data) + "\n")
        os.replace(beside, file)


def load(file: Path) -> Checkpoint:
    """Raises UsageError for a file that is none of ours."""
    try:
        data = json.loads(file.read_text())
    except OSError as error:
        raise UsageError(f"--resume: {file}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--resume: {file} is no saved search: {error}") from error
    try:
        if data["format"] != FORMAT:
            raise UsageError(f"--resume: {file} has format {data['format']!r}, not {FORMAT!r}")
        executions, blocked, cut, restarts = map(int, data["counts"])
        tree = Tree(
            frames=[_frame_in(frame) for frame in data["frames"]],
            knowledge=Knowledge(
                [str(word) for word in data["knowledge"]["words"]],
                [int(cpu) for cpu in data["knowledge"]["multi"]],
                [int(line) for line in data["knowledge"]["raisable"]],
            ),
            executions=executions,
            blocked=blocked,
            cut=cut,
            restarts=restarts,
            complete=bool(data["complete"]),
            findings={found[0]: Found(*found) for found in data["findings"]},
            reversed=Counter({(one, other): int(n) for one, other, n in data["reversed"]}),
        )
        question = Question(**data["question"])
        return Checkpoint(question, str(data["code"]), tree, float(data["seconds"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"--resume: {file} is no saved search: {type(error).__name__}: {error}"
        ) from error


def _frame_out(frame: Frame) -> list[Any]:
    then = [twig.flat() for twig in frame.then.values()]
    return [frame.cur, frame.can, frame.back, frame.done, list(frame.sleep.values()), then]


def _frame_in(frame: Any) -> Frame:
    cur, *lists, asleep, then = frame
    can, back, done = (tuple([int(id) for id in ids]) for ids in lists)
    sleep = [_step_in(step) for step in asleep]
    twigs = [Twig.of([(int(i), _step_in(step)) for i, step in flat]) for flat in then]
    return Frame(
        int(cur),
        can,
        back,
        done,
        {step.ctx: step for step in sleep},
        {twig.step.ctx: twig for twig in twigs},
    )


def _step_in(step: Any) -> Step:
    id, process, touches = step
    if touches is not None:
        touches = tuple([(str(w), str(r), str(x), bool(takes)) for w, r, x, takes in touches])
    return Step(int(id), int(process), touches)
