# SPDX-License-Identifier: GPL-2.0-only
"""BUG(), VM_BUG_ON_PAGE() and the dereference of list poison, as the processor reports them.

One shape, three voices: i386 of 2.4 (`invalid operand: 0000`), x86-64 (`invalid opcode: 0000
[#1] SMP`) and 32-bit ARM (`Internal error: Oops`).  Registers are printed only where they teach:
in the list_del oops of thread 000 the two registers that hold ->next and ->prev *are* the
diagnosis, because 0x100 and 0x122 say "this page was list_del'd before" where the fault address
104 alone was read as a NULL pointer.  Any other register would be invention, so it is left out.
"""

from __future__ import annotations

import re

from mmsim.detect.finding import Finding
from mmsim.report.dump_page import dump_page
from mmsim.report.era import ARM, I386, Era
from mmsim.report.symbols import (
    address,
    call_trace,
    frames_of,
    innermost,
    instruction_pointer,
    place,
    source_path,
)
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


def bug(finding: Finding, details: Details, era: Era) -> list[str]:
    """BUG() and BUG_ON()."""
    return [*_headline(finding), *dying(finding, era, bug_line(finding, details))]


def vm_bug_on(finding: Finding, details: Details, era: Era) -> list[str]:
    """VM_BUG_ON_PAGE(): the page first, then the BUG."""
    condition = _condition(finding, details)
    dump = dump_page(finding.page, condition, era)
    if not any(condition in line for line in dump):
        dump = [condition, *dump]  # a kernel without page dumps, or a BUG without a page
    headline = [line for line in _headline(finding) if line != condition]
    return [*headline, *dump, *dying(finding, era, bug_line(finding, details))]


def fault(finding: Finding, details: Details, era: Era) -> list[str]:
    """A page fault or a general protection fault in the kernel."""
    reading = bool(details.take(r"^supervisor read access"))
    details.take(r"^supervisor write access")
    words = details.take(_FAULT)
    if not words:
        words = [finding.title]
    elif not re.search(_FAULT, finding.title):
        words = [finding.title, *words]
    if era.version < (5, 1):
        words = [re.sub(_NULL_DEREFERENCE, _OLD_NULL_DEREFERENCE, line) for line in words]
    body = dying(finding, era, "", reading=reading)
    # A general protection fault is itself the first line of the oops.
    return [*(line for line in words if "general protection fault" not in line), *body]


def bug_line(finding: Finding, details: Details, default: str = "") -> str:
    """`kernel BUG at FILE:LINE!`: given, else the place in the Python that stands for it."""
    given = re.search(_KERNEL_BUG, finding.title)
    if given:
        return given[0]
    lines = details.take(_KERNEL_BUG)
    if lines:
        return lines[0]
    if default:
        return f"kernel BUG at {default}!"
    frames = frames_of(finding)
    where = f"{source_path(frames[0].file)}:{frames[0].line}" if frames else finding.where
    return f"kernel BUG at {where}!"


def dying(finding: Finding, era: Era, bug_at: str, *, reading: bool = False) -> list[str]:
    """From `cut here` to the end trace; ``bug_at`` is empty for a fault."""
    if era.arch == I386:
        body = _i386(finding, era, bug_at, reading)
    elif era.arch == ARM:
        body = _arm(finding, era, bug_at, reading)
    else:
        body = _x86_64(finding, era, bug_at, reading)
    return [*body, *end_trace(finding, era), *panic_in_interrupt(finding, era)]


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


def _poison(finding: Finding, era: Era) -> tuple[int, int] | None:
    """(->next, ->prev) of the node, if a list_del ran into poison.

    They come from the page; without one, ->next is told by the address that faulted, since
    list_del begins by storing to the ->prev of whatever ->next points to.
    """
    page = finding.page
    if page is not None and page.lru_next & _WORD32 in _POISON1:
        return page.lru_next, page.lru_prev
    told = re.search(r"\b(?:0x)?([0-9a-f]{8,16})$", finding.title)
    following = int(told[1], 16) - era.bits // 8 if told else 0
    return (following, 0) if following & _WORD32 in _POISON1 else None


