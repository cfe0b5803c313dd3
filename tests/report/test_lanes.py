# SPDX-License-Identifier: GPL-2.0-only
"""Lanes: order, columns, merging, and what is left out."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from mmsim.engine.events import Event
from mmsim.engine.op import Op
from mmsim.report import lanes

PAGE = "pfn:00011"


class Who(NamedTuple):
    entity: int
    comm: str
    pid: int
    cpu: int
    context: str


RM = Who(3, "rm", 9, 0, "task")
BTTV = Who(1, "bttv", 101, 0, "hardirq")
KSWAPD = Who(2, "kswapd", 4, 1, "task")


class Trace(list[Event]):
    """Events numbered as they are added."""

    def add(
        self,
        who: Who,
        kind: str,
        func: str = "f",
        name: str = "",
        value: Any = None,
        obj: str = PAGE,
    ) -> None:
        op = Op(kind, label=name)
        self.append(Event(len(self) + 1, *who, op, obj, value, None, None, func, "/mmsim/f.py", 1))


def double_free() -> Trace:
    trace = Trace()
    trace.add(RM, "read", "do_wp_page", "count", 1)
    trace.add(BTTV, "irq-enter", obj="")
    trace.add(BTTV, "rmw", "put_page_testzero", "count", 0)
    trace.add(KSWAPD, "lock", "shrink_cache", obj="pagemap_lru_lock", value=True)
    trace.add(KSWAPD, "read", "shrink_cache", "PG_lru", True)
    trace.add(KSWAPD, "read", "shrink_cache", "count", 0)
    trace.add(KSWAPD, "write", "list_del", "next", "x", obj="inactive_list")
    trace.add(KSWAPD, "rmw", "__lru_cache_del", "PG_lru", 1)
    trace.add(KSWAPD, "write", "__free_pages_ok", "flags", 0)
    trace.add(BTTV, "read", "__free_pages_ok", "PG_lru", 0)
    trace.add(BTTV, "write", "__free_pages_ok", "flags", 0)
    trace.add(BTTV, "irq-exit", obj="")
    trace.add(KSWAPD, "unlock", "shrink_cache", obj="pagemap_lru_lock")
    trace.add(RM, "read", "do_wp_page", "flags", 0)
    return trace


def test_the_story_of_the_double_free() -> None:
    left = 46 + 7
    wanted = [
        ("step   CPU0 rm/9".ljust(left), "CPU1 kswapd/4"),
        ("1      do_wp_page: count == 1", ""),
        ("2      irq enter bttv/101 (hardirq)", ""),
        ("3      put_page_testzero: count -> 0", ""),
        ("4".ljust(left), "LOCK pagemap_lru_lock"),
        ("5".ljust(left), "shrink_cache: PG_lru == 1, count == 0"),
        ("8".ljust(left), "__lru_cache_del: PG_lru -> 1"),
        ("9".ljust(left), "__free_pages_ok: flags = 0"),
        ("10     __free_pages_ok: PG_lru == 0, flags = 0", ""),
        ("12     irq exit bttv/101 (hardirq)", ""),
        ("13".ljust(left), "UNLOCK pagemap_lru_lock"),
        ("       [rm/9]", ""),
        ("14     do_wp_page: flags == 0", ""),
    ]
    assert lanes(double_free(), PAGE).splitlines() == ["".join(pair) for pair in wanted]


def test_objects_out_of_focus_are_left_out_but_locks_are_not() -> None:
    text = lanes(double_free(), PAGE)
    assert "inactive_list" not in text
    assert "LOCK pagemap_lru_lock" in text
    everything = lanes(double_free())
    assert "inactive_list next = x" in everything
    assert "pfn:00011 count == 1" in everything


def test_nothing_about_the_focus_gives_nothing() -> None:
    assert lanes(double_free(), "pfn:00099") == ""
    assert lanes([], PAGE) == ""


def test_only_the_end_is_shown_and_the_cut_is_said() -> None:
    text = lanes(double_free(), PAGE, limit=3)
    assert text.startswith("(8 earlier lines not shown)\nstep   CPU0 bttv/101 (hardirq)")
    steps = [int(match) for match in re.findall(r"^(\d+) ", text, re.MULTILINE)]
    assert steps == [12, 13, 14]


def test_a_call_interrupted_by_another_cpu_is_not_merged() -> None:
    trace = Trace()
    for who in (RM, KSWAPD, RM, RM):
        trace.add(who, "read", "f", "count", 1)
    steps = re.findall(r"^(\d+) ", lanes(trace, PAGE), re.MULTILINE)
    assert steps == ["1", "2", "3"]
    assert "f: count == 1 (x2)" in lanes(trace, PAGE)


def test_at_most_four_cpus_those_that_came_last() -> None:
    trace = Trace()
    for cpu in range(6):
        trace.add(Who(cpu, f"t{cpu}", cpu, cpu, "task"), "read", f"f{cpu}", "count", cpu)
    trace.add(Who(0, "t0", 0, 0, "task"), "rmw", "g", "count", 9)
    text = lanes(trace, PAGE)
    assert text.startswith("(CPU1, CPU2 took part as well: not shown)\n")
    header = text.splitlines()[1]
    assert re.findall(r"CPU\d", header) == ["CPU0", "CPU3", "CPU4", "CPU5"]
    assert "f1:" not in text
    assert max(map(len, text.splitlines())) <= 104


def test_a_spinning_cpu_is_said_once() -> None:
    trace = Trace()
    trace.add(RM, "read", "f", "count", 1)
    trace.add(KSWAPD, "read", "g", "count", 1)
    for _ in range(5):
        trace.add(RM, "spin", obj="lru_lock")
        trace.add(KSWAPD, "spin", obj="zone_lock")
    text = lanes(trace, PAGE)
    assert text.count("SPIN lru_lock") == text.count("SPIN zone_lock") == 1


def test_lock_words() -> None:
    trace = Trace()
    trace.add(RM, "read", "f", "count", 1)
    trace.add(RM, "irq-off", obj="")
    trace.add(RM, "lock", obj="lru_lock", value=True)
    trace.add(RM, "unlock", obj="lru_lock")
    trace.add(RM, "irq-on", obj="")
    trace.add(RM, "lock", obj="ptl", value=True)
    trace.add(RM, "trylock", obj="other", value=False)
    trace.add(RM, "down", obj="mmap_lock", value=False)
    trace.add(RM, "sleep", obj="rm/9")
    rows = [line[7:] for line in lanes(trace, PAGE).splitlines()[2:]]
    assert rows == [
        "LOCK lru_lock (irqs off)",
        "UNLOCK lru_lock",
        "LOCK ptl",
        "TRYLOCK other -> 0",
        "DOWN mmap_lock (queued)",
        "sleep rm/9",
    ]


def test_effects() -> None:
    trace = Trace()
    for kind, value in (
        ("read-once", 1),
        ("load-acquire", 2),
        ("write-once", 3),
        ("store-release", 4),
        ("rmw-relaxed", 0x12345),
        ("write", None),
        ("rmw", True),
    ):
        trace.add(RM, kind, f"f_{kind}", "x", value)
    rows = [line[7:].split(": ", 1)[1] for line in lanes(trace, PAGE).splitlines()[1:]]
    assert rows == ["x == 1", "x == 2", "x = 3", "x = 4", "x -> 0x12345", "write x", "x -> 1"]


def test_long_lines_wrap_inside_their_lane() -> None:
    trace = Trace()
    trace.add(KSWAPD, "read", "g", "count", 1)
    for field in "abcdefghij":
        trace.add(RM, "read", "release_pages_v5_17", f"field_{field}", 1)
    lines = lanes(trace, PAGE).splitlines()
    assert len(lines) > 4
    assert all(len(line) <= 7 + 46 for line in lines[2:])
    joined = " ".join(line[7:].strip() for line in lines[2:])
    assert joined.startswith("release_pages: field_a == 1, field_b == 1,")
    assert joined.endswith("field_j == 1")


def told(op: Op, value: Any = None, old: Any = None, new: Any = None, file: str = "") -> str:
    """The one line of one event, without its step."""
    event = Event(1, *RM, op, PAGE, value, old, new, "f", file or "/mmsim/f.py", 7)
    return lanes([event], PAGE).splitlines()[-1].split(maxsplit=1)[1]


def test_what_an_operation_did_is_said_in_one_way() -> None:
    flag = Op("rmw", "flags", label="flags:lru", verb="test_and_clear")
    count = Op("rmw", "count")
    assert told(flag, True, 64, 0) == "f: test_and_clear lru: was 1"
    assert told(Op("rmw-relaxed", "flags", label="flags:lru", verb="set")) == "f: set lru"
    assert told(count, 3, 2, 3) == "f: count 2 -> 3"
    assert told(count, False, 0, 0) == "f: count stays 0"
    assert told(Op("write", "mapping"), None, "inode", None) == "f: write mapping"
    assert told(Op("write", "index"), None, 3, 4) == "f: index = 4"


def test_the_users_own_code_is_named_by_file_and_line() -> None:
    assert (
        told(Op("read", "count"), 1, file="/home/me/my_race.py") == "f (my_race.py:7): count == 1"
    )


def test_where_a_context_stands_at_the_end_is_kept() -> None:
    trace = Trace()
    trace.add(RM, "read", "f", "count", 1)
    trace.add(RM, "read", "g", "next", 2, obj="inactive_list")
    trace.add(RM, "read", "g", "prev", 3, obj="inactive_list")
    text = lanes(trace, PAGE)
    assert "inactive_list prev == 3" in text
    assert "next" not in text
