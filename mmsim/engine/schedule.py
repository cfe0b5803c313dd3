# SPDX-License-Identifier: GPL-2.0-only
"""A schedule is a value: who performed how many effects, in which order.

It prints as one line and is all that is needed, with the variant's name, to see a run again:

    mm1:<cpus>:<base64 of the packed segments>:<crc>

``mm1`` is the format's version.  The packed part holds the run's set-up seed, the fingerprint of
the finding, a hash of the code that ran, and the segments ``(context id, number of effects)``.
Segments of 0 effects name contexts that found something, or stood in the way, before their first.

A run under weak memory has a choice at reads, too:

    mm2:<cpus>:<memory>:<base64>:<crc>

Before the segments stand the number of reads that did not take the newest value, and for each how
many steps it comes after the one before, and how many stores it goes back.
The checksum tells a truncated line from a stale one; the code hash is only used to explain a
replay that diverged, since most edits leave most schedules valid.
"""

from __future__ import annotations

import base64
import gc
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

VERSION = "mm1"
WEAK = "mm2"
SEQUENTIAL = "sc"
HEAD = 14  # bytes before the segments

# A line may come from anybody.  A run of 200,000 effects, the most that a scenario allows unless it
# says otherwise, has at most as many segments; such a line still fits an argument of a command.
MOST_TEXT = 1 << 18  # characters
MOST_SEGMENTS = 210_000
MOST_BYTES = HEAD + 450_000  # of the packed part, inflated
MOST_BITS = 42  # of a number: an effect count is below policy.FOREVER


class BadSchedule(ValueError):
    """The text is not a schedule of this version: says what is wrong with it."""


