# SPDX-License-Identifier: GPL-2.0-only
"""An oops of 5.4 on 32-bit ARM (arch/arm/kernel/traps.c, process.c, mm/fault.c).

In the list_del oops of thread 000 two registers are the diagnosis: 0x100 and 0x122 in r2 and r3 say
that the page was list_del'd before, where the fault address 104 alone was read as a NULL pointer.
The instruction says the same: `str r3, [r2, #4]`, behind the load of both words from the page.

Registers that mmsim has no value for are left out.  The stack is laid out as functions of this
kernel save it, eight words a frame (r4 to r10 and lr): the return addresses are those of the
backtrace, r4 of the innermost frame is the page, any other word is 0.  So are the registers of the
task in user mode at its bottom.  The page table words are of a table that is there, above lowmem,
which is why the kernel does not print the pte.

The machine of the thread panics on an oops, as this one does on its first.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from mmsim.detect.finding import Finding, Frame
from mmsim.report.symbols import address, call_trace, frames_of, innermost
from mmsim.report.voice import Voice
from mmsim.report.words import MODULES, cpu_line, current, end_trace, hardware_line

FAULT_CUT_HERE = "8<--- cut here ---"
BUG_INSTRUCTION = "e7f001f2"
_LOAD_BOTH, _STORE_PREV = "e1c420d4", "e5823004"

_WORDS = 8
_ROW = 4 * _WORDS
_SVC = 0x13
_IRQ_BIT = 0x80
_THREAD_SIZE = 0x2000
_PT_REGS = 18 * 4
_ABOVE = 8 + 8  # between the registers and the end of the stack
_SYSCALL = Frame("ret_fast_syscall", "", 0, 0, 0x4C, "arch/arm/kernel/entry-common.S")


def page_tables(finding: Finding, at: int, voice: Voice) -> list[str]:
    """`pgd = …` and the two levels of an LPAE walk that ends in highmem."""
    comm, pid = current(finding)
    hashed = zlib.crc32(f"{comm}/{pid}".encode())
    pgd, pmd = ((0x800000000 | (hashed >> shift & 0xFFFFF) << 12 | 3) for shift in (0, 8))
    return [f"pgd = {hashed:08x}", f"[{voice.hexword(at)}] *pgd={pgd:08x}, *pmd={pmd:08x}"]


def oops(
    finding: Finding, voice: Voice, bug_at: str, poison: tuple[int, int] | None, *, reading: bool
) -> list[str]:
    """From `Internal error` to the panic; ``poison`` is (->next, ->prev) of the node."""
    words = f"[#{voice.oopses}]{voice.build_words()}"
    what = "- BUG: 0" if bug_at else "207" if reading else "a07"
    separator = " " if bug_at else ": "
    comm, pid = current(finding)
    frames = frames_of(finding)
    stack = _Stack(finding, frames, voice)
    return [
        f"Internal error: Oops{separator}{what} {words}",
        MODULES,
        cpu_line(finding, voice),
        hardware_line(finding),
        *_registers(finding, voice, poison, stack.sp),
        f"Process {comm} (pid: {pid}, stack limit = 0x{zlib.crc32(comm.encode()):08x})",
        *stack.dump("Stack: ", stack.sp, stack.top),
        *_backtrace(finding, frames, voice),
        *(stack.dump("Exception stack", stack.user, stack.user + _PT_REGS) if stack.user else []),
        *_code(bug_at, poison, reading=reading),
        *end_trace(finding, voice),
        *(
            ["Kernel panic - not syncing: Fatal exception"]
            if finding.context == "task" and voice.oopses == 1
            else []
        ),
    ]


def _registers(
    finding: Finding, voice: Voice, poison: tuple[int, int] | None, sp: int
) -> list[str]:
    """The link register is the function's own: its last call has returned to it."""
    frames = frames_of(finding)
    where = innermost(finding, voice)
    off = finding.irqs_off or finding.context == "hardirq"
    lines = [f"PC is at {where}", f"LR is at {where}"]
    if frames:
        pc = address(frames[0], voice)
        psr = _SVC | (_IRQ_BIT if off else 0)
        lines.append(f"pc : [<{pc}>]    lr : [<{pc}>]    psr: {psr:08x}")
    lines.append(f"sp : {sp:08x}")
    if poison and finding.page is not None:
        lines.append(f"r4 : {voice.hexword(finding.page.address)}")
    if poison:
        prev = [f"r3 : {voice.hexword(poison[1])}"] if poison[1] else []
        lines.append("  ".join([*prev, f"r2 : {voice.hexword(poison[0])}"]))
    irqs = "off" if off else "on"
    lines.append(f"Flags: nzcv  IRQs {irqs}  FIQs on  Mode SVC_32  ISA ARM  Segment user")
    return lines


def _backtrace(finding: Finding, frames: Sequence[Frame], voice: Voice) -> list[str]:
    entered = (*frames, _SYSCALL) if _by_syscall(finding, frames) else tuple(frames)
    return call_trace(entered, finding, voice)


def _by_syscall(finding: Finding, frames: Sequence[Frame]) -> bool:
    """Did the task come from user mode?  Threads of the kernel and drivers are no kernel file's."""
    return finding.context == "task" and bool(frames) and bool(frames[-1].source)


def _code(bug_at: str, poison: tuple[int, int] | None, *, reading: bool) -> list[str]:
    if bug_at:
        return [f"Code: ({BUG_INSTRUCTION})"]
    if poison and not reading:
        return [f"Code: {_LOAD_BOTH} ({_STORE_PREV})"]
    return []


class _Stack:
    """The kernel stack of the task that runs; ``user`` is where its user registers are, or 0."""

    def __init__(self, finding: Finding, frames: Sequence[Frame], voice: Voice) -> None:
        pid = current(finding)[1]
        self.top = 0xCC000000 + (pid + 1) * _THREAD_SIZE
        callers = [int(address(frame, voice), 16) for frame in frames[1:]]
        entered = _by_syscall(finding, frames)
        self.user = self.top - _ABOVE - _PT_REGS if entered else 0
        bottom = (self.user or self.top) & -_ROW
        if entered:
            callers.append(int(address(_SYSCALL, voice), 16))
        self.sp = bottom - _ROW * len(callers)
        self._words = {self.sp + _ROW * i + _ROW - 4: caller for i, caller in enumerate(callers)}
        if callers and finding.page is not None:
            self._words[self.sp] = finding.page.address & 0xFFFFFFFF

    def dump(self, title: str, start: int, end: int) -> Iterator[str]:
        """dump_mem(): eight words a line, each line named by its address' low half."""
        yield f"{title}(0x{start:08x} to 0x{end:08x})"
        for row in range(start & -_ROW, end, _ROW):
            words = "".join(
                f" {self._words.get(at, 0):08x}" if start <= at < end else " " * 9
                for at in range(row, row + _ROW, 4)
            )
            yield f"{row & 0xFFFF:04x}:{words}".rstrip()
