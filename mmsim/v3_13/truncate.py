# SPDX-License-Identifier: GPL-2.0-only
"""Pages leaving their file, unmapped before (mm/truncate.c, 3.13).

truncate() takes pages away from under those who map them: it walks the vmas of the file under
i_mmap_mutex, without any mmap_sem.  So it is the actor that munlock, which holds mmap_sem for
writing, is not protected from by it: only by the pin.
"""

from mmsim.filemap import lock_page
from mmsim.filemap_cache import delete_from_page_cache, find_get_page
from mmsim.model.cite import cite
from mmsim.page import page_mapped
from mmsim.pagevec import pagevec
from mmsim.v3_13.filemap import unlock_page
from mmsim.v3_13.memory import unmap_mapping_range
from mmsim.v3_13.swap import pagevec_release


@cite("mm/truncate.c", "3.13")
def truncate_inode_page(mapping, page):
    """Unmap a page once more and take it out of its file.  *Locks:* page lock; may sleep."""
    if page_mapped(page):
        unmap_mapping_range(mapping, page.index)
    if page.mapping is mapping:
        delete_from_page_cache(page)


@cite("mm/truncate.c", "3.13", thread="004")
def truncate_inode_pages(mapping, index):
    """Take one page out of its file.  *Locks:* takes the page lock; may sleep."""
    page = find_get_page(mapping, index)
    if page is None:
        return
    pvec = pagevec([page])
    lock_page(page)
    truncate_inode_page(mapping, page)
    unlock_page(page)
    pagevec_release(pvec)


@cite("mm/truncate.c", "3.13", thread="004")
def truncate_pagecache(mapping, index):
    """truncate(2) as far as one page goes.  *Locks:* takes the page lock; may sleep."""
    unmap_mapping_range(mapping, index)
    truncate_inode_pages(mapping, index)
