# SPDX-License-Identifier: GPL-2.0-only
"""How fast is the search, and who finds first?  `make bench-search`, or

    python benchmarks/search.py [PART ...] [--variants V ...] [--seeds N] [--limit N]

    lost       the lost update, two threads with five increments each: schedules a second of our
               carriers and our DPOR, beside frontrun (PyPI), which is installed for the occasion
               into an environment of its own in a temporary folder
    dpor       executions, repetitions that were cut short, and rate of every planned small cast
    carriers   greenlets beside threads at 8 CPUs, the same runs
    promises   PCT's hit rate beside its bound for bugs of depth 1 to 4; POS and random walk
    first      runs to the first finding of each Sometimes variant, by policy, median over seeds,
               with survival curves; and by `explore` in its small casts

Without a PART all of them, the quick ones first.  `make bench-search` compiles the search before,
as `python -m mmsim compile` does; MMSIM_NATIVE=0 in the environment keeps to the interpreter.
Seconds are of the processor, so that a busy computer does not matter much, and beside frontrun,
whose threads wait a lot, of the clock as well.  Figures that are compared come out of this one run;
what is said of them are ratios and medians.
A seed that has found nothing by the limit is *censored*: it counts as longer, and where half of
them are, the median is "> limit".
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

from scipy.stats import CensoredData, binomtest, ecdf

from mmsim import native
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.carriers.threads import present_core, threads
from mmsim.engine.execution import Token
from mmsim.engine.explore import Dpor, Search, executions
from mmsim.engine.machine import Machine
from mmsim.engine.policy import NAMES, PCT, Policy, make
from mmsim.exploration.explorer import Explorer, Question
from mmsim.model.struct import Struct, shared
from mmsim.proofs.prove import in_order, pairs_of
from mmsim.run import Runner
from mmsim.scenarios.api import Variant, Verdict
from mmsim.scenarios.cast import with_cast
from mmsim.stress.source import Library, all_variants, select

PARTS = ("lost", "carriers", "promises", "dpor", "first")
CHILD = Path(__file__).with_name("frontrun_lost_update.py")
CPUS = 8
ROUNDS = 3
ATTEMPTS = 150  # of frontrun in a round
SCHEDULES = 3_000  # of ours
QUICK = 500  # of each of ours, with --quick
THREADS, TIMES = 2, 5
TRACES = 34_904  # of that program, as Nidhugg and GenMC count them
CURVE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
BARS = " ▁▂▃▄▅▆▇█"
SAMPLE = ("002.flawed", "000.get-from-zero", "003.unlock-first", "004.base")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--variants", nargs="+", default=[], metavar="V", help="ids or patterns")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="of each policy (20)")
    parser.add_argument(
        "--limit", type=int, default=1_000, metavar="N", help="runs of a seed, executions (1000)"
    )
    parser.add_argument(
        "--small", action="store_true", help="first: policies, too, with the small cast"
    )
    parser.add_argument("--policies", nargs="+", choices=NAMES, default=list(NAMES), metavar="P")
    parser.add_argument(
        "--quick", action="store_true", help="lost: fewer schedules, and DPOR not to its end"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"({ROUNDS})")
    options = parser.parse_args()
    if unknown := sorted({*options.part} - {*PARTS}):
        parser.error(f"no part {', '.join(unknown)}: it has to be one of {', '.join(PARTS)}")
    if min(options.seeds, options.limit, options.rounds) < 1:
        parser.error("--seeds, --limit and --rounds have to be at least 1")
    print(f"the search is {'compiled' if native.used() else 'interpreted'}")
    for part in PARTS:
        if part in options.part or not options.part:
            print(f"\n== {part}", flush=True)
            globals()[part](options)


# -- the lost update -------------------------------------------------------------------------------


class Count(Struct):
    """What they add to."""

    value = shared(0)


def add(count: Count) -> None:
    for _ in range(TIMES):
        count.value = count.value + 1


def increments(token: Token, policy: Policy) -> Machine:
    """One run of the program; what it came to stands in the machine."""
    machine = Machine(THREADS, era="5.17")
    with machine.booted():
        machine.vm = Count()
        for cpu in range(THREADS):
            machine.spawn(add, machine.vm, comm=f"adder{cpu}", cpu=cpu)
        token.run(machine, policy)
    return machine


def lost(options: argparse.Namespace) -> None:
    """Rounds in which they take turns; the ratio is that of a round, and its median counts."""
    rates: dict[str, list[Rate]] = {}
    beside: dict[str, list[Rate]] = {}
    notes: dict[str, str] = {}
    told: dict[str, Any] | None = None
    with frontrun() as theirs:
        for _ in range(options.rounds):
            told = theirs() if theirs is not None else None
            if told is not None:
                for kind in ("random", "dpor"):
                    row, name = told[kind], f"frontrun {told['version']} {kind}"
                    rates.setdefault(name, []).append(_rate(row))
                    notes[name] = f"{row['lost']} of {row['schedules']} lost an increment"
            for carrier, make_token in (("threads", pinned), ("greenlets", greenlets)):
                for policy in ("mix", "random-walk", "pct"):
                    runs = QUICK if options.quick else SCHEDULES
                    rate, share = sampled(make_token, policy, runs)
                    name = f"{carrier}, {policy}"
                    rates.setdefault(name, []).append(rate)
                    notes[name] = f"{share:.0%} lost an increment"
                    if told is not None:
                        beside.setdefault(name, []).append(rate / _rate(told["random"]))
        name = "DPOR, greenlets"
        rate, search = explored(QUICK if options.quick else None)
        wrong = not search.unfinished and search.executions != TRACES
        rates[name] = [rate]
        notes[name] = (
            f"{search.executions:,} executions{f', NOT {TRACES:,}' if wrong else ''}"
            f"{', and more' if search.unfinished else ''}, {search.blocked} cut short"
        )
        if told is not None:
            beside[name] = [rate / _rate(told["dpor"])]
    print(f"{THREADS} threads, {TIMES} increments each; schedules a second, and beside frontrun")
    print(f"  {'':<24}{'processor':>10}{'clock':>8}{'ratios':>16}")
    for name, several in rates.items():
        cpu, clock = middle(several)
        ratio = ""
        if name in beside:
            ratio = "{:.1f} x {:.1f} x".format(*middle(beside[name]))
        print(f"  {name:<24}{cpu:>10,.0f}{clock:>8,.0f}{ratio:>16}  {notes[name]}")
    for name, least in (("threads, mix", 30), ("greenlets, mix", 45)):
        if name in beside:
            cpu, clock = middle(beside[name])
            reached = "yes" if clock >= least else "NO"
            print(f"  {name}: {clock:.1f} x by the clock, wanted {least} x: {reached}")


class Rate(NamedTuple):
    """Schedules a second, of the processor and of the clock; or two ratios of such."""

    cpu: float
    clock: float

    def __truediv__(self, other: Rate) -> Rate:
        return Rate(self.cpu / other.cpu, self.clock / other.clock)


def _rate(row: dict[str, float]) -> Rate:
    return Rate(row["schedules"] / row["cpu"], row["schedules"] / row["clock"])


def middle(rates: Sequence[Rate]) -> Rate:
    """The medians."""
    return Rate(median(rate.cpu for rate in rates), median(rate.clock for rate in rates))


def pinned() -> Token:
    return threads(pin=present_core())


def sampled(make_token: Callable[[], Token], policy: str, runs: int) -> tuple[Rate, float]:
    """Schedules a second, and the share of them that lose an increment."""
    token = make_token()
    failed = 0
    rng = Random()  # a new one for each run would be seeded twice
    for warm in range(100):
        rng.seed(warm)
        increments(token, make(policy, rng, 20))
    begun, at = time.process_time(), time.perf_counter()
    for seed in range(runs):
        rng.seed(seed)
        machine = increments(token, make(policy, rng, 20))
        failed += machine.vm.v_value != THREADS * TIMES
    rate = Rate(runs / (time.process_time() - begun), runs / (time.perf_counter() - at))
    token.close()
    return rate, failed / runs


def explored(limit: int | None) -> tuple[Rate, Search]:
    token = greenlets()
    search = Dpor()
    begun, at = time.process_time(), time.perf_counter()
    for _ in executions(search, partial(increments, token)):
        if search.executions == limit:
            break
    n = search.executions
    rate = Rate(n / (time.process_time() - begun), n / (time.perf_counter() - at))
    token.close()
    return rate, search


@contextmanager
def frontrun() -> Iterator[Callable[[], dict[str, Any]] | None]:
    """Runs frontrun's part and gives what it says; None, with a word why, without frontrun."""
    with tempfile.TemporaryDirectory(prefix="mmsim-bench-") as folder:
        bin = Path(folder, "bin")
        python = str(bin / "python")
        try:
            venv.create(folder)
            pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
            _output([*pip, "install", "--quiet", "frontrun"])
        except (OSError, subprocess.CalledProcessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()
            print(f"frontrun cannot be installed: {said[-1] if said else error}")
            yield None
            return
        command = [str(bin / "frontrun"), python, str(CHILD), str(ATTEMPTS)]
        yield lambda: json.loads(_output(command).splitlines()[-1])


def _output(command: Sequence[str]) -> str:
    """What it prints; in an environment that knows nothing of this one."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=clean)
    return done.stdout


# -- small casts -----------------------------------------------------------------------------------


def dpor(options: argparse.Namespace) -> None:
    rates: dict[str, list[float]] = {}
    print(f"  {'variant, cast':<58}{'executions':>11}{'cut':>6}{'a second':>10}")
    for variant in chosen(options, lambda v: True):
        for pair in pairs_of(variant):
            if pair.bound is not None:
                continue
            question = Question(variant.id, pair.cast, pair.small.cpus)
            with Explorer(question) as explorer:
                search = explorer.search
                begun = time.process_time()
                while search.more() and search.executions < options.limit:
                    explorer.step()
                spent = time.process_time() - begun
            whole = "" if not search.unfinished else "+"
            rate = search.executions / spent if spent else 0.0
            if search.executions >= 20:  # with fewer the clock says nothing
                rates.setdefault(variant.scenario.id, []).append(rate)
            print(
                f"  {f'{variant.id}, {pair.cast}':<58}{search.executions:>10,}{whole or ' '}"
                f"{search.blocked:>6}{rate:>10,.0f}",
                flush=True,
            )
    for thread, several in sorted(rates.items()):
        least = 2_000 if thread == "002" else 600
        print(
            f"  {thread}: {len(several)} casts of 20 executions or more, median "
            f"{median(several):,.0f} a second, {min(several):,.0f} to {max(several):,.0f}; "
            f"{sum(rate >= least for rate in several)} reach {least:,}"
        )


def carriers(options: argparse.Namespace) -> None:
    runs = 60
    all_ratios = []
    print(f"  {'variant':<28}{'threads':>9}{'greenlets':>10}{'ratio':>7}   (runs a second)")
    for variant in sampled_variants(options):
        several: dict[str, list[float]] = {"threads": [], "green": []}
        for turn in range(options.rounds):
            for engine in ("threads", "green") if turn % 2 == 0 else ("green", "threads"):
                with Runner(variant, cpus=CPUS, seed=1, engine=engine) as runner:
                    for index in range(10):
                        runner.run(index)
                    begun = time.process_time()
                    for index in range(runs):
                        runner.run(index)
                    several[engine].append(runs / (time.process_time() - begun))
        ratio = median(g / t for g, t in zip(several["green"], several["threads"], strict=True))
        all_ratios.append(ratio)
        print(
            f"  {variant.id:<28}{median(several['threads']):>9.0f}"
            f"{median(several['green']):>10.0f}{ratio:>7.2f}",
            flush=True,
        )
    ratio = median(all_ratios)
    print(f"  median {ratio:.2f}, wanted 1.3: {'yes' if ratio >= 1.3 else 'NO'}")


def chosen(options: argparse.Namespace, of: Callable[[Variant], bool]) -> list[Variant]:
    named = select(Library(), (), options.variants)
    return [v for v in named if in_order(v) and pairs_of(v) and of(v)]


def sampled_variants(options: argparse.Namespace) -> list[Variant]:
    if options.variants:
        return select(Library(), (), options.variants)
    known = all_variants(Library())
    return [known[id] for id in SAMPLE]


# -- promises --------------------------------------------------------------------------------------


class Steps(Struct):
    """Something to touch."""

    n = shared(0)


FILLING = 2
DEEPEST = 4


def alternation(token: Token, policy: Policy) -> tuple[Machine, list[str]]:
    """One run of two tasks, and the order of their marks.

    A bug of depth d is that d orders are kept.
    With marks a0, b0, a1, b1 ... these are b0 before a0, then a0 before b1, then b1 before a1 and
    so on: each is a demand between the two tasks that does not follow from the others.
    """
    machine = Machine(2, era="5.17")
    marks: list[str] = []

    def task(name: str, times: int) -> None:
        steps = machine.vm
        for i in range(times):
            for _ in range(FILLING):
                steps.n = 1
            marks.append(f"{name}{i}")
            steps.n = 2

    with machine.booted():
        machine.vm = Steps()
        machine.spawn(task, "a", DEEPEST, comm="a", cpu=0)
        machine.spawn(task, "b", DEEPEST, comm="b", cpu=1)
        token.run(machine, policy)
    return machine, marks


CHAIN = ("b0", "a0", "b1", "a1", "b2")
LENGTH = 2 * DEEPEST * (FILLING + 1) + 2  # effects of both tasks, and their starts


def kept(marks: Sequence[str], depth: int) -> bool:
    places = [marks.index(mark) for mark in CHAIN[: depth + 1]]
    return places == sorted(places)


def promises(options: argparse.Namespace) -> None:
    token = greenlets()
    runs = 20 * options.limit
    print(f"  PCT, 2 tasks, {LENGTH} steps, {runs:,} runs: hits beside the bound 1/(n k^(d-1))")
    for depth in range(1, DEEPEST + 1):
        hits = longest = 0
        for seed in range(runs):
            machine, marks = alternation(token, PCT(Random(seed), depth, LENGTH))
            longest = max(longest, machine.steps)
            hits += kept(marks, depth)
        bound = 1 / (2 * longest ** (depth - 1))
        low, high = binomtest(hits, runs).proportion_ci()
        verdict = "yes" if low >= bound else "not refuted" if high >= bound else "NO"
        print(
            f"    depth {depth}: {hits / runs:.5f} ({low:.5f} to {high:.5f}), bound {bound:.6f} "
            f"(k {longest}): {verdict}",
            flush=True,
        )
    token.close()
    flawed = all_variants(Library())["002.flawed"]
    share = {}
    for policy in ("random-walk", "pos"):
        with Runner(flawed, cpus=CPUS, seed=1, engine="green", policy=policy) as runner:
            found = sum(bool(runner.run(index).findings) for index in range(options.limit))
        low, high = binomtest(found, options.limit).proportion_ci()
        share[policy] = found / options.limit
        print(
            f"  002.flawed, {CPUS} CPUs, {policy}: {found} of {options.limit} runs "
            f"({low:.4f} to {high:.4f})"
        )
    if share["random-walk"]:
        print(f"  POS finds {share['pos'] / share['random-walk']:.1f} x as often, wanted 10 x")
    else:
        print("  random walk has found nothing: no ratio")


# -- first findings --------------------------------------------------------------------------------


def first(options: argparse.Namespace) -> None:
    """Of each variant a table; at the end the policies over all of them."""
    totals: dict[str, list[float]] = {policy: [] for policy in (*options.policies, "explore")}
    points = [n for n in CURVE if n <= options.limit]
    print("  per cent of seeds that have found nothing yet after so many runs (Kaplan-Meier)")
    for variant in chosen(options, lambda v: v.expect is Verdict.SOMETIMES):
        cast = pairs_of(variant)[0]
        print(f"\n  {variant.id}: {options.seeds} seeds, {_where(options, cast.cast)}")
        print(f"    {'policy':<13}{'median':>7}  " + "".join(f"{n:>6}" for n in points))
        for policy in options.policies:
            waits = [wait(variant, policy, seed, options) for seed in range(options.seeds)]
            middle = middle_of(waits, options.limit)
            totals[policy].append(middle)
            curve = _curve(waits, points, options.limit)
            print(f"    {policy:<13}{_runs(middle, options.limit):>7}  {curve}")
        nth, name = explore_first(variant, options.limit)
        totals["explore"].append(math.inf if nth is None else nth)
        said = f"> {options.limit}" if nth is None else str(nth)
        print(f"    {'explore':<13}{said:>7}  {name}", flush=True)
    print(f"\n  medians of the variants' medians (limit {options.limit})")
    for policy, middles in totals.items():
        if middles:
            censored = sum(n > options.limit for n in middles)
            print(
                f"    {policy:<13}{_runs(median(middles), options.limit):>7}   "
                f"{censored} of {len(middles)} variants beyond the limit"
            )


def _where(options: argparse.Namespace, cast: str) -> str:
    return f"small cast {cast}" if options.small else f"own cast, {CPUS} CPUs"


def wait(variant: Variant, policy: str, seed: int, options: argparse.Namespace) -> int | None:
    """Runs to the first finding, that one included; None if there is none up to the limit."""
    cpus = CPUS
    if options.small:
        pair = pairs_of(variant)[0]
        cpus, variant = pair.small.cpus, with_cast(variant, pair.cast)
    with Runner(variant, cpus=cpus, seed=seed, engine="green", policy=policy) as runner:
        for index in range(options.limit):
            if runner.run(index).findings:
                return index + 1
    return None


def survival(waits: Iterable[int | None], limit: int) -> Any:
    """Kaplan and Meier's estimate, of seeds some of which were cut off at the limit."""
    waits = list(waits)
    found = [n for n in waits if n is not None]
    data = CensoredData(uncensored=found, right=[limit] * (len(waits) - len(found)))
    return ecdf(data).sf


def middle_of(waits: Sequence[int | None], limit: int) -> float:
    """The median; infinite if half of the seeds or more have found nothing."""
    return median(math.inf if n is None else n for n in waits)


def _curve(waits: Sequence[int | None], points: Sequence[int], limit: int) -> str:
    sf = survival(waits, limit)
    shares = [float(sf.evaluate(n)) for n in points]
    bars = "".join(BARS[math.ceil(share * (len(BARS) - 1))] for share in shares)
    return "".join(f"{share * 100:>6.0f}" for share in shares) + f"  {bars}"


def _runs(middle: float, limit: int) -> str:
    return f"> {limit}" if middle > limit else f"{middle:g}"


def explore_first(variant: Variant, limit: int) -> tuple[int | None, str]:
    """Executions to the first finding in the planned small casts, one after the other."""
    spent = 0
    for pair in pairs_of(variant):
        question = Question(variant.id, pair.cast, pair.small.cpus, bound=pair.bound)
        with Explorer(question) as explorer:
            search = explorer.search
            while search.more() and not explorer.findings and spent + search.executions < limit:
                explorer.step()
            if explorer.findings:
                found = next(iter(explorer.findings.values()))
                return spent + max(found.nth, 1), f"small cast {pair.cast}"
            spent += search.executions
    return None, "small casts"


if __name__ == "__main__":
    main()
