# SPDX-License-Identifier: GPL-2.0-only
"""Machines with pages on the LRU, for the tests of it."""

from __future__ import annotations

from typing import Any

import mmsim.scenarios.gates  # noqa: F401
from mmsim.linux.list import list_nodes
from mmsim.lru import lru_add_drain, lru_cache_add
from mmsim.memblock import memblock_free_all
from mmsim.page_alloc import alloc_page
from mmsim.pagemap import address_space
from tests.kernel.booted import booted

ERAS = ("5.4", "5.17")
ANON, ACTIVE, FILE = 0, 1, 2  # LRU_INACTIVE_ANON, LRU_ACTIVE_ANON, LRU_INACTIVE_FILE


def machine(era: str, *gates: str, **config: Any) -> Any:
    config = {"DEBUG_VM": True, "DEBUG_LIST": True, **config}
    m = booted(era, cpus=config.pop("cpus", 1), nodes=2, memcgs=2, pages=32, gates=gates, **config)
    memblock_free_all(m.vm)
    return m


def listed(m: Any, n: int = 2, memcg: int = 1) -> list[Any]:
    """Swap-backed pages on the LRU, on both nodes in turn, with one reference."""
    pages = [alloc_page(i % 2) for i in range(n)]
    for page in pages:
        page.v_flags |= page.m_swapbacked
        page.v_mem_cgroup = m.vm.memcgs[memcg]
        lru_cache_add(page)
    lru_add_drain()
    return pages


def tmpfs(m: Any, n: int = 4) -> Any:
    mapping = address_space("tmpfs0")
    for index, page in enumerate(listed(m, n)):
        page.v_mapping, page.v_index = mapping, index
        mapping.slots[index] = page
    mapping.v_nrpages = n
    return mapping


def on(m: Any, node: int, lru: int, memcg: int = 1) -> list[Any]:
    return [n.owner for n in list_nodes(m.vm.memcgs[memcg].lruvecs[node].lists[lru])]


def lru(page: Any) -> bool:
    return "lru" in page.flag_names()


def titles(m: Any) -> list[str]:
    return [finding.title for finding in m.findings]
