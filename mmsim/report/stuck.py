# SPDX-License-Identifier: GPL-2.0-only
"""Nothing moves, or something moves that must not: hangs, deadlocks, lock misuse.

A real kernel notices a hang by the clock: 120 seconds for a task, 22 for a CPU.  mmsim knows it
the moment nobody can run, and says it in the same words, because those are the words people
search for.  What a kernel cannot print is who waits for whom; that cycle is the answer everyone
wants, so it comes right after the stack.
"""

from __future__ import annotations

import re

from mmsim.detect.finding import Finding
from mmsim.report.era import I386, X86_64, Era
from mmsim.report.symbols import call_trace, frames_of, innermost, instruction_pointer
from mmsim.report.words import MODULES, Details, identity

_HARDIRQ_COUNT = 0x10000
_SOFTIRQ_COUNT = 0x100


def hung_task(finding: Finding, details: Details, era: Era) -> list[str]:
    """A task asleep with nobody left to wake it."""
    return [
        *_unless(finding.title, r"^INFO: task\b"),
        *_hung_block(finding, era),
        *(details.take(r"^INFO: task .* is blocked on") or _likely_owner(finding, details, era)),
    ]


def _likely_owner(finding: Finding, details: Details, era: Era) -> list[str]:
    """What only the newest kernels say, and what everyone wants to know first."""
    if era.arch == I386:
        return []
    me = rf"^{re.escape(finding.comm)}/{finding.pid} "
    held = details.peek(me + r".*\bsleeps for (.+), held by (\S+)/(\d+)")
    if not held:
        return []
    lock, comm, pid = held.groups()
    who = f"{finding.comm}:{finding.pid}"
    return [f"INFO: task {who} is blocked on {lock} likely owned by task {comm}:{pid}."]


def soft_lockup(finding: Finding, details: Details, era: Era) -> list[str]:
    """A CPU that runs and gets nowhere."""
    return [*_unless(finding.title, r"\bsoft lockup\b"), *_lockup_block(finding, era)]


def livelock(finding: Finding, details: Details, era: Era) -> list[str]:
    """Everybody runs, nobody arrives: the kernel has no word for it before it is a lockup."""
    return [
        finding.title,
        *identity(finding, era),
        *call_trace(frames_of(finding), finding, era, "dump_stack"),
    ]


def deadlock(finding: Finding, details: Details, era: Era) -> list[str]:
    """A wait-for cycle.  A sleeper is reported as a hung task, a spinner as a locked-up CPU."""
    spinning = (
        finding.context != "task"
        or re.search(r"\bspin", finding.title) is not None
        or details.peek(rf"^\s*{re.escape(finding.comm)}\b.*\bspin") is not None
    )
    blocks = _lockup_block(finding, era) if spinning else _hung_block(finding, era)
    told = _unless(finding.title, r"^INFO: task\b|\bsoft lockup\b")
    blocked = details.take(r"^INFO: task .* is blocked on")
    cycle = details.rest()
    return [
        *told,
        *blocks,
        *blocked,
        *(["wait-for cycle:", *(f" {line.lstrip()}" for line in cycle)] if cycle else []),
    ]


def spinlock(finding: Finding, details: Details, era: Era) -> list[str]:
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
        *identity(finding, era),
        *call_trace(frames_of(finding), finding, era, "dump_stack"),
    ]


def atomic_sleep(finding: Finding, details: Details, era: Era) -> list[str]:
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
        *identity(finding, era),
        *call_trace(frames_of(finding), finding, era, "dump_stack"),
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
    return [] if re.search(pattern, title) else [title]


def _hung_block(finding: Finding, era: Era) -> list[str]:
    """The hung task detector.  2.4 had none, only the task list of Alt-SysRq-T."""
    trace = call_trace(frames_of(finding), finding, era, "__schedule")
    if era.arch == I386:
        return [f"{finding.comm:<13} D {finding.pid:>5}", *trace]
    task = f"task:{finding.comm:<15.15} state:D stack:{0:>5} pid:{finding.pid:>5}"
    if era.version < (5, 9):
        task = f"{finding.comm:<15.15} D{0:>5} {finding.pid:>5}"
    return [
        f"INFO: task {finding.comm}:{finding.pid} blocked for more than 120 seconds.",
        f"      {era.tainted()} {era.release} #1",
        '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.',
        task,
        *trace,
    ]


def _lockup_block(finding: Finding, era: Era) -> list[str]:
    """The watchdog: NMI in 2.4, the soft lockup detector since."""
    frames = frames_of(finding)
    if era.arch == I386:
        return [
            f"NMI Watchdog detected LOCKUP on CPU{finding.cpu}, registers:",
            f"CPU:    {finding.cpu}",
            f"EIP is at {innermost(finding, era)}",
            f"Process {finding.comm} (pid: {finding.pid})",
            *call_trace(frames[1:], finding, era),
        ]
    watchdog = "watchdog: " if era.version >= (4, 14) else ""
    lines = [
        f"{watchdog}BUG: soft lockup - CPU#{finding.cpu} stuck for 22s! "
        f"[{finding.comm}:{finding.pid}]",
        MODULES,
        *identity(finding, era),
    ]
    if era.arch == X86_64:
        return [
            *lines,
            instruction_pointer(finding, era),
            *call_trace(frames[1:], finding, era),
        ]
    return [
        *lines,
        f"PC is at {innermost(finding, era)}",
        *call_trace(frames, finding, era),
    ]
