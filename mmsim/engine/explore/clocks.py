# SPDX-License-Identifier: GPL-2.0-only
"""Vector clocks: how many events of each CPU somebody has seen.

Mattern, "Virtual Time and Global States of Distributed Systems", 1989.
"""

from __future__ import annotations


def join(one: list[int], other: list[int]) -> list[int]:
    """What both clocks have seen.  An empty one has seen nothing."""
    if not one:
        return other.copy()
    if not other:
        return one.copy()
    return [a if a > b else b for a, b in zip(one, other, strict=True)]


def see(clock: list[int], other: list[int]) -> None:
    """Let ``clock`` have seen what the other has, which is not empty."""
    for i, n in enumerate(other):
        if n > clock[i]:
            clock[i] = n
