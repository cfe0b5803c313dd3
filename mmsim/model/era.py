# SPDX-License-Identifier: GPL-2.0-only
"""Kernel versions that mmsim re-states, and what differs below the level of functions.

The machine word and the list poison decide what a double list_del looks like: 2.4 leaves the old
pointers in place and corrupts silently, a 32-bit 5.4 faults at 0x104, an x86-64 takes a general
protection fault at a non-canonical address.  Which flag has which bit is page.py's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, update_wrapper
from itertools import combinations
from typing import Any, TypeVar

from mmsim.engine.door import door
from mmsim.model.cite import Citation, citations_of, plain
from mmsim.model.version import ranges

__mmsim_primitive__ = True  # what by_version() makes is not a frame of the kernel's stack

Function = TypeVar("Function", bound=Callable[..., Any])

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


class EraError(Exception):
    """A machine was booted with an era that mmsim, or a function on its path, does not know."""


class UnknownEra(EraError):
    """There is no such era."""


class UncoveredEra(EraError):
    """A function is called in an era that none of its versions covers."""


def era() -> Era:
    """The era of the booted kernel.  Raises UnknownEra."""
    try:
        return ERAS[door.machine.era]
    except KeyError:
        raise UnknownEra(
            f"unknown era {door.machine.era!r}: it has to be one of {', '.join(ERAS)}"
        ) from None


def kernel() -> Any:
    """The globals of the booted kernel (``pagemap_lru_lock``, ``contig_page_data`` ...)."""
    return door.machine.vm


def IS_ENABLED(option: str) -> bool:
    """Is ``CONFIG_<option>`` set?  Options that a variant does not mention are off."""
    config = door.machine.config
    return option in config and bool(config[option])


def refuse_other_eras(who: str, versions: str) -> None:
    """Raise UncoveredEra unless the booted kernel is one of ``versions``.

    For what a boot makes in a package that is one kernel's, such as v2_4: its functions have no
    other version, and are not asked one by one.
    """
    if not _includes(versions, era().name):
        raise UncoveredEra(f"{who} is of {versions}, and the machine was booted as {era().name}")


@lru_cache(maxsize=64)
def _includes(versions: str, version: str) -> bool:
    return any(version in kernels for kernels in ranges(versions))


def by_version(*versions: Function) -> Function:
    """One name for a function of several versions; their citations say which kernels they cover.

    The one that covers the booted kernel is called, and stands in a stack as if nothing else had
    been there.  In an era that none covers the call raises UncoveredEra.

    Raises ValueError, at import, for a version without a citation and for two versions that cover
    the same kernel.
    """
    name = plain(versions[0].__name__)
    cited = [_citations(name, version) for version in versions]
    for one, other in combinations(cited, 2):
        both = [a for c in one for a in c.ranges for d in other for b in d.ranges if a.overlaps(b)]
        if both:
            raise ValueError(f"{name}: two versions cover {both[0]}")
    chosen: dict[str, Callable[..., Any]] = {}

    def call(*args: Any) -> Any:
        try:
            version = chosen[door.machine.era]
        except KeyError:
            version = chosen[door.machine.era] = _choose(name, cited)
        return version(*args)

    update_wrapper(call, versions[-1])
    call.__name__ = call.__qualname__ = name
    call.versions = versions  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _citations(name: str, version: Callable[..., Any]) -> list[Citation]:
    cited = citations_of(version)
    if not cited:
        raise ValueError(f"{name}: {version.__name__} has no citation, so it covers no kernel")
    return cited


def _choose(name: str, cited: list[list[Citation]]) -> Callable[..., Any]:
    """The version that covers the booted kernel."""
    for citations in cited:
        if any(citation.covers(era().name) for citation in citations):
            return citations[0].func
    known = ", ".join(f"{c.version} ({c.func.__name__})" for citations in cited for c in citations)
    raise UncoveredEra(f"{name}() has no version for {era().name}: it has {known}")
