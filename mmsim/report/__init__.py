# SPDX-License-Identifier: GPL-2.0-only
"""Values in, text out.

``render`` turns a finding into the report a kernel of that era would have printed, followed by
the mmsim block.  Nothing here touches a machine, but for record.py, which listens to one: a report
can be written from a finding that was pickled last week.  Each kind of finding has one writer;
``Details`` makes sure that every line a detector supplied is printed exactly once, in the kernel's
part or else in the block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mmsim.detect.finding import Finding
from mmsim.report import badpage, oops, own, stuck, warn
from mmsim.report.block import VariantLike, mmsim_block, seen
from mmsim.report.lanes import EventLike, lanes
from mmsim.report.voice import Voice, is_own, voice_of
from mmsim.report.words import Details

__all__ = [
    "EventLike",
    "VariantLike",
    "is_own",
    "kernel_report",
    "lanes",
    "render",
    "seen",
]

Writer = Callable[[Finding, Details, Voice], list[str]]

_WRITERS: Mapping[str, Writer] = {
    "BUG": oops.bug,
    "VM_BUG_ON": oops.vm_bug_on,
    "oops": oops.fault,
    "bad-page": badpage.bad_page,
    "list-corruption": warn.list_corruption,
    "deadlock": stuck.deadlock,
    "hung-task": stuck.hung_task,
    "soft-lockup": stuck.soft_lockup,
    "spinlock": stuck.spinlock,
    "atomic-sleep": stuck.atomic_sleep,
    "warn": warn.warn,
}

DECODINGS = ("", "python", "kernel")


def kernel_report(
    finding: Finding,
    *,
    smp: bool | None = None,
    decode: str = "",
    earlier: Sequence[Finding] = (),
) -> str:
    """The kernel's part alone, for pasting into a mail; of what no kernel says, mmsim's lines."""
    voice = _voice(finding, smp, decode, earlier)
    return "\n".join(_write(finding, Details(finding.detail), voice))


def render(
    finding: Finding,
    *,
    variant: VariantLike,
    reproduce: str = "",
    count: int = 1,
    runs: int = 1,
    lanes: str = "",
    decode: str = "",
    earlier: Sequence[Finding] = (),
    run: Mapping[str, object] | None = None,
) -> str:
    """The whole report: the kernel's part, then the mmsim block.

    ``count`` of ``runs`` is how often this fingerprint was seen; ``lanes`` the text of ``lanes()``;
    ``decode`` one of ``DECODINGS``; ``earlier`` the findings of the same run before this one (they
    taint the kernel); ``run`` further facts for the run line (engine, policy, seed).
    """
    smp = bool(variant.config.get("SMP", finding.cpus > 1))
    voice = _voice(finding, smp, decode, earlier)
    details = Details(finding.detail)
    lines = _write(finding, details, voice)
    block = mmsim_block(
        finding,
        variant,
        voice,
        reproduce=reproduce,
        count=count,
        runs=runs,
        lanes=lanes,
        details=details.rest(),
        run=run or {},
        show_page=not any(line.startswith("page:") for line in lines),
    )
    return "\n".join([*lines, *block])


def _write(finding: Finding, details: Details, voice: Voice) -> list[str]:
    if is_own(finding):
        return own.said_by_mmsim(finding, details, voice)
    if finding.kind == "list-corruption" and voice.version < (4, 10):
        return warn.list_warning(finding, details, voice)
    return _WRITERS[finding.kind](finding, details, voice)


def _voice(finding: Finding, smp: bool | None, decode: str, earlier: Sequence[Finding]) -> Voice:
    if decode not in DECODINGS:
        raise ValueError(f"decode is one of {', '.join(map(repr, DECODINGS))}, not {decode!r}")
    return voice_of(
        finding, smp=finding.cpus > 1 if smp is None else smp, decode=decode, earlier=earlier
    )
