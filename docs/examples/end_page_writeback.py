# SPDX-License-Identifier: GPL-2.0-only
"""end_page_writeback() goes on with a page that has been freed.

PG_writeback comes without a reference: whoever wants to free the page waits for the bit instead.

1. The disk's interrupt clears PG_writeback.
2. Truncation was waiting for that.  It frees the page, which becomes the tail of a huge page.
3. The interrupt wants to know whether somebody waits: PG_waiters, which no tail has.

Hugh Dickins met it on ext4 and closed it in November 2020 (073861ed77b6, in 5.10): the interrupt
holds a reference until it is done.  Both kernels are here, as eras.
"""

from mmsim.filemap import unlock_page
from mmsim.filemap_cache import delete_from_page_cache, find_lock_page
from mmsim.lru import put_page
from mmsim.page_alloc import alloc_pages
from mmsim.page_writeback import end_page_writeback, wait_on_page_writeback
from mmsim.scenarios.api import *


def disk(m, page):
    m.vm.busy = True  # for the metric; no kernel code looks at it, and it passes no point
    end_page_writeback(page)
    m.vm.busy = False


def truncate(m, file):
    page = find_lock_page(file, 0)
    wait_on_page_writeback(page)
    delete_from_page_cache(page)
    unlock_page(page)
    put_page(page)
    m.count("put_meanwhile", m.vm.busy)
    huge = alloc_pages(1, compound=True)  # by the same task: what it has freed is what it gets
    if huge is not None:
        m.vm.owners.append(huge)  # and keeps: the bad state lasts


def setup(m, v):
    with memory(m, pages=2, pcp=1) as vm:
        vm.file, vm.owners, vm.busy = new_file("data"), [], False
        leave_free(vm)
        page = cached_page(vm, vm.file, 0, "writeback")  # the second frame of a block of two
    m.irq(disk, m, page, comm="nvme", cpu=1)
    m.spawn(truncate, m, vm.file, comm="rm", cpu=0)


def check(m, v):
    check_mm(m, [m.vm.file], m.vm.owners)


DEBUG = {"DEBUG_VM": True, "DEBUG_VM_PGFLAGS": True}
SCENARIO = Scenario(
    id="910",
    name="end_page_writeback",
    title="end_page_writeback() goes on with a page that has been freed",
    story=__doc__,
    era="5.9",
    setup=setup,
    check=check,
    variants=(
        Variant("910.v5_9", "without", SOMETIMES, findings=(r"PageTail\(page\)",), config=DEBUG),
        Variant("910.v5_10", "holds one", NEVER, era="5.10", config=DEBUG, against="910.v5_9"),
    ),
)
ORDER = (run("nvme", until=before(function="wake_up_page")), run("rm"), run("nvme"))


def test_in_this_order(mmsim_order):
    assert mmsim_order("910.v5_9", *ORDER, file=__file__).findings
    assert not mmsim_order("910.v5_10", *ORDER, file=__file__).findings
