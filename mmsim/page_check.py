# SPDX-License-Identifier: GPL-2.0-only
"""What a page must not have when it is freed or handed out (mm/page_alloc.c: bad_page and friends).

One look decides (``page_expected_state``); only a page that fails is looked at test by test, and
the last test that holds names the reason, so that a page with three faults shows one.  The page
is leaked, the kernel is tainted with B and goes on.
"""

from mmsim.linux.atomic import atomic_read
from mmsim.linux.bug import report
from mmsim.model.cite import cite
from mmsim.model.era import IS_ENABLED, era, kernel
from mmsim.page import page_ref_count
from mmsim.page_owner import page_is


@cite("mm/page_alloc.c", "5.17")
def page_expected_state(page, check_flags):
    """Nothing left of an owner?  *Race:* the page is ours alone, or the answer is a finding."""
    if atomic_read(page, "_mapcount") != -1:
        return False
    # C ors them together: all are loaded, whatever the first says
    mapping = page.mapping
    count = page_ref_count(page)
    memcg = page.mem_cgroup
    flags = page.flags & check_flags
    return mapping is None and count == 0 and memcg is None and flags == 0


@cite("mm/page_alloc.c", "5.4")
def bad_page(page, reason, bad_flags=0):
    """Report and let the caller leak the page.  At most 60 reports a boot are printed."""
    vm = kernel()
    shown = vm.nr_bad_pages
    page_is(page, "bad")
    if shown < 60:
        vm.nr_bad_pages = shown + 1
        detail = ()
        if bad_flags:
            names = "|".join(n for n, bit in page.PG.items() if bad_flags >> bit & 1)
            detail = (f"bad because of flags: 0x{bad_flags:x}({names})",)
        title = f"BUG: Bad page state: {reason}" if reason else "BUG: Bad page state"
        report("bad-page", title, page=page, detail=detail)
    page._mapcount = -1  # page_mapcount_reset: whatever it was, it is no PageBuddy


def _bad_reason(page, mask, flags_reason):
    """(reason, flags): every test is made and the last that holds is printed.

    None may hold any more, if somebody is still changing the page.
    """
    old = era().version < (4, 0)
    reason = ""
    bad_flags = 0
    if atomic_read(page, "_mapcount") != -1:
        reason = "nonzero mapcount"
    if page.mapping is not None:
        reason = "non-NULL mapping"
    if atomic_read(page, "_refcount") != 0:
        reason = "nonzero _count" if old else "nonzero _refcount"
    if page.flags & mask:
        reason = flags_reason
        bad_flags = page.v_flags & mask
    if page.mem_cgroup is not None:
        reason = "cgroup check failed" if old else "page still charged to cgroup"
    return reason, bad_flags


@cite("mm/page_alloc.c", "5.17")
def free_pages_check(page):
    """True (and a report) if the page must not be freed as it is."""
    if page_expected_state(page, page.PAGE_FLAGS_CHECK_AT_FREE):
        return False
    reason, flags = _bad_reason(
        page, page.PAGE_FLAGS_CHECK_AT_FREE, "PAGE_FLAGS_CHECK_AT_FREE flag(s) set"
    )
    bad_page(page, reason, flags)
    return True


@cite("mm/page_alloc.c", "5.17")
def check_new_page(page):
    """True (and a report) if a free page is not clean: somebody wrote to it."""
    if page_expected_state(page, page.PAGE_FLAGS_CHECK_AT_PREP):
        return False
    words = "flag set" if era().version < (5, 10) else "flag(s) set"
    reason, flags = _bad_reason(
        page, page.PAGE_FLAGS_CHECK_AT_PREP, f"PAGE_FLAGS_CHECK_AT_PREP {words}"
    )
    bad_page(page, reason, flags)
    return True


def checks_pcp():
    """Order-0 pages are checked on the way through the per-CPU lists, not behind them."""
    return IS_ENABLED("DEBUG_VM") or era().version < (4, 7)
