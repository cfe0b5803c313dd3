# SPDX-License-Identifier: GPL-2.0-only
"""Kernel versions that mmsim re-states, and what differs below the level of functions.

The machine word and the list poison decide what a double list_del looks like: 2.4 leaves the old
pointers in place and corrupts silently, a 32-bit 5.4 faults at 0x104, an x86-64 takes a general
protection fault at a non-canonical address.  Which flag has which bit is page.py's business.
"""

from dataclasses import dataclass

from mmsim.engine.door import door

__mmsim_primitive__ = True  # what by_version() makes is not a frame of the kernel's stack

DELTA_64 = 0xDEAD000000000000  # POISON_POINTER_DELTA of x86-64


@dataclass(frozen=True)
class Era:
    """``version`` compares; ``poison1``/``poison2`` are 0 where list_del does not poison."""

    name: str
    version: tuple[int, ...]
    bits: int
    poison1: int
    poison2: int
    arch: str


ERAS = {
    era.name: era
    for era in (
        Era("2.4.17", (2, 4, 17), 32, 0, 0, "i386"),
        Era("2.4.18-pre9", (2, 4, 18), 32, 0, 0, "i386"),
        Era("2.4.20", (2, 4, 20), 32, 0, 0, "i386"),
        Era("2.5.32", (2, 5, 32), 32, 0, 0, "i386"),
        Era("3.13", (3, 13), 64, DELTA_64 + 0x100100, DELTA_64 + 0x200200, "x86_64"),
        Era("4.19", (4, 19), 64, DELTA_64 + 0x100, DELTA_64 + 0x200, "x86_64"),
        Era("5.4", (5, 4), 32, 0x100, 0x122, "arm"),
        Era("5.9", (5, 9), 64, DELTA_64 + 0x100, DELTA_64 + 0x122, "x86_64"),
        Era("5.10", (5, 10), 64, DELTA_64 + 0x100, DELTA_64 + 0x122, "x86_64"),
        Era("5.11", (5, 11), 64, DELTA_64 + 0x100, DELTA_64 + 0x122, "x86_64"),
        Era("5.16", (5, 16), 64, DELTA_64 + 0x100, DELTA_64 + 0x122, "x86_64"),
        Era("5.17", (5, 17), 64, DELTA_64 + 0x100, DELTA_64 + 0x122, "x86_64"),
    )
}


def era():
    """The era of the booted kernel."""
    return ERAS[door.machine.era]


def kernel():
    """The globals of the booted kernel (``pagemap_lru_lock``, ``contig_page_data`` ...)."""
    return door.machine.vm


def IS_ENABLED(option):
    """Is ``CONFIG_<option>`` set?  Options that a variant does not mention are off."""
    return bool(door.machine.config.get(option))


def by_version(first, *later):
    """One name for a function of several versions: ``later`` are (since version, function).

    The booted kernel's is called, and stands in a stack as if nothing else had been there.
    """

    def call(*args):
        version = era().version
        chosen = first
        for since, function in later:
            if version >= since:
                chosen = function
        return chosen(*args)

    call.__doc__ = first.__doc__
    return call
