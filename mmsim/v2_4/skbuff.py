# SPDX-License-Identifier: GPL-2.0-only
"""Network buffers that point into user pages (net/core/skbuff.c).

sendfile() and zero-copy sends put page fragments into a packet and a reference into the page.  A
page may well go out in two packets, and each packet is freed where the transmission ends: in a
softirq, on whatever CPU the card interrupted.  The network stack was the example of February 2002
for why "never free a page of the LRU in an interrupt" cannot be had.
"""

from mmsim.model.cite import cite
from mmsim.v2_4.page_alloc import put_page


class sk_buff:
    """A packet: ``frags`` are the pages it points into, with a reference each."""

    def __init__(self, *frags):
        self.frags = list(frags)


@cite("net/core/skbuff.c", "2.4.17", thread="002")
def skb_release_data(skb):
    """Drop the fragments.  *Locks:* those of the last put; any context.  *Race:* thread 002."""
    for page in skb.frags:
        put_page(page)
    skb.frags = []


@cite("net/core/dev.c", "2.4.17", thread="002")
def net_tx_action(skb):
    """The packet is on the wire: free it.  *Locks:* softirq.  *Race:* skb_release_data's."""
    skb_release_data(skb)
