# SPDX-License-Identifier: GPL-2.0-only
"""wait_on_page_writeback() is woken, and writeback has started again.

Writeback is begun under the page lock and ended without it, in two steps: clear PG_writeback, wake.

1. The disk's interrupt ends a writeback: it clears the bit.
2. A writer takes the page lock, and the next writeback begins.
3. A sync locks the page and waits for that one.
4. The interrupt of the first wakes the sync, which believes that nothing is being written.

Since 5.9 a waiter does not look again.  c2407cf7d22d (January 2021, 5.11, Linus Torvalds) lets
it: an ``if`` becomes a ``while``.  Here that is a gate, on a 5.10 kernel.
"""

from mmsim.filemap import lock_page, unlock_page, wait_on_page_bit
from mmsim.page import PageWriteback
from mmsim.page_writeback import end_page_writeback, set_page_writeback
from mmsim.scenarios.api import *

declare(Gate("wait-again", "911", "2021-01-05", "Linus Torvalds", "ask until there is none"))
ROUNDS = 4


@cite("mm/page-writeback.c", "5.10")
def wait_on_page_writeback(page):
    if patched("wait-again"):
        while PageWriteback(page):
            wait_on_page_bit(page, "writeback")
    elif PageWriteback(page):
        wait_on_page_bit(page, "writeback")


def disk(m, page):
    m.vm.busy = True
    end_page_writeback(page)
    m.vm.busy = False


def write(m, page, line):
    for _ in range(ROUNDS):
        lock_page(page)
        wait_on_page_writeback(page)
        set_page_writeback(page)
        m.count("begun_meanwhile", m.vm.busy)
        unlock_page(page)
        raise_irq(line)  # it comes some time later, and ends what has begun here


def sync(page):
    for _ in range(ROUNDS):
        lock_page(page)
        wait_on_page_writeback(page)
        BUG_ON(PageWriteback(page), "mm/page-writeback.c", page)
        unlock_page(page)


def setup(m, v):
    with memory(m, pages=2) as vm:
        vm.file, vm.busy = new_file("data"), False
        page = cached_page(vm, vm.file)
    line = m.irq(disk, m, page, comm="nvme", cpu=2, armed=False)
    m.spawn(write, m, page, line, comm="writer", cpu=0)
    m.spawn(sync, page, comm="sync", cpu=1)


SCENARIO = Scenario(
    id="911",
    name="wait_on_page_writeback",
    title="wait_on_page_writeback() is woken, and writeback has started again",
    story=__doc__,
    era="5.10",
    setup=setup,
    check=lambda m, v: check_mm(m, [m.vm.file]),
    variants=(  # filemap: the writer believes it, too, and one writeback is ended twice
        Variant("911.if", "asks once", SOMETIMES, findings=("page-writeback", "filemap")),
        Variant("911.while", "asks again", NEVER, gates=("wait-again",), against="911.if"),
    ),
)
ORDER = (
    run("writer", until=after(function="raise_irq")),
    run("nvme", until=before(function="wake_up_page")),
    run("writer", until=before(function="raise_irq")),  # of the next round
    run("sync", until=BLOCKED),
    run("nvme"),
    run("sync", until=BLOCKED),
)


def test_in_this_order(mmsim_order):
    assert mmsim_order("911.if", *ORDER, file=__file__).findings
    assert not mmsim_order("911.while", *ORDER, file=__file__).findings
