# SPDX-License-Identifier: GPL-2.0-only
"""A page is written to while reclaim freezes its count (3.13, __remove_mapping).

1. Somebody who has a reference to a page of a file makes it dirty, and drops the reference.
2. kswapd finds nobody but the page cache and itself: the freeze works.
3. It looks whether the page is dirty.  That look must not be older than the freeze, or the page is
   thrown away, and what was written with it.
"""

from mmsim.linux.bug import report
from mmsim.lru_release import put_page
from mmsim.page import SetPageDirty
from mmsim.scenarios.api import NEVER, Scenario, Variant
from mmsim.scenarios.s004_mlock_cluster.casts import Stage, boot, shrink


def gup_writer(page):
    SetPageDirty(page)
    put_page(page)


def setup(m, v):
    boot(m, 8)
    stage = Stage(m, 0)
    page = stage.page()
    page.v__refcount += 1
    m.spawn(gup_writer, page, comm="dd", cpu=0)
    m.spawn(shrink, m.vm, 1, 1, comm="kswapd0", cpu=1)


def check(m, v):
    (mapping,) = m.vm.mappings
    if not mapping.slots.get(0):
        report("invariant", "what was written is lost", where="__remove_mapping")


SCENARIO = Scenario(
    id="905",
    name="frozen",
    title="Written to, dropped, frozen, thrown away",
    story=__doc__,
    era="3.13",
    setup=setup,
    check=check,
    variants=(Variant("905.frozen", "the freeze orders the look behind it", NEVER),),
)
