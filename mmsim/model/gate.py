# SPDX-License-Identifier: GPL-2.0-only
"""Gates: named patches and mutations, on or off for a machine.

Inside one version of a function a patch is ``if patched("name"):`` with both sides adjacent.
Every gate is declared once, with who proposed it and when; a name nobody declared is an error at
the first run that meets it, and a test finds it before that.
"""

from dataclasses import dataclass

from mmsim.engine.door import door


@dataclass(frozen=True)
class Gate:
    """``kind`` is "patch" (somebody proposed or merged it) or "mutation" (ours, to learn from)."""

    name: str
    thread: str
    date: str
    author: str
    meaning: str
    kind: str = "patch"


GATES: dict[str, Gate] = {}


class UndeclaredGate(KeyError):
    """``patched`` or a variant names a gate that is not declared."""


def declare(*gates: Gate) -> None:
    """Enter gates in the table.  Raises ValueError if a name is taken by another gate."""
    for gate in gates:
        if GATES.get(gate.name, gate) != gate:
            raise ValueError(f"gate {gate.name!r} is declared twice")
        GATES[gate.name] = gate


def patched(name: str) -> bool:
    """Is this gate on for the booted kernel?  Raises UndeclaredGate."""
    if name in door.machine.gates:
        return True
    if name not in GATES:
        raise UndeclaredGate(name)
    return False
