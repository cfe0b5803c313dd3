# SPDX-License-Identifier: GPL-2.0-only
"""A schedule as one line: it survives printing, and says what is wrong with a line that did not."""

from __future__ import annotations

import base64
import random
import zlib
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsim.engine.schedule import BadSchedule, Schedule, join, merge

SEGMENTS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 1 << 40)), max_size=50)
HEX = st.text("0123456789abcdef", min_size=6, max_size=6)
SCHEDULES = st.builds(
    Schedule,
    cpus=st.integers(1, 64),
    seed=st.integers(0, 2**64 - 1),
    segments=SEGMENTS.map(tuple),
    fingerprint=HEX,
    code=HEX,
)
LINE = str(Schedule(8, 123456789, tuple((i % 5, i) for i in range(40)), "abcdef", "012345"))


@given(SCHEDULES)
def test_print_and_parse(schedule: Schedule) -> None:
    line = str(schedule)
    assert Schedule.parse(line) == schedule
    assert len(line.split()) == 1
    assert line.isascii()
    assert line.startswith(f"mm1:{schedule.cpus}:")


@given(st.integers(0, len(LINE) - 1))
def test_a_truncated_line_is_refused(length: int) -> None:
    with pytest.raises(BadSchedule, match=r"truncated|starts with"):
        Schedule.parse(LINE[:length])


@given(st.integers(0, len(LINE) - 1), st.sampled_from("Az09-_:%\u00e9\udc80"))
def test_an_altered_line_is_refused(where: int, character: str) -> None:
    altered = LINE[:where] + character + LINE[where + 1 :]
    if altered != LINE:
        with pytest.raises(BadSchedule):
            Schedule.parse(altered)


@given(st.integers(0, len(LINE)), st.text(min_size=1, max_size=3))
def test_a_line_with_something_in_it_is_refused(where: int, more: str) -> None:
    if (LINE[:where] + more + LINE[where:]).strip() != LINE:
        with pytest.raises(BadSchedule):
            Schedule.parse(LINE[:where] + more + LINE[where:])


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadSchedule, match="a schedule starts with 'mm1:' or 'mm2:'"):
        Schedule.parse(text.replace("mm1", "mm3").replace("mm2", "mm3"))


def test_white_space_around_it_does_not_matter() -> None:
    assert Schedule.parse(f"  {LINE}\n") == Schedule.parse(LINE)


def sealed(payload: bytes, cpus: str = "2") -> str:
    """A line with a right checksum and whatever is wrong inside."""
    body = f"mm1:{cpus}:{base64.urlsafe_b64encode(payload).decode().rstrip('=')}"
    return f"{body}:{zlib.crc32(body.encode()):08x}"


@pytest.mark.parametrize(
    "line",
    [
        sealed(b"no zlib"),
        sealed(zlib.compress(b"short")),
        sealed(zlib.compress(bytes(14) + b"\x01")),  # an id without a number
        sealed(zlib.compress(bytes(14) + b"\x81\x01")),
        sealed(zlib.compress(bytes(14) + b"\x81\x01\x80")),
        sealed(zlib.compress(bytes(14) + b"\x80")),  # the middle of a number
        sealed(zlib.compress(bytes(14)), cpus="x"),
    ],
)
def test_what_was_never_a_schedule_is_refused_whatever_its_checksum(line: str) -> None:
    with pytest.raises(BadSchedule, match="cannot be unpacked"):
        Schedule.parse(line)


def test_steps() -> None:
    assert Schedule(2, 0, ((0, 3), (1, 4), (0, 0))).steps == 7


@given(st.lists(st.integers(0, 3)))
def test_merge_is_a_run_length_encoding(ids: list[int]) -> None:
    assert merge(ids) == tuple((id, len(list(run))) for id, run in groupby(ids))


@given(SEGMENTS)
def test_joined_segments_are_the_same_effects(segments: list[tuple[int, int]]) -> None:
    out = join(segments)
    assert all(a[0] != b[0] for a, b in pairwise(out))
    assert sum(n for _, n in out) == sum(n for _, n in segments)
    assert [id for id, _ in out] == [id for id, _ in groupby(id for id, _ in segments)]


BOMBS = {
    "more than": zlib.compress(bytes(1 << 24), 9),
    "too large": zlib.compress(bytes(14) + b"\xff" * (1 << 18), 9),
    "segments": zlib.compress(bytes(14 + 440_000), 9),
    "incomplete": zlib.compress(bytes(100))[:-3],
}


@pytest.mark.parametrize("why", BOMBS)
def test_a_line_that_swells_is_refused_before_it_does(why: str) -> None:
    with pytest.raises(BadSchedule, match=why):
        Schedule.parse(sealed(BOMBS[why]))


def test_the_longest_run_there_is_still_has_a_line() -> None:
    rng = random.Random(1)
    segments = tuple((i % 8, 1 + rng.randrange(3)) for i in range(200_000))
    assert Schedule.parse(str(Schedule(8, 1, segments))).segments == segments
