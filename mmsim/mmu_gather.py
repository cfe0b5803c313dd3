# SPDX-License-Identifier: GPL-2.0-only
"""Freeing the pages of an address space in batches (mm/mmu_gather.c, mm/swap_state.c, 5.4).

munmap and exit collect pages while they clear page tables and free them after the TLB flush, up to
a whole page of pointers at a time.  This is the caller for which release_pages() drops its lock
every 32 pages: pagevecs are smaller than that.
"""

from mmsim.lru import lru_add_drain, release_pages
from mmsim.model.cite import cite

MAX_GATHER_BATCH = 506  # (PAGE_SIZE - sizeof(struct mmu_gather_batch)) / sizeof(void *)


@cite("mm/swap_state.c", "5.4", thread="000")
def free_pages_and_swap_cache(pages):
    """Drop one reference of each page.  (Pages of the swap cache are not modelled here.)

    *Locks:* takes LRU locks; preemption off inside.
    """
    lru_add_drain()
    release_pages(pages)


@cite("mm/mmu_gather.c", "5.4", thread="000")
def tlb_flush_mmu_free(pages):
    """Free what has been gathered, batch after batch.  *Locks:* as free_pages_and_swap_cache()."""
    for start in range(0, len(pages), MAX_GATHER_BATCH):
        free_pages_and_swap_cache(pages[start : start + MAX_GATHER_BATCH])