def _x86_64(finding: Finding, era: Era, bug_at: str, reading: bool) -> list[str]:
    old = era.version < (4, 10)
    frames = frames_of(finding)
    poison = None if bug_at else _poison(finding, era)
    trace = call_trace(frames[1:], finding, era)
    return [
        *_x86_64_head(finding, era, bug_at, reading),
        *([MODULES] if old else []),
        cpu_line(finding, era),
        hardware_line(finding),
        instruction_pointer(finding, era),
        *_registers(poison, era, "RAX:", "RDX:"),
        *([] if old else trace),
        *(trace if old else [MODULES]),
    ]


def _x86_64_head(finding: Finding, era: Era, bug_at: str, reading: bool) -> list[str]:
    number = f"[#{era.oopses}]{era.build_words()}"
    if bug_at:
        return [CUT_HERE, bug_at, f"invalid opcode: 0000 {number}"]
    poison = _poison(finding, era)
    if "general protection fault" in finding.title or poison:
        told = re.search(r"0x[0-9a-f]+", finding.title)
        where = told[0] if told else hex(poison[0] + era.bits // 8) if poison else ""
        # The address is not in the processor's report; 5.6 began to guess it from the code.
        if not where or era.version < (5, 6):
            return [f"general protection fault: 0000 {number}"]
        words = f"probably for non-canonical address {where}"
        return [f"general protection fault, {words}: 0000 {number}"]
    access, code = ("read", "0000") if reading else ("write", "0002")
    if era.version < (5, 1):
        return [f"Oops: {code} {number}"]
    return [
        f"#PF: supervisor {access} access in kernel mode",
        f"#PF: error_code(0x{code}) - not-present page",
        f"Oops: {code} {number}",
    ]


def _registers(poison: tuple[int, int] | None, era: Era, prev: str, following: str) -> list[str]:
    """The two registers that list_del loads before its first store."""
    if poison is None:
        return []
    words = [f"{following} {era.hexword(poison[0])}"]
    if poison[1]:
        words.insert(0, f"{prev} {era.hexword(poison[1])}")
    return [("  " if era.arch == ARM else " ").join(words)]


def _arm(finding: Finding, era: Era, bug_at: str, reading: bool) -> list[str]:
    frames = frames_of(finding)
    words = f"[#{era.oopses}]{era.build_words()}"
    head = [CUT_HERE, bug_at, f"Internal error: Oops - BUG: 0 {words}"]
    if not bug_at:
        head = [f"Internal error: Oops: {'207' if reading else 'a07'} {words}"]
    lines = [
        *head,
        MODULES,
        cpu_line(finding, era),
        hardware_line(finding),
        f"PC is at {innermost(finding, era)}",
    ]
    if len(frames) > 1:
        pc, lr = (address(frame, era) for frame in frames[:2])
        lines += [f"LR is at {place(frames[1], era)}", f"pc : [<{pc}>]    lr : [<{lr}>]"]
    poison = None if bug_at else _poison(finding, era)
    if poison and finding.page is not None:
        lines.append(f"r4 : {era.hexword(finding.page.address)}")
    lines += _registers(poison, era, "r3 :", "r2 :")
    lines.append(f"Process {finding.comm} (pid: {finding.pid})")
    return [*lines, *call_trace(frames, finding, era)]


def _i386(finding: Finding, era: Era, bug_at: str, reading: bool) -> list[str]:
    frames = frames_of(finding)
    fault_code = f"Oops: {'0000' if reading else '0002'}"
    head = [bug_at, "invalid operand: 0000"] if bug_at else [fault_code]
    lines = [*head, f"CPU:    {finding.cpu}"]
    if frames:
        lines += [
            f"EIP:    0010:[<{address(frames[0], era)}>]    {era.tainted()}",
            f"EIP is at {innermost(finding, era)}",
        ]
    lines.append(f"Process {finding.comm} (pid: {finding.pid})")
    lines += call_trace(frames[1:], finding, era)
    return [*lines, "Code: 0f 0b"] if bug_at else lines
