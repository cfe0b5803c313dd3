# SPDX-License-Identifier: GPL-2.0-only
"""dump_page(): a struct page as each kernel printed it.

The layout moved about every other year, and each move carried meaning: 4.19 still says `count`,
5.4 says `refcount` and names the kind of mapping, 5.17 adds the pfn and the memcg.  The two
`raw:` lines are the struct itself, which is where list poison shows and where a reader sees what
the words above left out.  2.4 had no page dump.

The memcg, the reason and the page_owner lines come in a different order per era as well; the
order here is that of mm/debug.c and mm/page_owner.c of the kernel in question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmsim.detect.finding import PageSnapshot
from mmsim.report.era import Era

_RAW_ROW_BYTES = 32
_COUNTS_WORD = 6


def dump_page(
    page: PageSnapshot | None, reason: str, era: Era, before_owner: Sequence[str] = ()
) -> list[str]:
    """The page dump of the era, ``reason`` without the words in front of it.

    ``before_owner`` are lines of the caller that belong between the dump and page_owner's.
    """
    if page is None or era.version < (2, 6):
        return [*before_owner]
    if era.version < (3, 14):
        return [*_dump_3_13(page, era), *before_owner]
    if era.version < (5, 4):
        lines = _dump_4_19(page, era)
    elif era.version < (5, 12):
        lines = _dump_5_4(page, era)
    else:
        lines = _dump_5_17(page, era)
    lines += raw_lines(page, era)
    if reason:
        lines.append(f"page dumped because: {reason}")
    if page.memcg and era.version < (5, 12):
        lines.append(f"page->mem_cgroup:{_pointer_or_name(page.memcg, era)}")
    return [*lines, *before_owner, *page_owner(page)]


def flag_list(page: PageSnapshot, fields: tuple[str, ...] = ()) -> str:
    """`0x22(referenced|active)`."""
    return f"{page.flags:#x}({'|'.join((*page.flag_names, *fields))})"


def _dump_3_13(page: PageSnapshot, era: Era) -> list[str]:
    mapping = _mapping_word(page)
    pointer = era.hexword(mapping) if mapping else "(null)".rjust(era.bits // 4)
    return [
        f"page:{era.hexword(page.address)} count:{page.ref} mapcount:{_mapcount(page)} "
        f"mapping:{pointer} index:{page.index:#x}",
        f"page flags: {flag_list(page)}",
    ]


def _dump_4_19(page: PageSnapshot, era: Era) -> list[str]:
    compound = " compound_mapcount: 0" if page.order else ""
    return [
        f"page:{era.hexword(page.address)} count:{page.ref} mapcount:{_mapcount(page)} "
        f"mapping:{era.hexword(_mapping_word(page))} index:{page.index:#x}{compound}",
        f"flags: {flag_list(page)}",
    ]


def _dump_5_4(page: PageSnapshot, era: Era) -> list[str]:
    compound = ""
    if page.order:
        head = era.hexword(page.head or page.address)
        compound = f" head:{head} order:{page.order} compound_mapcount:0"
        if era.version < (5, 7):
            compound = " compound_mapcount: 0"
    kind, mapping_line = _mapping_kind(page)
    return [
        f"page:{era.hexword(page.address)} refcount:{page.ref} mapcount:{_mapcount(page)} "
        f"mapping:{era.hexword(_mapping_word(page))} index:{page.index:#x}{compound}",
        *([mapping_line] if mapping_line else []),
        f"{kind}flags: {flag_list(page)}",
    ]


def _dump_5_17(page: PageSnapshot, era: Era) -> list[str]:
    kind, mapping_line = _mapping_kind(page)
    # By now the line prints page_mapping(), which is NULL for anonymous memory.
    mapping = 0 if kind else _mapping_word(page)
    lines = [
        f"page:{era.hexword(page.address)} refcount:{page.ref} mapcount:{_mapcount(page)} "
        f"mapping:{era.hexword(mapping)} index:{page.index:#x} pfn:{page.pfn:#x}"
    ]
    if page.order:
        lines.append(
            f"head:{era.hexword(page.head or page.address)} order:{page.order} "
            "compound_mapcount:0 compound_pincount:0"
        )
    if page.memcg:
        lines.append(f"memcg:{_pointer_or_name(page.memcg, era)}")
    if mapping_line:
        lines.append(f"aops:{mapping_line}")
    return [*lines, f"{kind}flags: {flag_list(page, (f'node={page.node}',))}"]


def raw_lines(page: PageSnapshot, era: Era) -> list[str]:
    """The struct as words, 32 bytes a line: four on 64 bits, eight on 32.

    The snapshot keeps _mapcount and _refcount in one 64-bit word; they are two words on 32 bits.
    """
    raw = list(page.raw)
    if era.bits == 32 and len(raw) > _COUNTS_WORD:
        counts = raw[_COUNTS_WORD]
        raw[_COUNTS_WORD : _COUNTS_WORD + 1] = [counts, counts >> 32]
    words = [era.hexword(word) for word in raw]
    row = _RAW_ROW_BYTES * 8 // era.bits
    return [f"raw: {' '.join(words[i : i + row])}" for i in range(0, len(words), row)]


def page_owner(page: PageSnapshot) -> list[str]:
    """Who had it and who gave it back: the evidence when a page is freed twice."""
    if not page.history:
        return []
    state = "freed" if page.history[-1].lower().startswith("freed") else "allocated"
    return [f"page_owner tracks the page as {state}", *(f"page {line}" for line in page.history)]


def _mapcount(page: PageSnapshot) -> int:
    return 0 if page.mapcount is None else page.mapcount


def _mapping_word(page: PageSnapshot) -> int:
    """The pointer: word 3 of the struct, else what the snapshot's text says."""
    if len(page.raw) > 3:
        return page.raw[3]
    text = page.mapping.removeprefix("0x")
    return int(text, 16) if re.fullmatch(r"[0-9a-fA-F]+", text) else 0


def _mapping_kind(page: PageSnapshot) -> tuple[str, str]:
    """(`"anon "`, `""`) or (`""`, name of what the page belongs to)."""
    name = page.mapping
    word = _mapping_word(page)
    if "ksm" in name.lower() or word & 3 == 3:
        return "ksm ", ""
    if name.lower().startswith("anon") or word & 3 == 1:
        return "anon ", ""
    if not name or name.lower() in ("none", "null", "(null)"):
        return "", ""
    return "", "" if re.fullmatch(r"(0x)?[0-9a-fA-F]+", name) else name


def _pointer_or_name(text: str, era: Era) -> str:
    bare = text.removeprefix("0x")
    if re.fullmatch(r"[0-9a-f]{5,16}", bare):
        return era.hexword(int(bare, 16))
    return text
