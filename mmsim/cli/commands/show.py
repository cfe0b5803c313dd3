# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim show VARIANT`: the story, who takes part, what is patched, what to expect."""

from __future__ import annotations

import argparse
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import mmsim
from mmsim.cli import gate_diff
from mmsim.engine import op as kinds
from mmsim.engine.machine import Machine
from mmsim.engine.memory.orders import FENCE, RMW, SC, Orders
from mmsim.engine.memory.orders import NAMES as MEMORIES
from mmsim.engine.op import ALL, Op
from mmsim.errors import UsageError
from mmsim.model.era import ERAS
from mmsim.model.gate import GATES
from mmsim.scenarios.api import Variant
from mmsim.stress import endless
from mmsim.stress.parser import whole
from mmsim.stress.settings import MOST_CPUS
from mmsim.stress.source import Library, find_variant

HELP = "the story, actors, patches and expected verdict of a variant"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", help="the variant's id, such as 002.flawed")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")
    parser.add_argument(
        "--cpus",
        type=whole(1, MOST_CPUS),
        default=2,
        metavar="N",
        help="show the actors for so many CPUs (default 2)",
    )
    parser.add_argument(
        "--memory",
        choices=MEMORIES,
        help="say what each primitive of this kernel orders there (default: the variant's memory)",
    )


def run(options: argparse.Namespace) -> int:
    variant = find_variant(Library(options.file), options.variant)
    with endless.watched(options.file):
        lines = list(page(variant, options.cpus, options.memory))
    print("\n".join(lines))
    return 0


def page(variant: Variant, cpus: int, memory: str | None = None) -> Iterator[str]:
    """Everything about a variant, line by line; raises UsageError for a memory it cannot have."""
    scenario = variant.scenario
    yield f"{variant.id}: {variant.summary}"
    yield f"scenario  {scenario.id} {scenario.name}: {scenario.title}"
    if scenario.thread:
        yield f"thread    {scenario.thread}"
    yield f"kernel    {variant.era}"
    config = " ".join(f"{name}={_yes_no(value)}" for name, value in variant.config.items())
    yield f"config    {config or 'default'}"
    memory = memory or variant.memory
    if memory:
        yield from _memory(memory, variant.era)
    yield f"expected  {variant.expect.value}"
    for pattern in variant.findings:
        yield f"finding   /{pattern}/"
    for name, expect in variant.metrics.items():
        yield f"metric    {name} {expect} (mean over runs)"
    yield from _actors(variant, cpus)
    yield from _gates(variant)
    story = inspect.cleandoc(scenario.story or "").strip()
    if story:
        yield ""
        yield from story.splitlines()


def _yes_no(value: object) -> str:
    return {True: "y", False: "n"}.get(value, str(value)) if isinstance(value, bool) else str(value)


_PRIMITIVES = {
    "READ_ONCE, atomic_read": Op(kinds.READ_ONCE, "word"),
    "test_bit": Op(kinds.READ_ONCE, "flags", reads=frozenset(["bit"])),
    "WRITE_ONCE, atomic_set": Op(kinds.WRITE_ONCE, "word"),
    "smp_load_acquire": Op(kinds.ACQUIRE, "word"),
    "smp_store_release": Op(kinds.RELEASE, "word"),
    "set_current_state": Op(kinds.STORE_MB, "state"),
    "atomic_inc, set_bit": Op(kinds.RMW_RELAXED, "word"),
    "atomic_dec_and_test": Op(kinds.RMW, "word"),
    "test_and_set_bit": Op(kinds.RMW, "flags", reads=frozenset(["bit"])),
    "test_and_set_bit_lock": Op(kinds.RMW_ACQUIRE, "word"),
    "clear_bit_unlock": Op(kinds.RMW_RELEASE, "word"),
    "smp_mb": Op(kinds.MB),
    "smp_rmb": Op(kinds.RMB),
    "smp_wmb": Op(kinds.WMB),
    "spin_lock": Op(kinds.LOCK, "locked"),
    "spin_unlock": Op(kinds.UNLOCK, "locked"),
}


def _memory(name: str, era: str) -> Iterator[str]:
    """A memory, and what the primitives order there, where they order anything."""
    if name == SC or era not in ERAS:
        yield f"memory    {name}"
        return
    try:
        orders = Orders(name, ERAS[era].version)
    except ValueError as error:
        raise UsageError(str(error)) from error
    yield f"memory    {name}: primitives that order"
    for primitive, op in _PRIMITIVES.items():
        order = orders[op]
        what = [f"{order.before} before" if order.before else ""]
        what += ["acquire" if order.acquire else "", "release" if order.release else ""]
        what += [f"{order.after} after" if order.after else ""]
        if order.way == FENCE:
            what = [order.before]
        told = ", ".join(filter(None, what))
        if order.way == RMW and told and not order.failing and op.reads is not ALL:
            told += "; nothing if it changes nothing"
        if told:
            yield f"  {primitive:<24}{told}"
    yield f"  {'a pointer':<24}{_LEADS[orders[_PRIMITIVES['READ_ONCE, atomic_read']].leads]}"


_LEADS = {True: "what is read through it, after it", False: "nothing that is read through it"}


def _actors(variant: Variant, cpus: int) -> Iterator[str]:
    """Who is on the machine just after it has booted: the scenario says so itself."""
    cpus = variant.effective_cpus(cpus)
    machine = Machine(
        cpus,
        preempt=variant.preempt,
        smp=variant.smp,
        config=variant.config,
        gates=frozenset(variant.gates),
        era=variant.era,
    )
    with machine.booted():
        variant.boot(machine)
    yield ""
    yield f"actors ({cpus} CPU{'s' * (cpus != 1)})"
    for context in machine.contexts:
        kind = "" if context.kind == "task" else f" ({context.kind})"
        yield f"  CPU{context.cpu.id}  {context.comm}/{context.pid}{kind}: {context.fn.__name__}()"


def _gates(variant: Variant) -> Iterator[str]:
    top = Path(mmsim.__file__).resolve().parent.parent
    for name in variant.gates:
        gate = GATES[name]
        yield ""
        yield f"gate {gate.name} ({gate.kind}; {gate.author}, {gate.date})"
        yield from textwrap.wrap(
            gate.meaning, 96, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )
        for hunk in gate_diff.hunks(name, _files(variant), variant.gates):
            file = hunk.file.relative_to(top) if hunk.file.is_relative_to(top) else hunk.file
            yield f"  @@ {file}:{hunk.line} {hunk.function} @@"
            yield from (f"  {line}".rstrip() for line in hunk.lines)


def _files(variant: Variant) -> list[Path]:
    """Where a gate can make a difference: the kernel's files, actors, and a scenario of one's own.

    A check knows which invariants hold under which gate; that is no part of a patch.
    """
    package = Path(mmsim.__file__).resolve().parent
    folders = ("", "linux/", "v2_4/", "v3_13/", "scenarios/")
    files = {file for folder in folders for file in package.glob(f"{folder}*.py")}
    judges = {file for file in files if file.name.endswith("_check.py")}
    return sorted({*(files - judges), Path(variant.scenario.file).resolve()})
