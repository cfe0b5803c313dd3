# SPDX-License-Identifier: GPL-2.0-only
"""Thread 002: who may free a page that is still on an LRU list?

In 2.4 a page's count does not include the LRU, so a page with count 0 can be met there, by
shrink_cache, while somebody else is in the middle of freeing it.

    1  A process maps memory and has a TV card write into it: one reference for the pte, one for
       the pin.  It unmaps.  The pin is the last reference of an anonymous page on the LRU.
    2  The card interrupts, the driver drops the pin: the page has to be freed in an interrupt.
    3  2.4.15-pre says BUG at page_alloc.c:84: put_page knows nothing of the LRU.  By 2.4.17 the
       driver calls page_cache_release, which takes the page off the LRU, under pagemap_lru_lock.
       The interrupted task may hold that: on SMP a deadlock, on UP a list changed in the middle of
       a change.  The BUG is left to who still calls put_page, the network.  2.4.18-pre has
       __free_pages_ok take the page off, and with it everybody.
    4  7 February: leave the page on the LRU and let shrink_cache free what has count 0.
       CPU0 puts the last reference                       count 1 -> 0
       CPU1 shrink_cache: count 0: get, off the LRU, put  freed
       CPU0 tests PG_lru: clear                           freed again
    5  12 February: CPU0 sets PG_locked when it lets go, and shrink_cache frees only what has
       count 0 *and* is locked: with count 0 nobody else can have locked it.
    6  But shrink_cache itself locks pages without a reference, under pagemap_lru_lock, and the
       patch has a last put no longer wait for that lock.
       CPU1 shrink_cache: in the swap cache, count 1      worth a try
       CPU0 swapoff: get, lock, out of the cache, unlock  count 1, its own
       CPU1 TryLockPage                                   locked
       CPU0 puts the last reference: count 0, locked      BUG at page_alloc.c:82

Reported by Gerd Knorr, argued by Hugh Dickins, Andrea Arcangeli, Andrew Morton, Rik van Riel,
Benjamin LaHaise, Marcelo Tosatti and Linus Torvalds, February 2002.  2.4.20 took the BUG() of 6
February instead; 2.5.32 made the lock safe for interrupts; what keeps reclaim from touching a
page that is being freed today, get_page_unless_zero, came in 2006.  Step 6 is in no mail.

How long it takes to show: step 4, with 8 CPUs, within ten runs; a few milliseconds.
"""

from mmsim.scenarios.api import NEVER, SOMETIMES, Scenario, Variant
from mmsim.scenarios.s002_double_free.actors import boot
from mmsim.scenarios.s002_double_free.casts import SMALL, cast_named
from mmsim.scenarios.s002_double_free.check import check

DOUBLE_FREE = ("^double free", "^page handed out twice")
LISTS = (
    "^(in)?active_list is",
    "^PG_lru",
    r"^kernel BUG at (vmscan\.c:(358|360|552)|swap\.c:62)!",
    r"^kernel BUG at page_alloc\.c:(86|90|92|207|209|213|215)!",
)
LIST_RACE = (
    "^(free|deferred)_list is",
    "^Unable to handle",
    "^divide error",
    "^livelock",
    "^deadlock on pagemap_lru_lock$",
)
STALE_LOCK = (r"^kernel BUG at filemap\.c:802!", "^double free")
LOCKED_BY_RECLAIM = (r"^kernel BUG at page_alloc\.c:(82|93)!",)


def setup(m, v):
    """Boot a machine and the cast of the variant."""
    boot(m, cast_named(v.cast))


PRE9 = ("ben-2002-01-01",)
FLAWED = (*PRE9, "hugh-2002-02-07")
PAGELOCKED = (*PRE9, "hugh-2002-02-12")
LRU_REF = (*PRE9, "andrea-2002-02-14")
IRQSAFE = (*PRE9, "akpm-2.5.32")

