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
_VM_BUG_ON = r"VM_BUG_ON\w*\(.*\)"
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
    words = details.take(_FAULT)
    if not words:
        words = [finding.title]
    elif not re.search(_FAULT, finding.title):
        words = [finding.title, *words]
    return [*words, *dying(finding, era, "")]


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


def dying(finding: Finding, era: Era, bug_at: str) -> list[str]:
    """From `cut here` to the end trace; ``bug_at`` is empty for a fault."""
    if era.arch == I386:
        body = _i386(finding, era, bug_at)
    elif era.arch == ARM:
        body = _arm(finding, era, bug_at)
    else:
        body = _x86_64(finding, era, bug_at)
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


def _fault_address(finding: Finding, era: Era) -> str:
    """What list_del would touch first: ->prev of the node that ->next points to."""
    if finding.page is None:
        return ""
    return era.hexword(finding.page.lru_next + era.bits // 8)


def _poisoned(finding: Finding) -> bool:
    """Whether the page's list node still shows that it was deleted."""
    page = finding.page
    if page is None:
        return False
    low = (page.lru_next & 0xFFFFFFFF, page.lru_prev & 0xFFFFFFFF)
    return low in {(0x100, 0x122), (0x100, 0x200), (0x00100100, 0x00200200)}


def _x86_64(finding: Finding, era: Era, bug_at: str) -> list[str]:
    old = era.version < (4, 10)
    frames = frames_of(finding)
    number = f"0000 [#{era.oopses}]{era.build_words()}"
    if bug_at:
        head = [CUT_HERE, bug_at, f"invalid opcode: {number}"]
    elif "general protection" in finding.title or _poisoned(finding):
        where = ", probably for non-canonical address 0x" + _fault_address(finding, era)
        head = [f"general protection fault{where if era.version >= (5, 6) else ''}: {number}"]
    elif era.version >= (5, 1):
        head = [
            "#PF: supervisor write access in kernel mode",
            "#PF: error_code(0x0002) - not-present page",
            f"Oops: {number.replace('0000', '0002', 1)}",
        ]
    else:
        head = [f"Oops: {number.replace('0000', '0002', 1)}"]
    rip = f"RIP: 0010:{innermost(finding, era)}"
    if old and frames:
        pc = f"[<{address(frames[0], era)}>]"
        rip = f"RIP: 0010:{pc}  {pc} {innermost(finding, era)}"
    registers = []
    if not bug_at and _poisoned(finding) and finding.page is not None:
        page = finding.page
        registers = [f"RAX: {era.hexword(page.lru_prev)} RDX: {era.hexword(page.lru_next)}"]
    trace = call_trace(frames[1:], finding, era)
    return [
        *head,
        *([MODULES] if old else []),
        cpu_line(finding, era),
        hardware_line(finding),
        rip,
        *registers,
        *([] if old else trace),
        *(trace if old else [MODULES]),
    ]


def _arm(finding: Finding, era: Era, bug_at: str) -> list[str]:
    frames = frames_of(finding)
    words = f"[#{era.oopses}]{era.build_words()}"
    head = [CUT_HERE, bug_at, f"Internal error: Oops - BUG: 0 {words}"]
    if not bug_at:
        head = [f"Internal error: Oops: a07 {words}"]
    lines = [
        *head,
        MODULES,
        cpu_line(finding, era),
        hardware_line(finding),
        f"PC is at {innermost(finding, era)}",
    ]
    if len(frames) > 1:
        caller = frames[1]
        lines += [
            f"LR is at {place(caller, era)}",
            f"pc : [<{address(frames[0], era)}>]    lr : [<{address(caller, era)}>]",
        ]
    if not bug_at and _poisoned(finding) and finding.page is not None:
        page = finding.page
        lines += [
            f"r4 : {era.hexword(page.address)}",
            f"r3 : {era.hexword(page.lru_prev)}  r2 : {era.hexword(page.lru_next)}",
        ]
    lines.append(f"Process {finding.comm} (pid: {finding.pid})")
    return [*lines, *call_trace(frames, finding, era)]


def _i386(finding: Finding, era: Era, bug_at: str) -> list[str]:
    frames = frames_of(finding)
    head = [bug_at, "invalid operand: 0000"] if bug_at else ["Oops: 0002"]
    lines = [*head, f"CPU:    {finding.cpu}"]
    if frames:
        lines += [
            f"EIP:    0010:[<{address(frames[0], era)}>]    {era.tainted()}",
            f"EIP is at {innermost(finding, era)}",
        ]
    lines.append(f"Process {finding.comm} (pid: {finding.pid})")
    lines += call_trace(frames[1:], finding, era)
    return [*lines, "Code: 0f 0b"] if bug_at else lines
