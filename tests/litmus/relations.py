# SPDX-License-Identifier: GPL-2.0-only
"""Relations over the events 0..n-1 of an execution: for each event a bit mask of successors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

Relation = list[int]


def bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def union(*relations: Relation) -> Relation:
    return [reduce(int.__or__, rows) for rows in zip(*relations, strict=True)]


def seq(first: Relation, second: Relation) -> Relation:
    """first ; second"""
    composed = []
    for row in first:
        reached = 0
        while row:
            low = row & -row
            reached |= second[low.bit_length() - 1]
            row ^= low
        composed.append(reached)
    return composed


def opt(relation: Relation) -> Relation:
    """relation?"""
    return [row | 1 << event for event, row in enumerate(relation)]


def plus(relation: Relation) -> Relation:
    closed = list(relation)
    for middle, _ in enumerate(closed):
        bit, row = 1 << middle, closed[middle]
        if row:
            for event, other in enumerate(closed):
                if other & bit:
                    closed[event] = other | row
            # A row that reaches itself may have grown, but by nothing new.
    return closed


def star(relation: Relation) -> Relation:
    return opt(plus(relation))


def inverse(relation: Relation) -> Relation:
    turned = [0] * len(relation)
    for event, row in enumerate(relation):
        for other in bits(row):
            turned[other] |= 1 << event
    return turned


def within(domain: int, relation: Relation, codomain: int) -> Relation:
    """[domain] ; relation ; [codomain]"""
    return [row & codomain if domain >> event & 1 else 0 for event, row in enumerate(relation)]


def irreflexive(relation: Relation) -> bool:
    return not any(row >> event & 1 for event, row in enumerate(relation))


def acyclic(relation: Relation) -> bool:
    return irreflexive(plus(relation))
