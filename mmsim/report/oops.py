# SPDX-License-Identifier: GPL-2.0-only
"""BUG(), VM_BUG_ON_PAGE() and the dereference of list poison, as the processor reports them.

One shape, three voices: i386 of 2.4 (i386.py), 32-bit ARM (arm.py), and x86-64 here (`invalid
opcode: 0000 [#1] SMP`).  Registers are printed only where they teach: the two that list_del has
loaded from the page.  Any other would be invention, so it is left out.
"""

from __future__ import annotations

import re

from mmsim.detect.finding import Finding
from mmsim.report import arm, i386
from mmsim.report.dump_page import dump_page
from mmsim.report.symbols import call_trace, frames_of, instruction_pointer
from mmsim.report.voice import ARM, I386, Voice
from mmsim.report.words import (
    CUT_HERE,
    MODULES,
    Details,
    cpu_line,
    end_trace,
    hardware_line,
    panic_in_interrupt,
)

_KERNEL_BUG = r"kernel BUG at [^\s!]+!"
_WORD32 = 0xFFFFFFFF
_POISON1 = (0x100, 0x00100100)
_VM_BUG_ON = r"VM_BUG_ON\w*\(.*\)"
_NULL_DEREFERENCE = r"kernel NULL pointer dereference, address:"
_OLD_NULL_DEREFERENCE = "unable to handle kernel NULL pointer dereference at"
_FAULT = (
    r"Unable to handle kernel|[Uu]nable to handle (?:kernel |page fault)|NULL pointer dereference"
    r"|general protection fault"
)


_TRAP = r"general protection fault|^divide error"