class Diverged(Exception):
    """A replay met a state in which the recorded choice is not possible."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """``segments`` are (context id, effects); ``seed`` is the run's seed.

    ``reads`` are (step, stores back), in order of steps: loads that did not take the newest value.
    """

    cpus: int
    seed: int
    segments: tuple[tuple[int, int], ...]
    fingerprint: str = "000000"
    code: str = "000000"
    memory: str = SEQUENTIAL
    reads: tuple[tuple[int, int], ...] = ()

    @property
    def steps(self) -> int:
        """Effects in all."""
        return sum(n for _, n in self.segments)

    def __str__(self) -> str:
        head = self.seed.to_bytes(8, "big") + bytes.fromhex(self.fingerprint + self.code)
        numbers = [x for segment in self.segments for x in segment]
        kind = f"{VERSION}:{self.cpus}"
        if self.memory != SEQUENTIAL:
            kind = f"{WEAK}:{self.cpus}:{self.memory}"
            steps = [step for step, _ in self.reads]
            since = (now - last for now, last in zip(steps, [0, *steps], strict=False))
            backs = (back for _, back in self.reads)
            pairs = [x for pair in zip(since, backs, strict=True) for x in pair]
            numbers = [len(self.reads), *pairs, *numbers]
        packed = zlib.compress(head + b"".join(map(_varint, numbers)), 9)
        body = f"{kind}:{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"
        return f"{body}:{zlib.crc32(body.encode()):08x}"

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read a line printed by ``str()``.  Raises :class:`BadSchedule`."""
        text = text.strip()
        if len(text) > MOST_TEXT:
            raise BadSchedule(f"a schedule has at most {MOST_TEXT} characters, this {len(text)}")
        parts = text.split(":")
        if parts[0] not in (VERSION, WEAK):
            raise BadSchedule(
                f"a schedule starts with '{VERSION}:' or '{WEAK}:', this with {text[:8]!r}"
            )
        weak = parts[0] == WEAK
        if len(parts) != 4 + weak:
            wanted = "five" if weak else "four"
            raise BadSchedule(f"the schedule is truncated: it has to have {wanted} parts")
        packed, crc = parts[-2:]
        body = text[: -len(crc) - 1].encode(errors="replace")
        if crc != f"{zlib.crc32(body):08x}":
            raise BadSchedule("the schedule is truncated or was altered: its checksum is wrong")
        try:
            cpus = _cpus(parts[1])
            raw = _inflate(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
            numbers = _numbers(raw[HEAD:])
            reads: tuple[tuple[int, int], ...] = ()
            if weak:
                reads, numbers = _reads(numbers)
            if len(numbers) > 2 * MOST_SEGMENTS:
                raise ValueError(f"it has more than {MOST_SEGMENTS} segments")
            if len(numbers) % 2:
                raise ValueError("its last segment has no number of effects")
            segments = _pairs(numbers)
            if reads and reads[-1][0] > sum(n for _, n in segments):
                raise ValueError("it has a read behind its end")
        except (ValueError, zlib.error) as error:
            raise BadSchedule(f"the schedule cannot be unpacked: {error}") from error
        return cls(
            cpus,
            int.from_bytes(raw[:8], "big"),
            segments,
            raw[8:11].hex(),
            raw[11:HEAD].hex(),
            parts[2] if weak else SEQUENTIAL,
            reads,
        )


def join(segments: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Neighbouring segments of one context become one."""
    out: list[tuple[int, int]] = []
    last, total = -1, 0
    for id, n in segments:
        if id == last:
            total += n
            continue
        if last >= 0:
            out.append((last, total))
        last, total = id, n
    if last >= 0:
        out.append((last, total))
    return tuple(out)


def merge(ids: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Run-length encode a list of context ids, one per effect."""
    return join((id, 1) for id in ids)


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _cpus(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise ValueError(f"{text[:8]!r} is no number of CPUs")
    return int(text)


def _reads(numbers: list[int]) -> tuple[tuple[tuple[int, int], ...], list[int]]:
    """The reads of a weak run, by step, and the numbers behind them."""
    if not numbers or 1 + 2 * numbers[0] > len(numbers):
        raise ValueError("it ends in the middle of its reads")
    end = 1 + 2 * numbers[0]
    steps = accumulate(numbers[1:end:2])
    reads = tuple(zip(steps, numbers[2:end:2], strict=True))
    if any(
        not since or not back
        for since, back in zip(numbers[1:end:2], numbers[2:end:2], strict=True)
    ):
        raise ValueError("it has a read that is none")
    return reads, numbers[end:]


def _inflate(packed: bytes) -> bytes:
    """The packed part, unless it swells beyond what a schedule can be."""
    stream = zlib.decompressobj()
    raw = stream.decompress(packed, MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ValueError(f"it holds more than {MOST_BYTES} bytes")
    if not stream.eof:
        raise ValueError("it is incomplete")
    if len(raw) < HEAD:
        raise ValueError("it ends in the middle of its head")
    return raw


def _pairs(numbers: list[int]) -> tuple[tuple[int, int], ...]:
    """Two by two.  So many new tuples would set the collector off again and again, for nothing."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        one_by_one = iter(numbers)
        return tuple(zip(one_by_one, one_by_one, strict=True))
    finally:
        if collecting:
            gc.enable()


def _numbers(raw: bytes) -> list[int]:
    """Numbers of seven bits a byte, the lowest first; bit 7 says that there is more.

    No loop goes over the bytes: a short line may hold hundreds of thousands.
    """
    if raw.isascii():  # every number is one byte
        return list(raw)
    data = np.frombuffer(raw, np.uint8)
    ends = np.flatnonzero(data < 0x80).astype(np.int32)
    lengths = np.diff(ends, prepend=np.int32(-1))
    left = len(raw) - 1 - int(ends[-1]) if len(ends) else len(raw)
    if max(int(lengths.max(initial=0)), left + 1) > MOST_BITS // 7:
        raise ValueError("it holds a number that is too large")
    if left:
        raise ValueError("it ends in the middle of a number")
    values = data[ends].astype(np.int64)
    for place in range(1, int(lengths.max())):
        more = np.flatnonzero(lengths > place)
        values[more] = values[more] << 7 | data[ends[more] - place] & 0x7F
    numbers: list[int] = values.tolist()
    return numbers
