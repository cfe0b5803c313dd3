# SPDX-License-Identifier: GPL-2.0-only
"""dump_page(): a struct page as each kernel printed it.

4.19 says `count`, 5.4 says `refcount` and names the kind of mapping, 5.17 adds the pfn and the
memcg.  The two `raw:` lines are the struct itself: list poison shows there, and what the words
above leave out.  2.4 had no page dump.  The memcg, the reason and page_owner come in the order of
mm/debug.c and mm/page_owner.c of the kernel in question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmsim.detect.finding import PageSnapshot
from mmsim.report.voice import Voice

_RAW_ROW_BYTES = 32
_COUNTS_WORD = 6


def dump_page(
    page: PageSnapshot | None, reason: str, voice: Voice, before_owner: Sequence[str] = ()
) -> list[str]:
    """The page dump of the era, ``reason`` without the words in front of it.

    ``before_owner`` are lines of the caller that belong between the dump and page_owner's.
    """
    if page is None or voice.version < (2, 6):
        return [*before_owner]
    if voice.version < (3, 14):
        return [*_dump_3_13(page, voice), *before_owner]
    if voice.version < (5, 4):
        lines = _dump_4_19(page, voice)
    elif voice.version < (5, 12):
        lines = _dump_5_4(page, voice)
    else:
        lines = _dump_5_17(page, voice)
    lines += raw_lines(page, voice)
    if reason:
        lines.append(f"page dumped because: {reason}")
    if page.memcg and voice.version < (5, 12):
        lines.append(f"page->mem_cgroup:{_pointer_or_name(page.memcg, voice)}")
    return [*lines, *before_owner, *page_owner(page, voice)]


def flag_list(page: PageSnapshot, fields: tuple[str, ...] = ()) -> str:
    """`0x22(referenced|active)`."""
    return f"{page.flags:#x}({'|'.join((*page.flag_names, *fields))})"


def _dump_3_13(page: PageSnapshot, voice: Voice) -> list[str]:
    mapping = _mapping_word(page)
    pointer = voice.hexword(mapping) if mapping else "(null)".rjust(voice.bits // 4)
    return [
        f"page:{voice.hexword(page.address)} count:{page.ref} mapcount:{_mapcount(page)} "
        f"mapping:{pointer} index:{page.index:#x}",
        f"page flags: {flag_list(page)}",
    ]


def _dump_4_19(page: PageSnapshot, voice: Voice) -> list[str]:
    compound = " compound_mapcount: 0" if page.order else ""
    return [
        f"page:{voice.hexword(page.address)} count:{page.ref} mapcount:{_mapcount(page)} "
        f"mapping:{voice.hexword(_mapping_word(page))} index:{page.index:#x}{compound}",
        f"flags: {flag_list(page)}",
    ]


def _dump_5_4(page: PageSnapshot, voice: Voice) -> list[str]:
    compound = ""
    if page.order:
        head = voice.hexword(page.head or page.address)
        compound = f" head:{head} order:{page.order} compound_mapcount:0"
        if voice.version < (5, 7):
            compound = " compound_mapcount: 0"
    kind, mapping_line = _mapping_kind(page)
    return [
        f"page:{voice.hexword(page.address)} refcount:{page.ref} mapcount:{_mapcount(page)} "
        f"mapping:{voice.hexword(_mapping_word(page))} index:{page.index:#x}{compound}",
        *([mapping_line] if mapping_line else []),
        f"{kind}flags: {flag_list(page)}",
    ]


def _dump_5_17(page: PageSnapshot, voice: Voice) -> list[str]:
    kind, mapping_line = _mapping_kind(page)
    # By now the line prints page_mapping(), which is NULL for anonymous memory.
    mapping = 0 if kind else _mapping_word(page)
    lines = [
        f"page:{voice.hexword(page.address)} refcount:{page.ref} mapcount:{_mapcount(page)} "
        f"mapping:{voice.hexword(mapping)} index:{page.index:#x} pfn:{page.pfn:#x}"
    ]
    if page.order:
        lines.append(
            f"head:{voice.hexword(page.head or page.address)} order:{page.order} "
            "compound_mapcount:0 compound_pincount:0"
        )
    if page.memcg:
        lines.append(f"memcg:{_pointer_or_name(page.memcg, voice)}")
    if mapping_line:
        lines.append(f"aops:{mapping_line}")
    return [*lines, f"{kind}flags: {flag_list(page, (f'node={page.node}',))}"]


def raw_lines(page: PageSnapshot, voice: Voice) -> list[str]:
    """The struct as words, 32 bytes a line: four on 64 bits, eight on 32.

    The snapshot keeps _mapcount and _refcount in one 64-bit word; they are two words on 32 bits.
    """
    raw = list(page.raw)
    if voice.bits == 32 and len(raw) > _COUNTS_WORD:
        counts = raw[_COUNTS_WORD]
        raw[_COUNTS_WORD : _COUNTS_WORD + 1] = [counts, counts >> 32]
    words = [voice.hexword(word) for word in raw]
    row = _RAW_ROW_BYTES * 8 // voice.bits
    return [f"raw: {' '.join(words[i : i + row])}" for i in range(0, len(words), row)]


def page_owner(page: PageSnapshot, voice: Voice) -> list[str]:
    """Who had it last, of a kernel whose page_owner follows a page beyond its free (5.4).

    4.19 knows allocated pages only, and older ones do not have it or do not print it with a page.
    What the record of mmsim lacks (migratetype, gfp_mask, time, stacks) is left out; the whole
    record is in the block.
    """
    if not page.history or voice.version < (5, 4):
        return []
    freed = page.history[-1].startswith("freed")
    last = next((line for line in reversed(page.history) if line.startswith("allocated")), "")
    told = re.search(r" by \S+/(\d+)", last)
    pid = f", pid {told[1]}" if told and voice.version >= (5, 11) else ""
    return [
        f"page_owner tracks the page as {'freed' if freed else 'allocated'}",
        *([f"page last allocated via order {page.order}{pid}"] if last else []),
    ]


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


def _pointer_or_name(text: str, voice: Voice) -> str:
    bare = text.removeprefix("0x")
    if re.fullmatch(r"[0-9a-f]{5,16}", bare):
        return voice.hexword(int(bare, 16))
    return text
