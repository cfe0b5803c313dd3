# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a litmus test: as herd7 prints it, and as JSON.

`Positive` and `Negative` say how many executions the whole condition, quantifier and all, has for
and against it; `Observation` how many end in a state that it speaks of, and how many do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmsim.litmus.program import Litmus, Model, Outcome, Value, Verdict, holds, in_words

_KINDS = {"exists": "Allowed", "~exists": "Forbidden", "forall": "Required"}


@dataclass(frozen=True)
class Report:
    """A test and what came of it."""

    litmus: Litmus
    model: Model
    outcome: Outcome
    seconds: float

    def hits(self, state: Sequence[Value]) -> bool:
        """Whether the condition speaks of this state."""
        return holds(self.litmus.condition, dict(zip(self.litmus.observed, state, strict=True)))

    @property
    def observed(self) -> int:
        """Executions that end in a state that the condition speaks of."""
        return sum(n for state, n in self.outcome.states.items() if self.hits(state))

    @property
    def others(self) -> int:
        return sum(self.outcome.states.values()) - self.observed

    @property
    def verdict(self) -> Verdict:
        if not self.observed:
            return "Never"
        return "Sometimes" if self.others else "Always"

    @property
    def satisfied(self) -> bool:
        """Whether the condition as a whole holds."""
        match self.litmus.quantifier:
            case "exists":
                return self.observed > 0
            case "~exists":
                return self.observed == 0
            case "forall":
                return self.others == 0

    @property
    def as_expected(self) -> bool:
        """Whether a comment `Result:` in the file is right, if there is one."""
        return self.litmus.expected in (None, self.verdict)

    def flags(self) -> Iterator[str]:
        """What the reader should know before he believes the rest."""
        if self.litmus.plain:
            yield "plain accesses count as READ_ONCE() and WRITE_ONCE(); races are not looked for"
        if self.outcome.stuck:
            yield "deadlock: some executions never end; they are not counted"

    def text(self) -> str:
        """Without a line end."""
        litmus = self.litmus
        states = sorted(self.outcome.states, key=lambda state: [_sortable(v) for v in state])
        positive, negative = self.observed, self.others
        if litmus.quantifier == "~exists":
            positive, negative = negative, positive
        lines = [f"Test {litmus.name} {_KINDS[litmus.quantifier]}", f"States {len(states)}"]
        lines += [self._state(state) for state in states]
        lines += ["Ok" if self.satisfied else "No", "Witnesses"]
        lines.append(f"Positive: {positive} Negative: {negative}")
        lines += [f"Flag {flag}" for flag in self.flags()]
        lines.append(f"Condition {litmus.quantifier} ({in_words(litmus.condition)})")
        lines.append(f"Histogram ({len(states)} states)")
        width = max((len(str(n)) for n in self.outcome.states.values()), default=1)
        for state in states:
            mark = "*>" if self.hits(state) else ":>"
            lines.append(f"{self.outcome.states[state]:<{width}} {mark}{self._state(state)}")
        numbers = f"{self.observed} {self.others}"
        lines.append(f"Observation {litmus.name} {self.verdict} {numbers}")
        lines.append(f"Time {litmus.name} {self.seconds:.2f}")
        if not self.as_expected:
            lines.append(f"Unexpected: the file says Result: {litmus.expected}")
        return "\n".join(lines)

    def _state(self, state: Sequence[Value]) -> str:
        parts = zip(self.litmus.observed, state, strict=True)
        return " ".join(f"{place}={value};" for place, value in parts)

    def document(self) -> dict[str, Any]:
        """For --json. Values are numbers, and names for addresses."""
        litmus = self.litmus
        return {
            "file": litmus.file,
            "name": litmus.name,
            "memory": self.model,
            "verdict": self.verdict,
            "expected": litmus.expected,
            "quantifier": litmus.quantifier,
            "condition": in_words(litmus.condition),
            "satisfied": self.satisfied,
            "observed": self.observed,
            "others": self.others,
            "flags": list(self.flags()),
            "states": [
                {
                    "values": {
                        str(place): value
                        for place, value in zip(litmus.observed, state, strict=True)
                    },
                    "executions": executions,
                    "condition": self.hits(state),
                }
                for state, executions in sorted(
                    self.outcome.states.items(), key=lambda item: [_sortable(v) for v in item[0]]
                )
            ],
            "explored": self.outcome.explored,
            "seconds": round(self.seconds, 3),
        }


def _sortable(value: Value) -> tuple[int, int, str]:
    return (0, value, "") if isinstance(value, int) else (1, 0, value)
