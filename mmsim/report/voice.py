# SPDX-License-Identifier: GPL-2.0-only
"""Which kernel is speaking: version, word size, architecture, taint.

Whatever differs between a report of 2002 and one of 2022 for reasons that have nothing to do with
the bug is decided here, once.  The writers of the reports only say what comes in which order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmsim.detect.finding import Finding

# What `uname -r` said on the machines of the threads; any other era speaks for itself.
_RELEASES = {"3.13": "3.13.10", "4.19": "4.19.109", "5.4": "5.4.170", "5.17": "5.17.0-rc5"}

# Fixed positions of the taint letters: G or P first, a blank where a flag is clear.
_TAINT_LETTERS = "GFSRMBUDAWCIOELKXT"

_TAINTS = {
    "bad-page": "B",
    "BUG": "D",
    "VM_BUG_ON": "D",
    "oops": "D",
    "list-corruption": "D",
    "warn": "W",
    "soft-lockup": "L",
}

# Kinds that end in an oops, and therefore count in `[#1]`.
_OOPSES = frozenset({"BUG", "VM_BUG_ON", "oops", "list-corruption"})

# Kinds that only a simulator can see.
_OWN = frozenset({"double-free", "invariant", "livelock"})

LIST_MESSAGE = re.compile(r"list_(?:add|del)\b")

I386 = "i386"
ARM = "arm"
X86_64 = "x86_64"


@dataclass(frozen=True)
class Voice:
    """The voice of one kernel on one machine."""

    name: str
    version: tuple[int, ...]
    arch: str
    smp: bool
    preempt: bool
    taint: str
    oopses: int
    decode: str

    @property
    def bits(self) -> int:
        return 64 if self.arch == X86_64 else 32

    @property
    def release(self) -> str:
        return f"{_RELEASES.get(self.name, self.name)}-mmsim"

    def hexword(self, value: int) -> str:
        """A machine word without 0x, padded: `dead000000000100`, `00000100`."""
        return f"{value & ((1 << self.bits) - 1):0{self.bits // 4}x}"

    def build_words(self) -> str:
        """The ` PREEMPT SMP NOPTI` behind `[#1]`."""
        words = ["PREEMPT"] * self.preempt + ["SMP"] * self.smp
        if self.arch == ARM:
            words.append("ARM")
        elif self.arch == X86_64 and self.version >= (4, 15):
            words.append("NOPTI")
        return "".join(f" {word}" for word in words)

    def tainted(self) -> str:
        return f"Tainted: {self.taint}" if self.taint else "Not tainted"


def parse_version(era: str) -> tuple[int, ...]:
    """`"5.17"` -> (5, 17); `"2.4.18-pre9"` -> (2, 4, 18); nonsense -> the newest we speak."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", era)
    return tuple(int(part) for part in match[1].split(".")) if match else (5, 17)


def _arch(finding: Finding, version: tuple[int, ...]) -> str:
    """The finding's own; an era without one has that of the machine in its thread."""
    if finding.arch:
        return finding.arch
    if version < (2, 6):
        return I386
    return ARM if version[:2] == (5, 4) else X86_64


def _taint(earlier: Sequence[Finding], version: tuple[int, ...]) -> str:
    if version < (2, 6):  # 2.4 knows module taints only
        return ""
    set_letters = {
        _TAINTS[finding.kind]
        for finding in earlier
        if finding.kind in _TAINTS and not is_own(finding)
    }
    if not set_letters:
        return ""
    letters = _TAINT_LETTERS[: 13 if version < (3, 14) else len(_TAINT_LETTERS)]
    return "".join(c if c == "G" or c in set_letters else " " for c in letters)


def dies(finding: Finding) -> bool:
    """Does the kernel itself end the context with an oops?"""
    return finding.kind in _OOPSES and not is_own(finding)


def is_own(finding: Finding) -> bool:
    """Is it mmsim that says so, and no kernel of any version?"""
    if finding.kind == "list-corruption":
        return LIST_MESSAGE.match(finding.title) is None
    if finding.kind == "BUG":
        return "kernel BUG at" not in finding.title
    return finding.kind in _OWN


def voice_of(
    finding: Finding, *, smp: bool, decode: str = "", earlier: Sequence[Finding] = ()
) -> Voice:
    """The voice for one finding; ``earlier`` are the findings of the same run before it."""
    version = parse_version(finding.era)
    return Voice(
        name=finding.era,
        version=version,
        arch=_arch(finding, version),
        smp=smp,
        preempt=finding.preempt,
        taint=_taint(earlier, version),
        oopses=1 + sum(map(dies, earlier)),
        decode=decode,
    )
