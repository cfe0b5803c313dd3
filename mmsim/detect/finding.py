# SPDX-License-Identifier: GPL-2.0-only
"""What went wrong, as a value.

A finding outlives the machine it happened on: it crosses process borders, is counted, stored as
JSON and printed days later.  So nothing here is alive: no page, no task, no lock, only numbers
and words copied at the moment of the finding.

Two findings are *the same bug* when kind, title and function agree.  Addresses, pids, CPUs and
the step differ from run to run and therefore stay out of the fingerprint; whoever fills in
``title`` keeps them out of it as well (they belong in ``detail``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

FINGERPRINT_DIGITS = 6

KINDS: tuple[str, ...] = (
    "BUG",
    "VM_BUG_ON",
    "bad-page",
    "list-corruption",
    "oops",
    "double-free",
    "deadlock",
    "hung-task",
    "soft-lockup",
    "livelock",
    "spinlock",
    "atomic-sleep",
    "invariant",
    "warn",
)


@dataclass(frozen=True)
class Frame:
    """One stack frame: ``func+offset/size`` in the kernel's notation.

    ``offset`` is the bytecode offset in the Python function, ``size`` its code length; ``source``
    the kernel's file that the function is cited to, "" if it is none of the kernel's.
    """

    func: str
    file: str
    line: int
    offset: int
    size: int
    source: str = ""


@dataclass(frozen=True)
class PageSnapshot:
    """A struct page at the moment of the finding."""

    pfn: int
    era: str
    ref: int
    mapcount: int | None
    flags: int
    flag_names: tuple[str, ...]
    mapping: str
    index: int
    private: int
    lru_next: int
    lru_prev: int
    memcg: str
    node: int
    order: int
    address: int
    raw: tuple[int, ...]
    history: tuple[str, ...]
    head: int = 0  # address of the head, if the page is part of a compound page of this ``order``


@dataclass(frozen=True)
class Finding:
    """One thing that went wrong, with everything a report needs and nothing that is alive.

    ``comm`` and ``pid`` are those of the context, which may be an interrupt; ``task`` is then the
    (comm, pid) of the task underneath, the kernel's ``current``.  ``arch`` is "i386", "arm",
    "x86_64", or "" for the era's own; ``irqs_off`` the CPU's interrupt flag.
    """

    kind: str
    title: str
    where: str
    comm: str
    pid: int
    cpu: int
    context: str
    frames: tuple[Frame, ...]
    page: PageSnapshot | None
    locks: tuple[str, ...]
    detail: tuple[str, ...]
    era: str
    cpus: int
    preempt: bool
    step: int
    arch: str = ""
    irqs_off: bool = False
    task: tuple[str, int] | None = None

    @property
    def fingerprint(self) -> str:
        """Six hex digits that are the same for every occurrence of this bug."""
        key = f"{self.kind}|{self.title}|{self.where}"
        return hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()[:FINGERPRINT_DIGITS]
