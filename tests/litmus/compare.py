# SPDX-License-Identifier: GPL-2.0-only
"""The operational model against the axioms, on one program."""

from __future__ import annotations

from mmsim.litmus.explorer import explore
from mmsim.litmus.parser import parse
from tests.litmus import axioms, programs


def disagreement(seed: int) -> str:
    """How the two differ on the random program with this seed; nothing if they do not.

    What the axioms forbid must not be shown. What they allow must be, with the same number of
    executions, if it can be laid out in time with no access delayed past a later store of its CPU.
    """
    text = programs.generate(seed)
    litmus = parse(text, f"seed {seed}")
    shown = explore(litmus).states
    expected = axioms.outcomes(litmus, machine=True)
    if shown == dict(expected):
        return ""
    allowed = axioms.outcomes(litmus)
    forbidden = [state for state in shown if state not in allowed]
    missing = [state for state in expected if state not in shown]
    counts = [
        (state, shown.get(state, 0), expected[state])
        for state in {*shown, *expected}
        if shown.get(state, 0) != expected[state]
    ]
    return (
        f"seed {seed}: forbidden but shown {forbidden}, allowed but not shown {missing}, "
        f"executions shown and expected {counts}\n{text}"
    )