SCENARIO = Scenario(
    id="002",
    name="double_free_2002",
    title="A page on the LRU is freed in an interrupt, and freed twice by shrink_cache",
    story=__doc__,
    era="2.4.18-pre9",
    thread="LKML, 12 Feb 2002, Hugh Dickins, \"[PATCH] __free_pages_ok oops\"",
    setup=setup,
    check=check,
    max_steps=40_000,
    casts=SMALL,
    variants=(
        Variant(
            "002.base2417-cache-release",
            "2.4.17, the last reference is dropped by page_cache_release, in a process",
            NEVER, cast="processes",
            era="2.4.17", gates=("gerd-2002-02-13",),
        ),
        Variant(
            "002.base2417-put-page",
            "2.4.17, a packet drops the last reference by put_page, which knows nothing of the LRU",
            SOMETIMES, (r"^kernel BUG at page_alloc\.c:84!",), cast="packets",
            era="2.4.17",
        ),
        Variant(
            "002.base2417-irq",
            "2.4.17, a TV card drops the last reference by page_cache_release, in its interrupt",
            SOMETIMES, ("^deadlock on pagemap_lru_lock$",), cast="tv-on-reclaim",
            era="2.4.17",
        ),
        Variant(
            "002.base2417-irq-up",
            "the same on one CPU, where spinlocks are nothing",
            SOMETIMES, LISTS, cast="tv-and-exit",
            era="2.4.17", config={"SMP": False},
        ),
        Variant(
            "002.pre9-process",
            "__free_pages_ok takes the page off the LRU; everybody frees in process context",
            NEVER, cast="processes",
            gates=(*PRE9, "gerd-2002-02-13"),
            against="002.base2417-put-page",
        ),
        Variant(
            "002.pre9-irq-smp",
            "the same, and an interrupt frees",
            SOMETIMES, ("^deadlock on pagemap_lru_lock$",), cast="tv-on-reclaim",
            gates=PRE9,
        ),
        Variant(
            "002.pre9-irq-up",
            "the same on one CPU, where spinlocks are nothing",
            SOMETIMES, LISTS, cast="tv-and-exit",
            gates=PRE9, config={"SMP": False},
        ),
        Variant(
            "002.pre9-swapoff",
            "swapoff() has the last reference, in process context: it waits for reclaim's lock",
            NEVER, cast="swapoff",
            gates=PRE9,
            against="002.pagelocked-swapoff",
        ),
        Variant(
            "002.in-interrupt-bug",
            "BUG() if a page on the LRU is freed in an interrupt, as in 2.4.20",
            SOMETIMES, (r"^kernel BUG at page_alloc\.c:95!",), cast="tv",
            era="2.4.20", gates=(*PRE9, "hugh-2002-02-06"),
        ),
        Variant(
            "002.in-interrupt-bug-process",
            "the same, and nobody frees in an interrupt",
            NEVER, cast="processes",
            era="2.4.20", gates=(*PRE9, "hugh-2002-02-06", "gerd-2002-02-13"),
            against="002.in-interrupt-bug",
        ),
        Variant(
            "002.special-list",
            "an interrupt puts the page on a list for shrink_cache, which meets it on the LRU, too",
            SOMETIMES, (*DOUBLE_FREE, *LISTS, *LIST_RACE), cast="tv-anywhere",
            gates=(*PRE9, "rik-special-list", "free-where-met"),
        ),
        Variant(
            "002.special-list-plain-lock",
            "the list's lock is not safe against interrupts",
            SOMETIMES, ("^deadlock on deferred_lock",), cast="tv-routed",
            gates=(*PRE9, "rik-special-list", "special-list-plain-lock"),
        ),
        Variant(
            "002.special-list-repaired",
            "its lock is, and shrink_cache leaves such pages on the LRU alone",
            NEVER, cast="everybody-twice",
            gates=(*PRE9, "rik-special-list"),
            against=("002.special-list", "002.special-list-plain-lock"),
        ),
        Variant(
            "002.flawed",
            "7 February: shrink_cache frees a page it finds with count 0",
            SOMETIMES, DOUBLE_FREE, cast="packets",
            gates=FLAWED,
        ),
        Variant(
            "002.pagelocked",
            "12 February: only if it is locked, which says that its freer has let go",
            NEVER, cast="swappers",
            gates=PAGELOCKED, metrics={"parked": "> 0"},
            against=(
                "002.flawed", "002.pagelocked-no-consumer-check", "002.pagelocked-unlock-late",
                "002.pagelocked-del-at-any-count",
            ),
        ),
        Variant(
            "002.pagelocked-swapoff",
            "12 February, and swapoff() has the last reference of a page that reclaim is locking",
            SOMETIMES, LOCKED_BY_RECLAIM, cast="swapoff-with-buffers", policy="surw",
            gates=PAGELOCKED, metrics={"parked_in_process": "> 0"},
        ),
        Variant(
            "002.pagelocked-no-count-one",
            "12 February without its three hunks that take a page off the LRU at count 1",
            SOMETIMES, LOCKED_BY_RECLAIM, cast="exit-with-buffers", policy="surw",
            gates=(*PAGELOCKED, "count-one-left-out"), metrics={"parked": "> 0"},
        ),
        Variant(
            "002.pagelocked-get-first",
            "12 February, and shrink_cache takes a reference, if there is one, before it locks",
            NEVER, cast="last-put",
            gates=(*PAGELOCKED, "get-before-trylock"), metrics={"parked": "> 0"},
            against=("002.pagelocked-swapoff", "002.pagelocked-no-count-one"),
        ),
        Variant(
            "002.pagelocked-no-rmb",
            "12 February where loads overtake loads: the lock that is seen may be the last user's",
            SOMETIMES, STALE_LOCK, cast="swap-out", memory="weak",
            gates=PAGELOCKED,
        ),
        Variant(
            "002.pagelocked-rmb",
            "the same with smp_rmb() in shrink_cache between the count and the lock",
            NEVER, cast="swap-out", memory="weak",
            gates=(*PAGELOCKED, "rmb-before-pagelocked"),
            against="002.pagelocked-no-rmb",
        ),
        Variant(
            "002.pagelocked-acquire",
            "the same with an acquire load of the count instead",
            NEVER, cast="swap-out", memory="weak",
            gates=(*PAGELOCKED, "acquire-count"),
            against="002.pagelocked-no-rmb",
        ),
        Variant(
            "002.pagelocked-putter-mb",
            "a full barrier before __free_pages_ok locks the page, and none in shrink_cache",
            SOMETIMES, STALE_LOCK, cast="swap-out", memory="weak",
            gates=(*PAGELOCKED, "mb-before-giving-up"),
        ),
        Variant(
            "002.pagelocked-in-order",
            "12 February and the same people, with everything in order",
            NEVER, cast="swap-out",
            gates=PAGELOCKED, metrics={"parked": "> 0"},
            against="002.pagelocked-no-rmb",
        ),
        Variant(
            "002.pagelocked-i386",
            "12 February on i386, as it was posted",
            NEVER, cast="swap-out", memory="i386",
            gates=PAGELOCKED,
            against="002.pagelocked-no-rmb",
        ),
        Variant(
            "002.pagelocked-ia64",
            "12 February on ia64: both loads are volatile, and acquire",
            NEVER, cast="swap-out", memory="ia64",
            gates=PAGELOCKED,
            against="002.pagelocked-no-rmb",
        ),
        Variant(
            "002.pagelocked-alpha",
            "12 February on Alpha",
            SOMETIMES, STALE_LOCK, cast="swap-out", memory="alpha",
            gates=PAGELOCKED,
        ),
        Variant(
            "002.pagelocked-alpha-rmb",
            "12 February on Alpha, with smp_rmb()",
            NEVER, cast="swap-out", memory="alpha",
            gates=(*PAGELOCKED, "rmb-before-pagelocked"),
            against="002.pagelocked-alpha",
        ),
        Variant(
            "002.pagelocked-ppc",
            "12 February on PowerPC",
            SOMETIMES, STALE_LOCK, cast="swap-out", memory="ppc",
            gates=PAGELOCKED,
        ),
        Variant(
            "002.pagelocked-del-at-any-count",
            "12 February, but the three do not look at the count",
            SOMETIMES, ("^page is in use and on no LRU list$",), cast="fork-and-swap-full",
            gates=(*PAGELOCKED, "del-at-any-count"),
        ),
        Variant(
            "002.pagelocked-in-interrupt",
            "the smaller patch: only an interrupt leaves the page, a process takes it off the LRU",
            NEVER, cast="swappers",
            gates=(*PAGELOCKED, "count-one-left-out", "park-in-interrupt-only"),
            metrics={"parked_in_process": "== 0", "lru_lock_in_free": "> 0"},
            against="002.flawed",
        ),
        Variant(
            "002.pagelocked-no-consumer-check",
            "12 February, but shrink_cache does not look at PG_locked",
            SOMETIMES, (*DOUBLE_FREE, r"^kernel BUG at filemap\.c:802!"), cast="packets",
            gates=(*PAGELOCKED, "consumer-does-not-check"),
        ),
        Variant(
            "002.pagelocked-unlock-late",
            "12 February, but shrink_cache drops the page before it unlocks it",
            SOMETIMES, (r"^kernel BUG at page_alloc\.c:82!",), cast="packets",
            gates=(*PAGELOCKED, "consumer-unlocks-late"),
        ),
        Variant(
            "002.lru-holds-ref",
            "being on the LRU is a reference",
            NEVER, cast="everybody-and-private",
            gates=LRU_REF, metrics={"cow_reused": "> 0"},
            against=("002.flawed", "002.lru-holds-ref-cow-off-by-one"),
        ),
        Variant(
            "002.lru-holds-ref-cow-off-by-one",
            "count 2 is taken for exclusive, and the page is not on the LRU",
            SOMETIMES, ("^page is writable for one process and mapped by another",), cast="private",
            gates=(*LRU_REF, "cow-exclusive-at-two"),
        ),
        Variant(
            "002.lru-holds-ref-cow-lost-reuse",
            "count 1 is taken for exclusive, and the LRU has one: every write fault copies",
            NEVER, cast="everybody-and-private",
            gates=(*LRU_REF, "cow-exclusive-at-one"), metrics={"cow_reused": "== 0"},
            against="002.lru-holds-ref-cow-off-by-one",
        ),
        Variant(
            "002.irqsafe-lock",
            "the lock is safe in interrupts, and reclaim takes no reference on count 0",
            NEVER, cast="everybody",
            era="2.5.32", gates=(*IRQSAFE, "npiggin-2006"),
            against=("002.lock-irqsave-no-count-check", "002.irqsafe-half"),
        ),
        Variant(
            "002.irqsafe-half",
            "the same, but refill_inactive takes the lock with interrupts on",
            SOMETIMES, ("^deadlock on _pagemap_lru_lock$",), cast="tv-active",
            era="2.5.32", gates=(*IRQSAFE, "npiggin-2006", "refill-plain-lock"),
        ),
        Variant(
            "002.lock-irqsave-no-count-check",
            "reclaim takes a reference on whatever it finds",
            SOMETIMES, (*DOUBLE_FREE, *LISTS), cast="packets",
            era="2.5.32", gates=IRQSAFE,
        ),
        Variant(
            "002.stay-on-lru-freed",
            "freed pages stay on the LRU: their next owner's plain store undoes what reclaim does",
            SOMETIMES, (r"^kernel BUG at (filemap\.c:802|page_alloc\.c:88)!", *LISTS),
            cast="readers", gates=(*PRE9, "hugh-stay-on-lru"),
        ),
    ),
)

for variant in SCENARIO.variants:
    cast_named(variant.cast)  # a misspelt cast is an error of this file, not of its first run
