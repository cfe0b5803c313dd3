# SPDX-License-Identifier: GPL-2.0-only
"""The inside of one worker process: take a block, run it, hand back values.

One worker, one core: the simulated CPUs are threads that hand a token to each other thousands
of times a second, and that is quick only while they share a core's caches. A worker knows
nothing of the campaign; it lives until its pipe closes, and says now and then how far it is,
which is how the parent tells a slow worker from a dead one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsim.errors import UsageError, one_line
from mmsim.stress import endless, interrupts
from mmsim.stress.source import Source, find_variant
from mmsim.stress.tally import Block, BlockResult, Failure, Sample

if TYPE_CHECKING:
    from mmsim.run import Runner

BEAT_SECONDS = 0.3
LARGEST = 1e300
"""Of a metric's values; what is no number is not smaller."""


@dataclass(frozen=True)
class Setting:
    """What all runs of a campaign have in common."""

    source: Source
    cpus: int
    seed: int
    engine: str
    policy: str
    memory: str | None = None
    """What loads may return, if that is not the variant's to say."""
    deadline: float | None = None
    """`time.monotonic()` after which no further run is begun."""


@dataclass(frozen=True)
class Beat:
    """Still alive, and so far in the current block."""

    runs: int
    findings: int


@dataclass(frozen=True)
class Broken:
    """The block could not be run to its end."""

    block: Block
    message: str
    usage: bool
    """True if the request is at fault (a scenario file that raises), False if mmsim is."""


class Voice:
    """What a worker says. A thread says that a long run is not stuck, hence the lock."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._last: Beat | None = None

    def answer(self, result: BlockResult | Broken) -> None:
        """The last word on a block."""
        with self._lock:
            self._last = None
            self._pipe.send(result)

    def beat(self, beat: Beat) -> None:
        """So far in the block."""
        with self._lock:
            self._last = beat
            self._pipe.send(beat)

    def again(self) -> None:
        """No news of a block that is under way."""
        with self._lock, contextlib.suppress(OSError):
            if self._last is not None:
                self._pipe.send(self._last)


def main(pipe: Connection, setting: Setting, core: int | None) -> None:
    """Run blocks until the pipe closes."""
    for name in interrupts.SIGNALS:
        with contextlib.suppress(ValueError):
            signal.signal(name, signal.SIG_IGN)
    if core is not None and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})
    voice = Voice(pipe)
    # The parent has gone or has closed the pipe: either way nobody wants the rest.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            voice.answer(attempt(setting, pipe.recv(), voice.beat, voice.again))


def attempt(
    setting: Setting, block: Block, tell: Callable[[Beat], None], again: Callable[[], None]
) -> BlockResult | Broken:
    """Run one block in this process; what goes wrong in it is an answer, too.

    ``tell`` is called now and then with how far it is, ``again`` while a long run goes on.
    """
    try:
        tell(Beat(0, 0))
        with endless.watched(setting.source.file, again):
            return run_block(setting, block, tell)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except UsageError as error:
        return Broken(block, one_line(error), usage=True)
    except BaseException as error:  # a file may raise SystemExit; signals do not come here
        blame = users_fault(setting.source.file, error)
        if blame is not None:
            return Broken(block, blame, usage=True)
        return Broken(block, traceback.format_exc(), usage=False)


def run_block(setting: Setting, block: Block, tell: Callable[[Beat], None]) -> BlockResult:
    """Run one block in this process."""
    variant = find_variant(setting.source, block.variant)
    if setting.memory is not None:
        variant = replace(variant, memory=setting.memory)
    runner = setting.source.runner(
        variant,
        cpus=setting.cpus,
        seed=setting.seed,
        engine=setting.engine,
        policy=setting.policy,
    )
    with runner:
        return _runs(setting, block, runner, tell)


def _runs(
    setting: Setting, block: Block, runner: Runner, tell: Callable[[Beat], None]
) -> BlockResult:
    failures: list[Failure] = []
    samples: dict[str, Sample] = {}
    metrics: list[Mapping[str, float]] = []
    policies: list[str] = []
    start = now = time.perf_counter()
    beat = start + BEAT_SECONDS
    done = 0
    shares = () if block.portfolio is None else (block.portfolio,)
    for offset in range(block.count):
        if setting.deadline is not None and time.monotonic() >= setting.deadline:
            break
        try:
            result = runner.run(block.first + offset, *shares)
        except Exception as error:
            error.add_note(f"in run {block.first + offset} of {block.variant}")
            raise
        done += 1
        now = time.perf_counter()
        metrics.append(_numbers(result.metrics, block, offset))
        policies.append(result.policy)
        if result.findings:
            first, *others = result.findings
            samples.setdefault(first.fingerprint, Sample(first, result.schedule))
            extra = tuple(finding.title for finding in others)
            failures.append(Failure(offset, now - start, first.fingerprint, extra))
            if block.enough is not None and len(failures) >= block.enough:
                break
        if now >= beat:
            tell(Beat(done, len(failures)))
            beat = now + BEAT_SECONDS
    return BlockResult(
        block,
        done,
        now - start,
        tuple(failures),
        samples,
        tuple(metrics),
        tuple(policies),
        worker=f"{socket.gethostname()}/{os.getpid()}",
    )


def _numbers(metrics: Mapping[Any, Any], block: Block, offset: int) -> dict[str, float]:
    """The metrics of a run, if that is what they are."""
    for name, value in metrics.items():
        if isinstance(name, str) and isinstance(value, int | float) and abs(value) <= LARGEST:
            continue
        raise UsageError(
            f"variant {block.variant}: metric {one_line(repr(name))[:40]} is "
            f"{one_line(repr(value))[:40]} in run {block.first + offset}; it has to be a number"
        )
    return dict(metrics)


def users_fault(file: str | None, error: BaseException) -> str | None:
    """One line on an error that comes out of the user's own scenario file, if it does."""
    if file is None:
        return None
    path = Path(file).resolve()
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        for frame in reversed(traceback.extract_tb(cause.__traceback__)):
            if Path(frame.filename).resolve() == path:
                what = f"{type(cause).__name__}: {one_line(cause)}"
                return f"scenario file {file}, line {frame.lineno}, in {frame.name}: {what}"
        cause = cause.__cause__
    return None


def core_of(number: int, cores: tuple[int, ...]) -> int:
    """The core that worker `number` is pinned to."""
    return cores[number % len(cores)]


def cores() -> tuple[int, ...]:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def gil_enabled() -> bool:
    """False on a free-threaded build that runs without its lock."""
    probe: Any = getattr(sys, "_is_gil_enabled", None)
    return True if probe is None else bool(probe())
