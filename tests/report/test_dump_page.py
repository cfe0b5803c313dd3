# SPDX-License-Identifier: GPL-2.0-only
"""The page dump, line for line, as each kernel printed it."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

from mmsim.report import kernel_report, render

from .samples import ANON, Variant, finding, page

DUMPS = {
    "3.13": """
        page:ffffea0000000440 count:0 mapcount:0 mapping:          (null) index:0x7
        page flags: 0x30(lru|active)
        """,
    "5.4": """
        page:d435e280 refcount:0 mapcount:0 mapping:00c3a001 index:0x7
        anon flags: 0x30(lru|active)
        raw: 40000030 00000100 00000122 00c3a001 00000007 00000000 ffffffff 00000001
        raw: 000000c2
        page dumped because: nonzero _refcount
        """,
    "5.17": """
        page:ffffea0000000440 refcount:0 mapcount:0 mapping:0000000000000000 index:0x7 pfn:0x11
        anon flags: 0x30(lru|active|node=0)
        raw: 0000000000000030 dead000000000100 dead000000000122 ffff888100c3a001
        raw: 0000000000000007 0000000000000000 00000000ffffffff 0000000000000010
        page dumped because: nonzero _refcount
        """,
}


@pytest.mark.parametrize("era", DUMPS)
def test_bad_page_dump_of_the_era(era: str) -> None:
    bad = finding(
        "bad-page", "BUG: Bad page state: nonzero _refcount", era, page=page(era, history=())
    )
    lines = kernel_report(bad).splitlines()
    dump = dedent(DUMPS[era]).strip("\n").splitlines()
    assert lines[0] == "BUG: Bad page state in process rm  pfn:00011"
    assert lines[1 : 1 + len(dump)] == dump
    rest = lines[1 + len(dump) :]
    if era == "3.13":  # kernels of that time did not say why: the block does
        assert "\ndetail    nonzero _refcount\n" in render(bad, variant=Variant())
    assert rest[0] == "Modules linked in:"
    assert rest[1].startswith("CPU: 1 PID: 6172 Comm: rm Not tainted")
    assert rest[2].startswith("Hardware name:")


def test_2_4_had_no_page_dump() -> None:
    text = kernel_report(finding("bad-page", "Bad page state: nonzero _count", "2.4.18-pre9"))
    assert not re.search(r"^(page:|flags:|raw:)", text, re.MULTILINE)


def test_bad_page_in_the_order_of_5_4() -> None:
    bad = finding(
        "bad-page",
        "Bad page state in process",
        "5.4",
        detail=(
            "bad because of flags: 0x10(lru)",
            "page dumped because: PAGE_FLAGS_CHECK_AT_FREE flag(s) set",
        ),
        page=page("5.4", memcg="memcg:A"),
    )
    lines = kernel_report(bad).splitlines()
    order = [
        "page dumped because: PAGE_FLAGS_CHECK_AT_FREE flag(s) set",
        "page->mem_cgroup:memcg:A",
        "bad because of flags: 0x10(lru)",
        "page_owner tracks the page as freed",
        "page last allocated via order 0",
        "Modules linked in:",
    ]
    start = lines.index(order[0])
    assert lines[start : start + len(order)] == order


def test_5_17_prints_the_memcg_before_the_flags_and_the_mapping_by_name() -> None:
    cache = page(
        "5.17",
        mapping="shmem_aops",
        memcg="0xffff888100ab3000",
        order=2,
        raw=(0, 1, 2, ANON - 1, 0, 0, 0, 0),
    )
    bad = finding("bad-page", "BUG: Bad page state: nonzero mapcount", "5.17", page=cache)
    lines = kernel_report(bad).splitlines()
    assert lines[2:6] == [
        "head:ffffea0000000440 order:2 compound_mapcount:0 compound_pincount:0",
        "memcg:ffff888100ab3000",
        "aops:shmem_aops",
        "flags: 0x30(lru|active|node=0)",
    ]
    assert "mapping:ffff888100c3a000 " in lines[1]


@pytest.mark.parametrize(
    ("era", "lines"),
    [
        ("3.13", []),
        ("4.19", []),
        ("5.4", ["page_owner tracks the page as freed", "page last allocated via order 0"]),
        (
            "5.17",
            ["page_owner tracks the page as freed", "page last allocated via order 0, pid 6172"],
        ),
    ],
)
def test_page_owner_is_of_its_age(era: str, lines: list[str]) -> None:
    bad = finding("bad-page", "BUG: Bad page state: nonzero mapcount", era)
    assert [
        line for line in kernel_report(bad).splitlines() if "page_owner" in line or "last" in line
    ] == lines
    block = render(bad, variant=Variant()).partition("---[ mmsim ]---")[2]
    assert (
        "history   allocated by rm/6172 (cpu 0)\n          freed by kswapd0/77 (cpu 1)\n" in block
    )