def bug(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """BUG() and BUG_ON()."""
    return [*_headline(finding), *dying(finding, voice, bug_line(finding, details))]


def vm_bug_on(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """VM_BUG_ON_PAGE(): the page first, then the BUG.  Before 3.14 it was VM_BUG_ON(): no page."""
    condition = _condition(finding, details)
    dump = dump_page(finding.page, condition, voice) if voice.version >= (3, 14) else []
    if not any(condition in line for line in dump):
        details.add(condition)
    headline = [line for line in _headline(finding) if line != condition]
    return [*headline, *dump, *dying(finding, voice, bug_line(finding, details))]


def fault(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """A page fault or a general protection fault in the kernel."""
    reading = bool(details.take(r"^supervisor read access"))
    details.take(r"^supervisor write access")
    words = details.take(_FAULT)
    if not words:
        words = [finding.title]
    elif not re.search(_FAULT, finding.title):
        words = [finding.title, *words]
    if voice.version < (5, 1):
        words = [re.sub(_NULL_DEREFERENCE, _OLD_NULL_DEREFERENCE, line) for line in words]
    body = dying(finding, voice, "", reading=reading)
    if voice.arch == ARM:
        told = re.search(r"virtual address ([0-9a-f]{8})", "\n".join(words))
        tables = arm.page_tables(finding, int(told[1], 16), voice) if told else []
        return [arm.FAULT_CUT_HERE, *words, *tables, *body]
    # These traps are themselves the first line of the oops.
    return [*(line for line in words if not re.search(_TRAP, line)), *body]


def bug_line(finding: Finding, details: Details, default: str = "") -> str:
    """`kernel BUG at FILE:LINE!`, as the assertion says; else the file of the kernel's function."""
    given = re.search(_KERNEL_BUG, finding.title)
    if given:
        return given[0]
    lines = details.take(_KERNEL_BUG)
    if lines:
        return lines[0]
    return f"kernel BUG at {default or kernel_file(finding)}!"


def kernel_file(finding: Finding) -> str:
    """The innermost file of the kernel in the stack; never one of the simulator."""
    return next((frame.source for frame in frames_of(finding) if frame.source), finding.where)


def dying(finding: Finding, voice: Voice, bug_at: str, *, reading: bool = False) -> list[str]:
    """From `cut here` to the end trace; ``bug_at`` is empty for a fault."""
    panic = panic_in_interrupt(finding, voice)
    if voice.arch == I386:
        return [*i386.oops(finding, voice, bug_at, reading=reading), *panic]
    poison = None if bug_at else _poison(finding, voice)
    head = [CUT_HERE, bug_at] if bug_at else []
    if voice.arch == ARM:
        return [*head, *arm.oops(finding, voice, bug_at, poison, reading=reading), *panic]
    return [
        *head,
        *_x86_64(finding, voice, bug_at, poison, reading=reading),
        *end_trace(finding, voice),
        *panic,
    ]


def _headline(finding: Finding) -> list[str]:
    """What the title says beyond the lines that are printed in their own place."""
    rest = finding.title
    for pattern in (_KERNEL_BUG, r"page dumped because:", _VM_BUG_ON):
        rest = re.sub(pattern, "", rest)
    rest = rest.strip(" :;,-")
    return [rest] if rest else []


def _condition(finding: Finding, details: Details) -> str:
    """`VM_BUG_ON_PAGE(!PageLRU(page))`, from the title or else from the details."""
    match = re.search(_VM_BUG_ON, finding.title)
    if match:
        return match[0]
    found = details.peek(_VM_BUG_ON)
    if found:
        details.take(re.escape(found[0]))
        return found[0]
    return finding.title


def _poison(finding: Finding, voice: Voice) -> tuple[int, int] | None:
    """(->next, ->prev) of the node, if a list_del ran into poison.

    They come from the page; without one, ->next is told by the address that faulted, since
    list_del begins by storing to the ->prev of whatever ->next points to.
    """
    page = finding.page
    if page is not None and page.lru_next & _WORD32 in _POISON1:
        return page.lru_next, page.lru_prev
    told = re.search(r"\b(?:0x)?([0-9a-f]{8,16})$", finding.title)
    following = int(told[1], 16) - voice.bits // 8 if told else 0
    return (following, 0) if following & _WORD32 in _POISON1 else None


def _x86_64(
    finding: Finding, voice: Voice, bug_at: str, poison: tuple[int, int] | None, *, reading: bool
) -> list[str]:
    old = voice.version < (4, 10)
    frames = frames_of(finding)
    trace = call_trace(frames[1:], finding, voice)
    return [
        *_x86_64_head(finding, voice, bug_at, poison, reading=reading),
        *([MODULES] if old else []),
        cpu_line(finding, voice),
        hardware_line(finding),
        instruction_pointer(finding, voice),
        *_registers(poison, voice),
        *([] if old else trace),
        *(trace if old else [MODULES]),
    ]


def _x86_64_head(
    finding: Finding, voice: Voice, bug_at: str, poison: tuple[int, int] | None, *, reading: bool
) -> list[str]:
    number = f"[#{voice.oopses}]{voice.build_words()}"
    if bug_at:
        return [f"invalid opcode: 0000 {number}"]
    if "general protection fault" in finding.title or poison:
        told = re.search(r"0x[0-9a-f]+", finding.title)
        where = told[0] if told else hex(poison[0] + voice.bits // 8) if poison else ""
        # The address is not in the processor's report; 5.6 began to guess it from the code.
        if not where or voice.version < (5, 6):
            return [f"general protection fault: 0000 {number}"]
        words = f"probably for non-canonical address {where}"
        return [f"general protection fault, {words}: 0000 {number}"]
    access, code = ("read", "0000") if reading else ("write", "0002")
    if voice.version < (5, 1):
        return [f"Oops: {code} {number}"]
    return [
        f"#PF: supervisor {access} access in kernel mode",
        f"#PF: error_code(0x{code}) - not-present page",
        f"Oops: {code} {number}",
    ]


def _registers(poison: tuple[int, int] | None, voice: Voice) -> list[str]:
    """The two registers that list_del loads before its first store."""
    if poison is None:
        return []
    prev = [f"RAX: {voice.hexword(poison[1])}"] if poison[1] else []
    return [" ".join([*prev, f"RDX: {voice.hexword(poison[0])}"])]
