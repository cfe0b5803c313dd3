# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim replay VARIANT LINE` with lines that somebody made to do harm.

Whatever the line, the command ends with exit code 0 or 2, takes no more memory than 20 MB and no
more time than 50 ms, on a machine that makes a million additions in 10 ms.  Machines differ and are
busy, hence the additions: they are timed beside the command, in CPU time, and the best of three
counts.
"""

from __future__ import annotations

import contextlib
import io
import random
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.engine.schedule import Schedule
from mmsim.pytest_plugin import run_variant
from tests.engine.test_schedule_text import sealed

VARIANT = "002.flawed"
MEGABYTES = 20
ADDITIONS = 5  # millions
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@pytest.fixture(scope="module")
def real() -> Schedule:
    """A schedule that was printed."""
    results = run_variant(VARIANT, runs=500, cpus=2, stop_after=1)
    return Schedule.parse(results.samples[0].schedule)


def packed(head: bytes, byte: bytes, times: int) -> bytes:
    """``head`` and so many times the byte, without ever having all of it in memory."""
    stream = zlib.compressobj(9)
    parts = [stream.compress(head)]
    while times > 0:
        parts.append(stream.compress(byte * min(times, 4096)))
        times -= 4096
    return b"".join([*parts, stream.flush()])


def tampered(rng: random.Random, real: Schedule) -> str:
    """A real schedule in which somebody has changed something."""
    segments = list(real.segments)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(segments))
        id, n = segments[place]
        segments[place : place + rng.randrange(2)] = rng.choice(
            ([], [(id, n + 1)], [(rng.randrange(9), n)], [(id, 0)], [(id, 1 << 41)], [(id, n)] * 3)
        )
    fingerprint = rng.choice((real.fingerprint, "000000"))
    cpus = rng.choice((real.cpus, real.cpus, 1, 3, 8))
    return str(Schedule(cpus, real.seed, tuple(segments), fingerprint, real.code))


def made_up(rng: random.Random, real: Schedule) -> str:
    """A right checksum and nonsense inside."""
    size = rng.choice((0, 1, 14, 15, 40, 1000))
    payload = rng.choice(
        (
            zlib.compress(rng.randbytes(size)),
            packed(bytes(14), rng.choice((b"\0", b"\1", b"\x7f", b"\x80", b"\xff")), size),
            packed(bytes(14) + b"\xff" * (size % 50) + b"\1\1", b"\1", size),
            zlib.compress(bytes(14) + bytes(rng.randrange(9) for _ in range(size))),
        )
    )
    if rng.random() < 0.1:
        payload = payload[: rng.randrange(len(payload) + 1)]
    return sealed(
        payload, rng.choice(("2", "2", "1", "0", "-1", "1_0", "9" * 5000, "\u0663", "65", ""))
    )


def swelling(rng: random.Random, real: Schedule) -> str:
    """A short line that would become a large one."""
    byte = rng.choice((b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\x81\1", b"\x81\1\1"))
    return sealed(
        packed(bytes(14), byte, rng.choice((100_000, 400_000, 420_000, 1 << 20, 1 << 24)))
    )


def text(rng: random.Random, real: Schedule) -> str:
    """No schedule, and with something in it that is no text."""
    line = str(real)
    place = rng.randrange(len(line))
    return rng.choice(
        (
            line[:place],
            line[:place] + rng.choice("Az09-_:%\u00e9\udc80\0") + line[place + 1 :],
            ":".join(rng.choice(("mm1", "mm2", "", "9" * 4300)) for _ in range(rng.randrange(7))),
            "mm1:" + "A" * rng.choice((1, 1 << 18, 1 << 20)),
            rng.choice(("", "-", "@x", "mm1")),
        )
    )


def forged(rng: random.Random, real: Schedule) -> str:
    kinds: list[Callable[[random.Random, Schedule], str]] = [tampered, made_up, text]
    return swelling(rng, real) if rng.random() < 0.01 else rng.choice(kinds)(rng, real)


def replay(line: str) -> tuple[int, str]:
    """The exit code, and what is said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = main(["replay", VARIANT, *(["--"] if line.startswith("-") else []), line])
        except SystemExit as end:
            code = int(str(end.code))
    return code, said.getvalue()


def cpu_time(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def memory(name: str) -> int:
    """VmRSS or VmHWM, in bytes."""
    text = STATUS.read_text()
    return int(text.split(f"{name}:")[1].split()[0]) * 1024


def grows(line: str) -> int | None:
    """Bytes that the process needs for the line beyond what it has; None: this system hides it."""
    try:
        CLEAR.write_text("5")  # the peak begins anew
        before = memory("VmRSS")
    except OSError:
        return None
    replay(line)
    return memory("VmHWM") - before


def check(line: str, *, weigh: bool) -> None:
    code, said = replay(line)
    assert code in (0, 2), (line[:80], said)
    assert "Traceback" not in said
    assert "internal error" not in said
    if code == 2:
        assert said.count("\n") == 1, said
        assert len(said) < 400
    if weigh:
        grown = grows(line)
        assert grown is None or grown < MEGABYTES * 1_000_000, (grown, line[:80])


def quick(line: str) -> bool:
    """Does it take less than so many additions, beyond what refusing any line takes?"""
    for _ in range(3):
        limit = ADDITIONS * cpu_time(lambda: sum(range(1_000_000)))
        limit += cpu_time(lambda: replay("mm1:"))
        if cpu_time(lambda: replay(line)) < limit:
            return True
    return False


@pytest.mark.parametrize(
    ("lines", "each"),
    [
        pytest.param(120, 10, id="some"),
        pytest.param(100_000, 100, marks=[pytest.mark.slow, pytest.mark.timeout(7200)], id="many"),
    ],
)
def test_a_forged_line_is_refused_or_replayed(lines: int, each: int, real: Schedule) -> None:
    """One of ``each`` is weighed and timed; all are when they swell."""
    rng = random.Random(20260101)
    replay(str(real))  # what is made once is made
    ends = set()
    for number in range(lines):
        line = forged(rng, real)
        check(line, weigh=number % each == 0)
        ends.add(replay(line)[0] if number < 100 else 2)
        assert number % each or quick(line), line[:80]
    assert ends == {0, 2}


BYTES = [b"\0", b"\1", b"\xff", b"\x81\1"]
SIZES = [400_000, 1 << 20, 1 << 24]


@pytest.mark.parametrize("byte", BYTES, ids=["0", "1", "ff", "81-1"])
@pytest.mark.parametrize("size", SIZES)
def test_a_short_line_that_swells_costs_little(size: int, byte: bytes, real: Schedule) -> None:
    replay(str(real))
    line = sealed(packed(bytes(14), byte, size // len(byte)))
    check(line, weigh=True)
    assert quick(line)


def test_what_was_recorded_and_clean_is_no_failure(real: Schedule) -> None:
    code, said = replay(str(Schedule(2, 1, ())))
    assert (code, said.split(" in ")[0]) == (0, f"{VARIANT}: no finding")
