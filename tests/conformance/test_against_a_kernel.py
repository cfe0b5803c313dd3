# SPDX-License-Identifier: GPL-2.0-only
"""Do our functions call in the order in which a real kernel's do?

Linux 6.1 and 5.10, which bracket 5.17 and still have most of what 5.4, 4.19 and 3.13 had, were
traced; the parts that matter are in traces/.  Both sides are reduced to the symbols that are
visible in both, and what is compared are sets of orders, not numbers: a kernel's trace is one run
of one machine, and ours are a few.  docs/conformance.md says what agrees and what does not.

Every rule is a function that is applied to both sides, so a rule that a kernel breaks is wrong, and
a rule that only we break is ours to mend.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from mmsim.compaction_zone import compact_zone
from mmsim.truncate import truncate_inode_pages
from tests.kernel.lru_pages import machine, tmpfs
from tests.kernel.test_compaction import Memory

from .ours import called, ours
from .tree import TRACES, Call, Trace, parse, trace

KERNELS = ("5.10", "6.1")
RELEASES = tuple(
    f"{what}_{kernel}" for what in ("release_munmap", "release_unlink") for kernel in KERNELS
)

# What the versions call by different names.
SAME = {
    "folio_lruvec_lock_irqsave": "lock",
    "_raw_spin_lock_irqsave": "lock",
    "_raw_spin_unlock_irqrestore": "unlock",
    "mem_cgroup_update_lru_size": "delete",
    "__mem_cgroup_uncharge_list": "uncharge",
    "mem_cgroup_uncharge_list": "uncharge",
    "free_unref_page_list": "free",
    "try_to_migrate": "unmap",
    "try_to_unmap": "unmap",
    "move_to_new_folio": "move",
    "move_to_new_page": "move",
    "rmap_walk": "remap",
    "remove_migration_ptes": "remap",
    "folio_unlock": "unlock page",
    "unlock_page": "unlock page",
    "migration_entry_wait_on_locked": "wait",
    "put_and_wait_on_page_locked": "wait",
    "compact_lock_irqsave": "lock",
    "compact_trylock_irqsave": "lock",
    "lru_add_drain": "drain",
    "lru_add_drain_cpu": "drain",
    "lru_add_drain_all": "drain all",
    "lru_cache_disable": "drain all",
}


def names(calls: Iterable[Call]) -> tuple[str, ...]:
    """The calls that have a name in SAME, by it."""
    return tuple(SAME[call.symbol] for call in calls if call.symbol in SAME)


def short(calls: Iterable[Call], letters: dict[str, str]) -> str:
    """The same as a word, for a grammar."""
    return "".join(letters.get(name, "") for name in names(calls))


def merged(words: Iterable[str]) -> tuple[str, ...]:
    """Neighbours that are equal counted once."""
    out: list[str] = []
    for word in words:
        if not out or out[-1] != word:
            out.append(word)
    return tuple(out)


def every(traces: Iterable[Trace], symbol: str) -> list[Call]:
    return [call for each in traces for call in each.all(symbol)]


# -- release_pages ---------------------------------------------------------------------------------

_RELEASE = {"lock": "L", "delete": "D", "unlock": "U", "uncharge": "C", "free": "F"}
_GRAMMAR = re.compile(r"(?:LD{1,32}U)*(?:CF?)?")
OURS_RELEASE = [
    ("000.54-base", 4),
    ("000.batch-limit", 2),
    ("000.517-base", 4),
    ("000.batch-limit-517", 2),
]


def releases(traces: Iterable[Trace]) -> list[str]:
    """Each release_pages() as a word.  The last hold of a cut trace may be open."""
    words = [short(call.children, _RELEASE) for call in every(traces, "release_pages")]
    return [re.sub(r"LD*$", "", word) for word in words]


@pytest.mark.parametrize("name", RELEASES)
def test_a_kernel_locks_deletes_at_most_32_unlocks_uncharges_and_frees(name: str) -> None:
    words = releases([trace(name)])
    assert any(words)
    assert all(_GRAMMAR.fullmatch(word) for word in words)


@pytest.mark.parametrize(("variant", "cpus"), OURS_RELEASE)
def test_ours_does_so(variant: str, cpus: int) -> None:
    words = releases(ours(variant, cpus=cpus, runs=2))
    assert any("D" in word for word in words)
    assert all(_GRAMMAR.fullmatch(word) for word in words)


@pytest.mark.parametrize("variant", ["000.batch-limit", "000.batch-limit-517"])
def test_the_longest_hold_is_32_pages_in_both(variant: str) -> None:
    def longest(words: Iterable[str]) -> int:
        return max(len(hold) for word in words for hold in re.findall("D+", word))

    assert {longest(releases([trace(f"release_munmap_{kernel}")])) for kernel in KERNELS} == {32}
    assert longest(releases(ours(variant, runs=2))) == 32


def test_without_the_limit_the_rule_is_broken() -> None:
    words = releases(ours("000.no-batch-limit", runs=2))
    assert not all(_GRAMMAR.fullmatch(word) for word in words)


def test_5_10_looks_the_lruvec_up_for_each_page_as_5_4_does() -> None:
    def kinds(traces: Iterable[Trace]) -> set[tuple[str, ...]]:
        wanted = ("mem_cgroup_page_lruvec", "mem_cgroup_update_lru_size")
        return {
            call.project(wanted)[:2]
            for call in every(traces, "release_pages")
            if call.project(wanted)
        }

    lookup = {("mem_cgroup_page_lruvec", "mem_cgroup_update_lru_size")}
    assert (
        kinds([trace("release_munmap_5.10")])
        == kinds(ours("000.54-base", cpus=4, runs=2))
        == lookup
    )
    newer = {("mem_cgroup_update_lru_size",) * n for n in (1, 2)}
    assert kinds([trace("release_munmap_6.1")]) <= newer
    assert kinds(ours("000.517-base", cpus=4, runs=2)) <= newer


def test_pages_are_freed_in_the_reverse_order_of_the_release() -> None:
    """Shown by 6.1, where the inlined lock is probed with its page; 5.10 has only the frees."""
    checked = 0
    for call in trace("release_munmap_6.1").all("release_pages"):
        locked = [call for call in call.children if call.symbol == "folio_lruvec_lock_irqsave"]
        freed = [
            inner.pfn for inner in call.walk() if inner.symbol == "free_pcp_prepare" and inner.pfn
        ]
        if freed and len(locked) == len(freed):
            checked += 1
            assert freed == [inner.pfn for inner in locked][::-1]
    assert checked


@pytest.mark.parametrize(
    ("variant", "lookup"),
    [("000.54-base", "mem_cgroup_page_lruvec"), ("000.517-base", "folio_lruvec_lock_irqsave")],
)
def test_ours_are_freed_in_reverse_too(variant: str, lookup: str) -> None:
    checked = 0
    for call in every(ours(variant, cpus=4, runs=3), "release_pages"):
        taken = [inner.pfn for inner in call.children if inner.symbol == lookup and inner.pfn]
        freed = [
            inner.pfn for inner in call.walk() if inner.symbol == "free_pages_prepare" and inner.pfn
        ]
        both = [pfn for pfn in freed if pfn in taken]
        if len(both) > 1:
            checked += 1
            assert both == [pfn for pfn in taken if pfn in both][::-1]
    assert checked


# -- migration -------------------------------------------------------------------------------------

_STEPS = ("unmap", "move", "remap", "unlock page")


def page_orders(calls: Iterable[Call]) -> set[tuple[str, ...]]:
    """The order of the steps of each page that was unmapped."""
    out = set()
    for call in calls:
        steps = merged(name for name in names(call.children) if name in _STEPS)
        starts = [i for i, step in enumerate(steps) if step == "unmap"]
        ends = [*starts[1:], len(steps)]
        out.update(steps[start:end] for start, end in zip(starts, ends, strict=False))
    return out


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_page_is_unmapped_moved_mapped_and_unlocked_in_this_order(kernel: str) -> None:
    where = "migrate_pages" if kernel == "5.10" else "migrate_pages_batch"
    theirs = page_orders(trace(f"migrate_{kernel}").all(where))
    assert _STEPS in theirs
    assert all(order == _STEPS[: len(order)] for order in theirs)  # the last one is cut off
    mine = page_orders(every(ours("003.base", runs=12), "__unmap_and_move"))
    assert _STEPS in mine
    # a page that could not be unmapped everywhere is not moved, only put back as it was
    assert mine <= {_STEPS, ("unmap", "remap", "unlock page")}


def test_unlocking_first_is_another_order() -> None:
    mine = page_orders(every(ours("003.unlock-first", runs=12), "__unmap_and_move"))
    assert ("unmap", "move", "unlock page", "remap") in mine


def waits(traces: Iterable[Trace]) -> set[tuple[str, ...]]:
    """What a fault does that finds an entry, until it sleeps."""
    steps = (
        "_raw_spin_lock_irq",
        "_raw_spin_unlock_irq",
        "_raw_spin_unlock",
        "schedule",
    )
    orders = {call.project(steps, deep=True) for call in every(traces, "__migration_entry_wait")}
    return {order[: order.index("schedule") + 1] for order in orders if "schedule" in order}


def test_the_ptl_is_dropped_after_the_queue_lock_and_before_the_sleep() -> None:
    order = ("_raw_spin_lock_irq", "_raw_spin_unlock_irq", "_raw_spin_unlock", "schedule")
    assert waits([trace("wait_6.1")]) == {order}
    assert waits(ours("003.base", runs=12)) == {order}


def test_dropping_it_early_is_another_order() -> None:
    order = ("_raw_spin_unlock", "_raw_spin_lock_irq", "_raw_spin_unlock_irq", "schedule")
    assert waits(ours("003.drop-ptl-early", runs=12)) == {order}


def unlocked_after(traces: Iterable[Trace]) -> list[bool]:
    """For each sleep on a frame: was that frame unlocked, and a waiter woken, after it began?"""
    out = []
    for each in traces:
        unlocks = [
            (call.order, call.last, call.pfn)
            for call in each.all("folio_unlock")
            if any("wake" in inner.symbol for inner in call.walk())
        ]
        for call in each.all("migration_entry_wait_on_locked"):
            if call.project(("schedule",), deep=True):
                out.append(any(last > call.order and pfn == call.pfn for _, last, pfn in unlocks))
    return out


def test_every_frame_that_somebody_slept_on_is_woken() -> None:
    for traces in ([trace("wait_6.1")], ours("003.base", runs=12)):
        woken = unlocked_after(traces)
        assert woken
        assert all(woken)


def test_a_sleeper_that_nobody_woke_is_seen() -> None:
    text = (TRACES / "wait_6.1.txt").read_text(encoding="utf-8")
    deaf = "\n".join(line for line in text.splitlines() if "folio_wake_bit" not in line)
    assert not any(unlocked_after([parse(deaf)]))


# -- isolation -------------------------------------------------------------------------------------


def checks(traces: Iterable[Trace], wanted: tuple[str, ...]) -> set[tuple[str, ...]]:
    """What is looked at for each page that was isolated, up to its removal from the list."""
    out = set()
    for block in every(traces, "isolate_migratepages_block"):
        seen: list[str] = []
        for call in block.children:
            name = "lock" if SAME.get(call.symbol) == "lock" else call.symbol
            if name == "page_mapping":
                seen = []
            if name in wanted:
                seen.append(name)
            if name == "mem_cgroup_update_lru_size":
                out.add(tuple(seen))
                seen = []
    return out


def test_4_19_looks_as_5_10_does_before_it_isolates() -> None:
    """The mapping without the lock; the lock, unless it is held; the lruvec; then the page."""
    wanted = (
        "page_mapping",
        "lock",
        "mem_cgroup_page_lruvec",
        "__isolate_lru_page",
        "mem_cgroup_update_lru_size",
    )
    held = tuple(name for name in wanted if name != "lock")
    assert checks([trace("isolate_5.10")], wanted) == {wanted, held}
    assert checks(ours("001.419-nodbg", runs=3), wanted) == {wanted, held}


def test_5_17_looks_as_6_1_does() -> None:
    """All of the page without the lock, which is taken last."""
    wanted = ("page_mapping", "lock", "mem_cgroup_update_lru_size")
    held = tuple(name for name in wanted if name != "lock")
    assert checks([trace("isolate_6.1")], wanted) == {wanted, held}
    assert checks(ours("001.517", runs=3), wanted) == {wanted, held}


def most_of_a_block(traces: Iterable[Trace]) -> int:
    """The largest number of pages that one isolate_migratepages_block() took."""
    return max(
        len(call.project(("mem_cgroup_update_lru_size",)))
        for call in every(traces, "isolate_migratepages_block")
    )


def test_a_kernel_may_take_more_than_32_pages_of_a_block() -> None:
    assert most_of_a_block([trace("isolate_5.10")]) == 32
    assert most_of_a_block([trace("isolate_rescan_5.10")]) == 34


def test_ours_may_take_more_than_32_pages_of_a_block() -> None:
    """Compaction of all memory scans a block again, as a whole, where it had stopped at 32 pages.

    For an allocation it does not: having left the pages that were wanted, it forgets the block.
    """
    memory = Memory("5.17", pages=96)
    memory.vm.pageblock_nr_pages = 96
    for _ in range(80):
        memory.anon()
    assert most_of_a_block(called(compact_zone, memory.control(order=1))) == 32
    assert most_of_a_block(called(compact_zone, memory.control(order=-1))) == 48


# -- munlock ---------------------------------------------------------------------------------------


def phases(traces: Iterable[Trace]) -> set[tuple[str, ...]]:
    """Phase 1 isolates under lru_lock, phase 2 unlocks page after page, phase 3 puts them back."""
    out = set()
    for call in every(traces, "__munlock_pagevec"):
        seen = []
        for inner in call.children:
            below = {SAME.get(each.symbol, each.symbol) for each in inner.walk()}
            if inner.symbol == "mem_cgroup_update_lru_size":
                seen.append("isolate")
            elif inner.symbol in ("__pagevec_lru_add", "__putback_lru_fast"):
                seen.append("put back")
            elif "unlock page" in below:
                seen.append("unlock")
        out.add(merged(seen))
    return out


def test_munlock_has_three_phases_in_both() -> None:
    order = ("isolate", "unlock", "put back")
    assert phases([trace("munlock_5.10")]) == {order}
    mine = phases(ours("004.unmap-busy", runs=6))
    assert order in mine
    assert all(seen == tuple(step for step in order if step in seen) for seen in mine)


# -- drains ----------------------------------------------------------------------------------------


def drains(traces: Iterable[Trace]) -> set[tuple[str, ...]]:
    """What __pagevec_release() does."""
    return {
        tuple(
            SAME.get(inner.symbol, inner.symbol)
            for inner in call.children
            if inner.symbol == "release_pages" or SAME.get(inner.symbol) == "drain"
        )
        for call in every(traces, "__pagevec_release")
    }


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_drains_before_some_releases_and_not_before_others(kernel: str) -> None:
    assert drains([trace(f"release_unlink_{kernel}")]) == {
        ("release_pages",),
        ("drain", "release_pages"),
    }


@pytest.mark.parametrize("era", ["5.4", "5.17"])
def test_ours_drains_once_per_pagevec(era: str) -> None:
    """A file of three pagevecs, given up in one loop with one of them."""
    file = tmpfs(machine(era), 32)
    assert drains(called(truncate_inode_pages, file)) == {
        ("release_pages",),
        ("drain", "release_pages"),
    }


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_drains_every_cpu_before_it_isolates_for_move_pages(kernel: str) -> None:
    call = trace(f"migrate_{kernel}").all("kernel_move_pages")[0]
    steps = [SAME.get(inner.symbol, inner.symbol) for inner in call.children]
    assert steps.index("drain all") < steps.index("isolate_lru_page")


def test_ours_drains_every_cpu_first() -> None:
    calls = every(ours("003.base", runs=12), "do_pages_move")
    assert calls
    assert all(names(call.children)[:1] == ("drain all",) for call in calls)


# -- the reader ------------------------------------------------------------------------------------


def test_both_forms_are_read_alike() -> None:
    text = "\n".join(
        [
            "# ---- a window",
            "       10 0 a-1   outer",
            "       11 0 a-1     # pfn:00102",
            "       11 0 a-1     inner x2",
            "       12 1 b-2   other",
            "       13 0 a-1       leaf",
            "       14 0 a-1   outer",
        ]
    )
    found = parse(text)
    assert [call.symbol for call in found.calls] == ["outer", "other", "outer"]
    first = found.calls[0]
    assert [(call.symbol, call.pfn) for call in first.walk()] == [
        ("outer", "00102"),
        ("inner", "00102"),
        ("inner", ""),
        ("leaf", ""),
    ]
    assert (first.order, first.last) == (1, 5)
