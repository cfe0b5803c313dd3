# SPDX-License-Identifier: GPL-2.0-only
"""draft"""

from mmsim.scenarios.api import NEVER, SOMETIMES, Scenario, Variant
from mmsim.scenarios.compaction_boot import boot, quiesce

SLAB_BUG = (r"VM_BUG_ON_PAGE\(PageSlab\(page\)\)",)
LISTS = (r"list_(add|del) corruption", r"Bad page state", "general protection")

NODBG = {"PREEMPT": True}
DBG = {**NODBG, "DEBUG_VM": True}
LIST = {**NODBG, "DEBUG_LIST": True}
NOBUG = "mapcount-no-assert"


def _variant(name, summary, expect, *gates, config=DBG, findings=(), metrics=None, era="", **more):
    return Variant(
        f"001.{name}", summary, expect, findings, gates, {**config, **more}, era, metrics or {}
    )


VARIANTS = (
    _variant("419-dbg", "4.19 as it was, DEBUG_VM", SOMETIMES, findings=SLAB_BUG),
    _variant("419-nodbg", "4.19 as it was, no DEBUG_VM", NEVER, config=NODBG,
             metrics={"wrong_skips": "> 0", "isolated_with_buffers": "> 0"}),
    _variant("remove-vm-bug", "the patch that was merged", NEVER, NOBUG, metrics={"isolated_with_buffers": "> 0"}),
    _variant("v1-opencoded", "the first patch: comparison open-coded, and again under lru_lock", NEVER,
             "v1-opencode", "v1-recheck", metrics={"isolated_with_buffers": "== 0", "isolated": "> 0"}),
    _variant("v1-recheck-only", "of the first patch only the comparison under lru_lock", SOMETIMES,
             "v1-recheck", findings=SLAB_BUG, metrics={"isolated_with_buffers": "== 0"}),
    _variant("pageslab-precheck", "PageSlab is tested before page_mapcount()", SOMETIMES,
             "pageslab-precheck", findings=SLAB_BUG),
    _variant("check-under-lock", "the comparison is made under lru_lock only", NEVER,
             "check-under-lock"),
    _variant("get-first", "a reference first, PG_lru again, then the comparison", NEVER, "get-first"),
    _variant("get-first-norecheck", "a reference first, PG_lru not again; SLAB", SOMETIMES,
             "get-first", "get-first-norecheck", NOBUG, findings=LISTS, SLAB=True),
    _variant("get-first-no-minus-one", "a reference first, and it counts as a pin", NEVER,
             "get-first", "get-first-no-minus-one", metrics={"isolated_anon": "== 0"}),
    _variant("isolate-no-recheck", "PG_lru is not tested again under lru_lock", SOMETIMES,
             NOBUG, "block-no-recheck", "isolate-trusts-lru", config=LIST, findings=LISTS, WORKLOAD="exec"),
    _variant("compound-after-get", "PageCompound is tested once, right after the get", SOMETIMES,
             "get-first", "compound-after-get", NOBUG, findings=(r"VM_BUG_ON_PAGE\(PageCompound\(page\)\)",), WORKLOAD="thp"),
    _variant("slab-old", "SLUB's counters in _mapcount", NEVER, "slub-counters-in-mapcount", config=NODBG,
             metrics={"garbage_mapcounts": "> 0"}),
    _variant("movable-slab", "struct slab's list pointer lies over mapping", SOMETIMES,
             "movable-operations", "slab-rearranged", findings=("general protection", "NULL pointer", r"PageLocked\(|folio_test_locked"), era="5.17", WORKLOAD="partial"),
    _variant("movable-slab-skipped", "the same, and isolate_movable_page() looks at PG_slab", NEVER,
             "movable-operations", "slab-rearranged", "isolate-movable-skips-slab", era="5.17", WORKLOAD="partial"),
    _variant("movable-slab-a_ops", "the same layout, and page_mapping() is asked for the operations", NEVER,
             "slab-rearranged", era="5.17", WORKLOAD="partial"),
    _variant("block-no-recheck", "no test again in the loop, but in __isolate_lru_page()", NEVER,
             NOBUG, "block-no-recheck", config={**LIST, **DBG}),
    _variant("slab-allocator", "SLAB's active in _mapcount", NEVER, config=NODBG, SLAB=True,
             metrics={"garbage_mapcounts": "> 0"}),
    _variant("517", "5.17", NEVER, era="5.17", metrics={"wrong_skips": "> 0"}),
    _variant("517-put-locked", "5.17, and a failed page is put under lru_lock", SOMETIMES, "fail-put-locked", era="5.17", findings=("deadlock",), WORKLOAD="shm"),
    _variant("517-put-unlocked", "5.17 as it is, with the same load", NEVER, era="5.17", WORKLOAD="shm"),
)

SCENARIO = Scenario("001", "compaction_slab_reuse", "t", __doc__, "4.19", boot, VARIANTS, quiesce)
