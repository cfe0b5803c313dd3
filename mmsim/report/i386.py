# SPDX-License-Identifier: GPL-2.0-only
"""An oops of 2.4 on i386 (arch/i386/kernel/traps.c: show_registers).

No function has a name here: 2.4 printed addresses, and ksymoops looked them up in System.map.
A decoded report has its lines below, as people pasted them into their mails.

Of the registers only those are printed that say something.  Until 2.4.18 BUG() calls printk()
before it executes ud2, so %eax holds the number of characters printed; from 2.4.19 on the trap
handler reads file and line out of the code behind ud2, and %eax is nobody's.  %ebx stands for the
page.  The flags are those that are known: IF, and RF as a trap leaves it.

Twenty bytes of code follow the faulting one in a kernel.  Behind those that are known stands 90.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import replace

from mmsim.detect.finding import Finding, Frame
from mmsim.report.symbols import address, call_trace, frames_of, ksymoops, place
from mmsim.report.voice import Voice
from mmsim.report.words import current

_CODE_BYTES = 20
_NOP = 0x90
_EFLAGS = 0x00010002  # RF and the bit that is always set
_IF = 0x200
_THREAD_SIZE = 0x2000
_INLINE_LINE = (2, 4, 19)  # ud2 is followed by the line and a pointer to the file's name
_RODATA = 0xC0240000


def oops(finding: Finding, voice: Voice, bug_at: str, *, reading: bool = False) -> list[str]:
    """From the message to the code; ``bug_at`` is empty for a fault."""
    trap = re.search(r"^[a-z ]+: 0000$", finding.title)
    if bug_at:
        head = [bug_at, "invalid operand: 0000"]
    elif trap:
        head = [trap[0]]
    else:
        head = [*_printing_eip(finding, voice), f"Oops: {'0000' if reading else '0002'}"]
    return [*head, *registers(finding, voice, bug_at)]


def _printing_eip(finding: Finding, voice: Voice) -> list[str]:
    frames = frames_of(finding)
    eip = [address(frames[0], voice)] if frames else []
    return [" printing eip:", *eip, "*pde = 00000000"] if eip else []


def registers(finding: Finding, voice: Voice, bug_at: str = "") -> list[str]:
    """show_registers(): CPU, registers, process, trace and code."""
    frames = frames_of(finding)
    comm, pid = current(finding)
    lines = [f"CPU:    {finding.cpu}"]
    if frames:
        lines.append(f"EIP:    0010:[<{address(frames[0], voice)}>]    {voice.tainted()}")
    lines.append(f"EFLAGS: {_EFLAGS | (0 if finding.irqs_off else _IF):08x}")
    known = []
    if bug_at and voice.version < _INLINE_LINE:
        known.append(f"eax: {len(bug_at) + 1:08x}")
    if finding.page is not None:
        known.append(f"ebx: {finding.page.address:08x}")
    return [
        *lines,
        *(["   ".join(known)] if known else []),
        "ds: 0018   es: 0018   ss: 0018",
        f"Process {comm} (pid: {pid}, stackpage={_stackpage(pid):08x})",
        *call_trace(frames[1:], finding, replace(voice, decode="")),
        *([f"Code: {_code(bug_at, voice)}"] if bug_at else []),
        *_names(frames, voice),
    ]


def _stackpage(pid: int) -> int:
    """The upper of the two pages that begin with the task_struct."""
    return 0xC4000000 + pid * _THREAD_SIZE + _THREAD_SIZE // 2


def _code(bug_at: str, voice: Voice) -> str:
    code = [0x0F, 0x0B]
    told = re.search(r"([\w./-]+):(\d+)!", bug_at)
    if told and voice.version >= _INLINE_LINE:
        name = _RODATA + zlib.crc32(told[1].encode()) % 0x20000
        code += [*int(told[2]).to_bytes(2, "little"), *name.to_bytes(4, "little")]
    code += [_NOP] * (_CODE_BYTES - len(code))
    return " ".join(f"{byte:02x}" for byte in code)


def _names(frames: Sequence[Frame], voice: Voice) -> list[str]:
    """What ksymoops adds below."""
    if not voice.decode or not frames:
        return []
    eip = f">>EIP; {address(frames[0], voice)} {place(frames[0], voice)}"
    return [eip, *ksymoops(frames[1:], voice)]
