# SPDX-License-Identifier: GPL-2.0-only
"""Thread 004: mlock_vma_page() from try_to_unmap_cluster(), without the page lock.

remap_file_pages() makes a vma in which any page of the file may stand anywhere.  rmap cannot find a
page there, so try_to_unmap() for page P walks a window of ptes and deals with every page it meets.
In a VM_LOCKED vma it mlocks them, and mlock_vma_page() insists on the page lock, which it has for P
and for nobody else.

    1  trinity maps a file nonlinearly and mlocks it; reclaim comes for P and locks it
    2  the window maps Q, too.  mlock_vma_page(Q): kernel BUG at mm/mlock.c:82!

No second actor is needed.  The thread asks what the assertion is good for.

    Linus     CPU0 (lazy mlock of Q for mm1)        CPU1 (munlock of Q for mm2)
              sets PG_mlocked
                                                    clears PG_mlocked
              isolates Q: not mlocked, so it
              goes back to an evictable list
                                                    cannot isolate Q: asks nobody whether mm1
                                                    still has it mlocked
              A missed mlock; the next reclaim pass mends it.
    Kosaki    no race is closed by the lock: what keeps migration and freeing away is that Q has a
              present pte, and the ptl is held.  Still, test PageMlocked before trying the lock.
    merged    P is locked: mlock it.  Any other page: trylock; if it is locked, next time.  For
              Linus's case munlock would have to take the page lock as well; since 3.12 it does not.

What else has to hold, each taken away by a variant: mmap_sem (VM_LOCKED stays true while pages are
marked; exit does without), munlock's pin (the page is not freed or migrated under it), pins dropped
outside lru_lock, the second look in putback_lru_page(), the page lock in do_wp_page() (reclaim has
seen the old pte, and marks the page when it is munlocked) and in the fault (truncate).

Three things the runs showed that the thread does not mention.  3.13 miscounts NR_MLOCK when munlock
finds a page isolated by others (mended in 2017).  A page that is migrated loses its mark (since
3.7; mended in 4.4).  And where reclaim does not get mmap_sem it takes a nonlinear vma for unlocked
and unmaps its mlocked pages; munlock then does not find them, and if somebody else maps them they
stay marked; or the pages are reclaimed, mlock or not.

Reported by Sasha Levin with trinity, December 2013 (CVE-2014-3122); patches by Wanpeng Li and
Vlastimil Babka, argued by Linus Torvalds, Motohiro Kosaki, Mel Gorman, Andrew Morton, Hugh Dickins;
merged as 57e68e9cd65b in 3.15.  Nonlinear vmas were removed in 4.0.

How long it takes to show: the BUG, in every run; the races, with 8 CPUs, within some hundred runs.
"""

from mmsim.memblock import memblock_free_all
from mmsim.scenarios.api import ALWAYS, NEVER, SOMETIMES, Scenario, Variant
from mmsim.scenarios.s004_mlock_cluster.casts import (
    CASTS,
    PAGES,
    Stage,
    blk_done_softirq,
    boot,
    request_queue,
)
from mmsim.scenarios.s004_mlock_cluster.check import check
from mmsim.scenarios.s004_mlock_cluster.small import SMALL


def setup(m, v):
    """Boot, and stages until every CPU has a task."""
    stages = CASTS[v.cast]
    cpus = len(m.cpus)
    boot(m, cpus * PAGES)
    actors = []
    lines = []
    while len(actors) < cpus:
        stage = Stage(m, len(m.vm.mappings) + 1)
        stages[int(m.rng.random() * len(stages))](stage)
        lines += [len(actors) + n for n in stage.interrupted]
        actors += stage.actors
    memblock_free_all(m.vm)
    for n, (fn, args, comm) in enumerate(actors):
        m.spawn(fn, *args, comm=comm, cpu=n)
    for n in lines * 2:
        m.irq(blk_done_softirq, request_queue(), 30, comm="ksoftirqd", cpu=n, kind="softirq")


COUNT = "xie-2017-05-25"
MERGED = ("vlastimil-2014-01-07", COUNT)
PREEMPT = {"PREEMPT": True}
REPAIRED = {"missed_after_rescan": "== 0"}
LAZY = {"missed_mlocks": "> 0", "mlocks_repaired": "> 0", **REPAIRED}

LOST_PAGE = r"^a shared mapping has a page that its file has not$"
# VM_BUG_ON(!PageLocked(page)): unlock_page(), try_to_munlock()
NOT_LOCKED = r"^kernel BUG at mm/(filemap\.c:610|rmap\.c:1657)!$"
STRANDED_MARK = r"^PG_mlocked page is mapped in no VM_LOCKED vma$"
# try_to_unmap_file() of a page that truncate has taken out of its file
NO_MAPPING = r"^BUG: kernel NULL pointer dereference, address: 0+38$"
STRANDED_PAGE = r"^evictable page is stranded on the unevictable list$"
LISTS = (
    r"^list_(add|del) corruption",
    r"^a list walk ran into",
    r"^general protection fault",
    r"^(LRU|per-CPU free|buddy free) list is not whole$",
    r"^PG_lru is set and the page is on no LRU list$",
    r"^page is on (an|another) LRU list",
    r"^LRU size counter differs",
)
FREED = (r"^BUG: Bad page state", r"^double free$", r"^kernel BUG at ", *LISTS)


