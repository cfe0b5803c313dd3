# SPDX-License-Identifier: GPL-2.0-only
"""Hangs, deadlocks and lock misuse.

A kernel notices a hang by the clock: 120 seconds for a task, 22 for a CPU.  mmsim knows it the
moment nobody can run, and says it in the same words, because people search for those.  What a
kernel cannot print is who waits for whom; that cycle follows the stack, marked as mmsim's.
"""

from __future__ import annotations

import re

from mmsim.detect.finding import Finding
from mmsim.report import i386
from mmsim.report.symbols import call_trace, frames_of, innermost, instruction_pointer
from mmsim.report.voice import I386, X86_64, Voice
from mmsim.report.words import MODULES, Details, current, identity, own

_HARDIRQ_COUNT = 0x10000
_SOFTIRQ_COUNT = 0x100


def hung_task(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """A task asleep with nobody left to wake it."""
    return [
        *_unless(finding.title, r"^INFO: task\b"),
        *_hung_block(finding, voice),
        *(details.take(r"^INFO: task .* is blocked on") or _likely_owner(finding, details, voice)),
    ]


def _likely_owner(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """What only the newest kernels say, and what everyone wants to know first."""
    if voice.arch == I386:
        return []
    me = rf"^{re.escape(finding.comm)}/{finding.pid} "
    held = details.peek(me + r".*\bsleeps for (.+), held by (\S+)/(\d+)")
    if not held:
        return []
    lock, comm, pid = held.groups()
    who = f"{finding.comm}:{finding.pid}"
    return [f"INFO: task {who} is blocked on {lock} likely owned by task {comm}:{pid}."]


def soft_lockup(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """A CPU that runs and gets nowhere."""
    return [*_unless(finding.title, r"\bsoft lockup\b"), *_lockup_block(finding, voice)]


def deadlock(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """A wait-for cycle.  A sleeper is reported as a hung task, a spinner as a locked-up CPU."""
    spinning = (
        finding.context != "task"
        or re.search(r"\bspin", finding.title) is not None
        or details.peek(rf"^\s*{re.escape(finding.comm)}\b.*\bspin") is not None
    )
    blocks = _lockup_block(finding, voice) if spinning else _hung_block(finding, voice)
    told = _unless(finding.title, r"^INFO: task\b|\bsoft lockup\b")
    blocked = details.take(r"^INFO: task .* is blocked on")
    cycle = details.rest()
    return [
        *told,
        *blocks,
        *blocked,
        *([own("wait-for cycle:")] if cycle else []),
        *(own(f" {line.lstrip()}") for line in cycle),
    ]


def spinlock(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """DEBUG_SPINLOCK: the lock, its owner, and the one who should not be here."""
    given = details.take(r"^BUG: spinlock .* on CPU#")
    match = re.match(r"BUG: spinlock ([A-Za-z ]+[A-Za-z])", finding.title)
    if given:
        head = given[0]
    elif match:
        what = match[1].removesuffix(" on")
        head = f"BUG: spinlock {what} on CPU#{finding.cpu}, {finding.comm}/{finding.pid}"
    else:
        head = finding.title
    locks = [f" {line.lstrip()}" for line in details.take(r"^\s*lock: ")]
    return [
        head,
        *locks,
        *identity(finding, voice),
        *call_trace(frames_of(finding), finding, voice, "dump_stack"),
    ]


def atomic_sleep(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """Sleeping where nobody could wake us: with a spinlock held or in an interrupt."""
    count = _preempt_count(finding, details)
    lines = [finding.title]
    given = details.take(r"^BUG: scheduling while atomic: |^in_atomic\(\)")
    if finding.title.startswith("BUG: scheduling while atomic"):
        who = f"{finding.comm}/{finding.pid}/{count:#010x}"
        lines = [*(given or [f"BUG: scheduling while atomic: {who}"]), MODULES]
    elif finding.title.startswith("BUG: sleeping function called"):
        irqs = details.peek(r"irqs_disabled\(\): \d")
        middle = f"{irqs[0]}, " if irqs else ""
        who = f"pid: {finding.pid}, name: {finding.comm}"
        lines += given or [f"in_atomic(): {int(count > 0)}, {middle}{who}"]
        details.take(r"^irqs_disabled\(\): \d$")
    lines += details.take(r"^preempt_count:")
    held = len(finding.locks)
    if held:
        plural = "s" * (held != 1)
        lines.append(f"{held} lock{plural} held by {finding.comm}/{finding.pid}:")
        lines += [f" #{i}: ({name})" for i, name in enumerate(finding.locks)]
    return [
        *lines,
        *identity(finding, voice),
        *call_trace(frames_of(finding), finding, voice, "dump_stack"),
    ]


def _preempt_count(finding: Finding, details: Details) -> int:
    """As the detector counted it; else one for each lock held, plus the interrupt's share."""
    given = details.peek(r"preempt_count: (?:0x)?([0-9a-f]+)")
    if given:
        return int(given[1], 16)
    context = {"hardirq": _HARDIRQ_COUNT, "softirq": _SOFTIRQ_COUNT}.get(finding.context, 0)
    return len(finding.locks) + context


def _unless(title: str, pattern: str) -> list[str]:
    """The title on its own line, unless the report says the same in the kernel's form."""
    return [] if re.search(pattern, title) else [own(title)]


def _hung_block(finding: Finding, voice: Voice) -> list[str]:
    """The hung task detector.  2.4 had none, only the task list of Alt-SysRq-T."""
    trace = call_trace(frames_of(finding), finding, voice, "__schedule")
    if voice.arch == I386:
        return [f"{finding.comm:<13} D {finding.pid:>5}", *trace]
    task = f"task:{finding.comm:<15.15} state:D stack:{0:>5} pid:{finding.pid:>5}"
    if voice.version < (5, 9):
        task = f"{finding.comm:<15.15} D{0:>5} {finding.pid:>5}"
    return [
        f"INFO: task {finding.comm}:{finding.pid} blocked for more than 120 seconds.",
        f"      {voice.tainted()} {voice.release} #1",
        '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.',
        task,
        *trace,
    ]


def _lockup_block(finding: Finding, voice: Voice) -> list[str]:
    """The watchdog: NMI in 2.4, the soft lockup detector since."""
    frames = frames_of(finding)
    if voice.arch == I386:
        return [
            f"NMI Watchdog detected LOCKUP on CPU{finding.cpu}, registers:",
            *i386.registers(finding, voice),
        ]
    watchdog = "watchdog: " if voice.version >= (4, 14) else ""
    comm, pid = current(finding)
    lines = [
        f"{watchdog}BUG: soft lockup - CPU#{finding.cpu} stuck for 22s! [{comm}:{pid}]",
        MODULES,
        *identity(finding, voice),
    ]
    if voice.arch == X86_64:
        return [
            *lines,
            instruction_pointer(finding, voice),
            *call_trace(frames[1:], finding, voice),
        ]
    return [
        *lines,
        f"PC is at {innermost(finding, voice)}",
        *call_trace(frames, finding, voice),
    ]
