# SPDX-License-Identifier: GPL-2.0-only
"""Kernel versions, and ranges of them.

``4.19..5.4`` are all kernels from 4.19 to 5.4, both included; 5.4 includes 5.4.188, as its stable
releases do not change what a function does.  A single version is a range of one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_VERSION = re.compile(r"\d+(?:\.\d+)+(?:-(?:pre|rc)\d+)?")


def release(version: str) -> tuple[int, ...]:
    """A key that sorts as the kernels were released: 2.4.18-pre9 before 2.4.18 before 5.4.

    Raises ValueError for what is no version.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no kernel version: it has to be like 5.4 or 2.4.18-pre9")
    number, _, candidate = version.partition("-")
    parts = [int(digits) for digits in number.split(".")]
    parts += [0] * (4 - len(parts))
    return (*parts, -1 if candidate else 0, *map(int, re.findall(r"\d+", candidate) or [0]))


@dataclass(frozen=True)
class Range:
    """The kernels from ``first`` to ``last``, both included."""

    first: str
    last: str

    def __post_init__(self) -> None:
        if release(self.first) > release(self.last):
            raise ValueError(f"{self}: the first version is later than the last")

    @classmethod
    def parse(cls, text: str) -> Range:
        """``4.19..5.4``, or one version.  Raises ValueError for anything else."""
        first, dots, last = text.partition("..")
        return cls(first, last if dots else first)

    def __contains__(self, version: str) -> bool:
        return release(self.first) <= release(version) and (
            release(version) <= release(self.last) or version.startswith(self.last + ".")
        )

    def overlaps(self, other: Range) -> bool:
        """Is there a kernel in both?"""
        return self.first in other or other.first in self

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first}..{self.last}"


@lru_cache(maxsize=256)
def ranges(text: str) -> tuple[Range, ...]:
    """Ranges with commas between them, as a citation shows them: ``2.4.17..2.5.32, 5.4``."""
    return tuple(Range.parse(part.strip()) for part in text.split(","))


def earliest(text: str) -> tuple[int, ...]:
    """A key that sorts citations by the first kernel they are of."""
    return min(release(kernels.first) for kernels in ranges(text))