def variant(
    name, summary, cast, expect, findings=(), gates=MERGED, metrics=None, against=(), **config
):
    """A row of the thread's table: 3.13 with the merged patch, unless it says otherwise.

    Raises ValueError for a cast that casts.py has not.
    """
    if cast not in CASTS:
        raise ValueError(f"004.{name}: unknown cast {cast!r}: one of {', '.join(CASTS)}")
    return Variant(
        f"004.{name}",
        summary,
        expect,
        tuple(findings),
        gates,
        {**PREEMPT, "DEBUG_VM": True, **config},
        metrics=metrics or {},
        cast=cast,
        against=against,
    )


PROPOSED = (
    variant(
        "base",
        "3.13",
        "alone", ALWAYS, (r"^kernel BUG at mm/mlock\.c:82!$",), gates=(),
    ),
    variant(
        "no-bug-on",
        "the assertion is removed",
        "lazy", NEVER, gates=("drop-bug-on", COUNT), metrics=LAZY,
        against="004.base",
    ),
    variant(
        "merged",
        "trylock, and skip what is locked (57e68e9cd65b)",
        "everything", NEVER, metrics={"trylock_skipped": "> 0", "locked_unmapped": "== 0", **LAZY},
        against=(
            "004.base", "004.lock-page", "004.unlock-checkpage", "004.no-mmap-sem",
            "004.munlock-nopin", "004.nonatomic-mlocked", "004.munlock-put-in-lock",
            "004.putback-no-recheck", "004.wp-no-munlock", "004.wp-no-lock",
            "004.fault-no-page-lock", "004.nr-mlock",
        ),
    ),
    variant(
        "kosaki",
        "the same, and what is PageMlocked already is not trylocked",
        "everything", NEVER,
        gates=(*MERGED, "kosaki-2014-01-10"), metrics={"trylocks": "> 0", **LAZY},
        against=("004.base", "004.lock-page"),
    ),
    variant(
        "lock-page",
        "lock_page() where the patch has trylock_page()",
        "lazy", SOMETIMES, (r"^BUG: scheduling while atomic$", r"^deadlock on"),
        gates=(*MERGED, "cluster-lock-page"),
    ),
    variant(
        "trylock-no-checkpage",
        "check_page is trylocked like the others: never mlocked, reclaimed at for ever",
        "lazy", NEVER, gates=(*MERGED, "cluster-trylock-check-page"),
        metrics={
            "check_page_mlocked": "== 0", "missed_mlocks": "> 0", "missed_after_rescan": "> 0",
        },
        against="004.unlock-checkpage",
    ),
    variant(
        "unlock-checkpage",
        "check_page is unlocked like the others",
        "lazy", SOMETIMES, (NOT_LOCKED,), gates=(*MERGED, "cluster-unlock-check-page"),
    ),
    variant(
        "wanpeng",
        "the assertion for check_page only",
        "lazy", NEVER, gates=("wanpeng-2013-12-17", COUNT), metrics=LAZY,
        against="004.base",
    ),
)

ORDER = (
    variant(
        "order-no-lock",
        "Linus's case, without page locks: munlock takes back what mlock has just set",
        "ordering", NEVER,
        gates=("drop-bug-on", COUNT), metrics={"mlocks_undone": "> 0", **REPAIRED},
        against="004.base",
    ),
    variant(
        "order-merged",
        "the same with the patch: one of the two takes the page lock",
        "ordering", NEVER, metrics={"mlocks_undone": "> 0", **REPAIRED},
        against="004.base",
    ),
    variant(
        "order-both",
        "the same, and munlock takes it, too",
        "ordering", NEVER,
        gates=(*MERGED, "munlock-page-lock"), metrics={"mlocks_undone": "== 0", **REPAIRED},
        against="004.base",
    ),
)

