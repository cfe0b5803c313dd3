# SPDX-License-Identifier: GPL-2.0-only
"""Frame numbers and pages (include/asm-generic/memory_model.h): one flat mem_map here."""

from mmsim.model.cite import cite
from mmsim.model.era import kernel


@cite("include/asm-generic/memory_model.h", "5.17")
def pfn_to_page(pfn):
    """The page of a frame number; None outside of memory (pfn_valid)."""
    mem_map = kernel().mem_map
    i = pfn - mem_map[0].pfn
    return mem_map[i] if 0 <= i < len(mem_map) else None


@cite("include/asm-generic/memory_model.h", "5.17")
def page_to_pfn(page):
    """The frame number of a page."""
    return page.pfn
