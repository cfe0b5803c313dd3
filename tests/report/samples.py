# SPDX-License-Identifier: GPL-2.0-only
"""Findings to print: one plausible value for each kind, in each era it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mmsim.detect.finding import Finding, Frame, PageSnapshot


class Verdict(Enum):
    SOMETIMES = "Sometimes"


@dataclass(frozen=True)
class Scenario:
    name: str = "double_free_2002"


@dataclass(frozen=True)
class Variant:
    id: str = "002.flawed"
    summary: str = "a page at count 0 is freed by whoever sees it first"
    expect: Verdict = Verdict.SOMETIMES
    gates: tuple[str, ...] = ("hugh-2002-02-07",)
    config: Mapping[str, Any] = field(default_factory=dict)
    scenario: Scenario = field(default_factory=Scenario)


STACK = (
    Frame("release_pages_v5_4", "mmsim/lru.py", 57, 0x194, 0x358, "mm/swap.c"),
    Frame("__pagevec_release", "mmsim/lru.py", 210, 0x28, 0x44, "mm/swap.c"),
    Frame("shmem_undo_range", "mmsim/shmem.py", 31, 0x358, 0x714, "mm/shmem.c"),
)

ANON = 0xFFFF888100C3A001

# address, lru.next, lru.prev and a raw struct for each era
_PAGES: dict[str, tuple[int, int, int, tuple[int, ...]]] = {
    "2.4.18-pre9": (0xC1000440, 0xC0287E40, 0xC0287E40, ()),
    "3.13": (0xFFFFEA0000000440, 0xDEAD000000100100, 0xDEAD000000200200, ()),
    "4.19": (
        0xFFFFEA0105CA9380,
        0xDEAD000000000100,
        0xDEAD000000000200,
        (
            0x0500000000008100,
            0xDEAD000000000100,
            0xDEAD000000000200,
            0xFFFF88FF7712C180,
            0,
            0x80200020,
            0x1FFFFFFFF,
            0,
        ),
    ),
    "5.4": (
        0xD435E280,
        0x100,
        0x122,
        (0x40000030, 0x100, 0x122, 0xC3A001, 7, 0, 0x1_FFFFFFFF, 0xC2),
    ),
    "5.17": (
        0xFFFFEA0000000440,
        0xDEAD000000000100,
        0xDEAD000000000122,
        (0x30, 0xDEAD000000000100, 0xDEAD000000000122, ANON, 7, 0, 0xFFFFFFFF, 0x10),
    ),
}
ERAS = tuple(_PAGES)


def page(era: str, **changes: Any) -> PageSnapshot:
    address, following, previous, raw = _PAGES["2.4.18-pre9" if era.startswith("2.4") else era]
    values: dict[str, Any] = {
        "pfn": 0x11,
        "era": era,
        "ref": 0,
        "mapcount": None if era.startswith("2.4") else 0,
        "flags": 0x30,
        "flag_names": ("lru", "active"),
        "mapping": "",
        "index": 7,
        "private": 0,
        "lru_next": following,
        "lru_prev": previous,
        "memcg": "",
        "node": 0,
        "order": 0,
        "address": address,
        "raw": raw,
        "history": ("allocated by rm/6172 (cpu 0)", "freed by kswapd0/77 (cpu 1)"),
    }
    return PageSnapshot(**(values | changes))


def finding(kind: str, title: str, era: str, **changes: Any) -> Finding:
    values: dict[str, Any] = {
        "kind": kind,
        "title": title,
        "where": "release_pages",
        "comm": "rm",
        "pid": 6172,
        "cpu": 1,
        "context": "task",
        "frames": STACK,
        "page": page(era),
        "locks": ("lru_lock",),
        "detail": (),
        "era": era,
        "cpus": 8,
        "preempt": True,
        "step": 57,
    }
    return Finding(**(values | changes))