PIECES = (
    variant(
        "no-mmap-sem",
        "VM_LOCKED is read without mmap_sem: pages are mlocked after munlock",
        "own", SOMETIMES, (STRANDED_MARK,), gates=(*MERGED, "cluster-no-mmap-sem"),
    ),
    variant(
        "munlock-page-lock",
        "munlock takes the page lock before it clears PG_mlocked",
        "everything", NEVER, gates=(*MERGED, "munlock-page-lock"), metrics=REPAIRED,
        against="004.munlock-nopin",
    ),
    variant(
        "munlock-page-lock-no-refcheck",
        "the same, and migration ignores references: the page lock is no substitute",
        "pinned", NEVER, gates=(*MERGED, "munlock-page-lock", "migrate-no-refcheck"),
        metrics={"moved_under_pin": "> 0"},
        against="004.munlock-nopin",
    ),
    variant(
        "munlock-nopin",
        "munlock collects pages without pinning them",
        "truncating", SOMETIMES, FREED,
        gates=(*MERGED, "munlock-nopin"), DEBUG_VM=False, DEBUG_LIST=True,
    ),
    variant(
        "migrate-no-refcheck",
        "migration ignores references: the page goes, and its mark has gone before",
        "pinned", NEVER, gates=(*MERGED, "migrate-no-refcheck"), metrics={"moved_under_pin": "> 0"},
        against="004.munlock-nopin",
    ),
    variant(
        "migrate-mapped",
        "migration ignores that ptes are left: their references stop it",
        "everything", NEVER, gates=(*MERGED, "migrate-mapped"), metrics=REPAIRED,
        against="004.munlock-nopin",
    ),
    variant(
        "nonatomic-mlocked",
        "PG_mlocked is set by a plain store, under the page lock",
        "charging", SOMETIMES,
        (
            r"^kernel BUG at mm/(vmscan|swap)\.c:",
            *LISTS, STRANDED_PAGE, STRANDED_MARK,
        ),
        gates=(*MERGED, "mlocked-nonatomic"),
    ),
    variant(
        "munlock-put-in-lock",
        "munlock drops pins under lru_lock (before 3b25df93c6e3)",
        "truncating", SOMETIMES, (r"^deadlock on &zone->lru_lock",),
        gates=(*MERGED, "munlock-put-in-lock"),
    ),
    variant(
        "putback-no-recheck",
        "putback_lru_page() does not look again",
        "charging", SOMETIMES, (STRANDED_PAGE,), gates=(*MERGED, "putback-no-recheck"),
    ),
    variant(
        "wp-no-munlock",
        "do_wp_page() does not munlock the page it has replaced",
        "cow", SOMETIMES, (STRANDED_MARK,), gates=(*MERGED, "wp-no-munlock"),
    ),
    variant(
        "wp-no-lock",
        "do_wp_page() munlocks it without the page lock: reclaim marks it after that",
        "cow", SOMETIMES, (STRANDED_MARK, NO_MAPPING), gates=(*MERGED, "wp-no-lock"),
        DEBUG_VM=False,
    ),
    variant(
        "wp-no-lock-dbg",
        "the same with DEBUG_VM: the search for other lockers insists on the lock",
        "cow", SOMETIMES, (NOT_LOCKED, STRANDED_MARK), gates=(*MERGED, "wp-no-lock"),
    ),
    variant(
        "wp-no-lock-migration",
        "without DEBUG_VM again, and migration of the page instead of reclaim",
        "cow_moving", NEVER,
        gates=(*MERGED, "wp-no-lock"), metrics=REPAIRED, DEBUG_VM=False, DEBUG_LIST=True,
        against="004.munlock-nopin",
    ),
    variant(
        "fault-page-lock",
        "mlock(2) faults a page in that is truncated or migrated meanwhile",
        "faulting", NEVER, metrics=REPAIRED,
        against="004.fault-no-page-lock",
    ),
    variant(
        "fault-no-page-lock",
        "the same, and the fault does not lock the page: truncate, not migration, is in its way",
        "faulting", SOMETIMES, (LOST_PAGE,), gates=(*MERGED, "fault-no-page-lock"),
    ),
)

LEFT_OPEN = (
    variant(
        "exit-race",
        "the patch, and a process that exits: without mmap_sem",
        "exiting", SOMETIMES, (STRANDED_MARK,),
    ),
    variant(
        "nr-mlock",
        "the patch, without the counting of 2017",
        "lazy", SOMETIMES, (r"^NR_MLOCK counts more than there are PG_mlocked pages$",),
        gates=("vlastimil-2014-01-07",),
    ),
    variant(
        "unmap-busy",
        "the patch, and reclaim that does not get mmap_sem of a nonlinear vma",
        "busy", SOMETIMES, (STRANDED_MARK,),
    ),
    variant(
        "unmap-busy-skip",
        "the same, and reclaim leaves such a vma alone",
        "busy", NEVER, gates=(*MERGED, "cluster-skip-busy"),
        metrics={"locked_unmapped": "== 0", **REPAIRED},
        against="004.unmap-busy",
    ),
    variant(
        "migrate-forgets",
        "the patch, and migration of a page that stays mlocked",
        "moving", NEVER, metrics=LAZY,
        against="004.munlock-nopin",
    ),
    variant(
        "migrate-remembers",
        "the same, with the mark put back where the mapping is (2015)",
        "moving", NEVER, gates=(*MERGED, "hugh-2015-10-18"), metrics={"missed_mlocks": "== 0"},
        against="004.munlock-nopin",
    ),
)

SCENARIO = Scenario(
    id="004",
    name="mlock_without_page_lock",
    title="Reclaim mlocks whatever page it finds in a nonlinear vma, locked or not",
    story=__doc__,
    era="3.13",
    thread='LKML, 10 Jan 2014, Motohiro Kosaki, "RE: [PATCH] mm/mlock: fix BUG_ON unlocked page '
    'for nolinear VMAs"',
    setup=setup,
    check=check,
    casts=SMALL,
    variants=(*PROPOSED, *ORDER, *PIECES, *LEFT_OPEN),
)
