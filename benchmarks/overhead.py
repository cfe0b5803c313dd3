# SPDX-License-Identifier: GPL-2.0-only
"""What a store and a cluster cost beside `--jobs`: `python benchmarks/overhead.py`.

Runs one and the same campaign with `--jobs`, with a store, with a cluster of as many workers on
this machine, and with both, in turn, several rounds of them.  It prints the medians, in seconds on
the clock and of CPU (of all processes of the campaign), and the medians of each round's ratios to
its own `--jobs`; on a machine that is busy with something else the CPU is what to look at.

A cluster has to start, which is paid once.  So each way runs a campaign of a few runs as well, and
the second table is without what that costs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

VARIANTS = (
    "000.get-from-zero",
    "001.pageslab-precheck",
    "002.flawed",
    "003.unlock-first",
    "004.wp-no-lock",
)
FEW = 40
PLAIN = "--jobs"


def ways(workers: int, store: str) -> dict[str, list[str]]:
    """The options of each."""
    jobs, cluster, keep = [f"--jobs={workers}"], [f"--cluster=local:{workers}"], ["--store", store]
    return {
        PLAIN: jobs,
        "store": [*jobs, *keep],
        "cluster": cluster,
        "cluster and store": [*cluster, *keep],
    }


def campaign(options: list[str], runs: int) -> tuple[float, float, str]:
    """Seconds on the clock, seconds of CPU, and the numbers."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "out.json"
        command = [
            sys.executable,
            "-m",
            "mmsim.stress",
            "--seed",
            "1",
            "--reports",
            "none",
            "--stop-after",
            "1000000",
        ]
        command += [word for id in VARIANTS for word in ("--variant", id)]
        command += ["--runs", str(runs), "--json", str(out), *options]
        begun = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        clock = time.monotonic() - begun
        if not out.exists() or not json.loads(out.read_text())["complete"]:
            sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
        counted = json.loads(out.read_text())["variants"]
        numbers = json.dumps([[v["id"], v["runs"], v["findings"]] for v in counted])
    return clock, used.ru_utime + used.ru_stime, numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="of each of five variants (1000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    took = defaultdict(list)
    numbers = set()
    with tempfile.TemporaryDirectory() as directory:
        for n in range(options.rounds):
            for name, more in ways(options.workers, f"{directory}/{n}.sqlite").items():
                start = campaign(more, FEW)[:2]
                *whole, counted = campaign(more, options.runs)
                took[name].append((start, tuple(whole)))
                numbers.add(counted)
                print(
                    f"round {n + 1}, {name}: {whole[0]:.1f} s, CPU {whole[1]:.1f} s, "
                    f"of which the start {start[1]:.1f} s",
                    file=sys.stderr,
                    flush=True,
                )
    if len(numbers) != 1:
        sys.exit("the numbers differ")
    print(f"{len(VARIANTS)} variants, {options.runs} runs each, {options.workers} workers")
    table("the whole campaign", {name: [w for _, w in rows] for name, rows in took.items()})
    table(
        "without the start",
        {name: [(w[0] - s[0], w[1] - s[1]) for s, w in rows] for name, rows in took.items()},
    )


def table(title: str, took: dict[str, list[tuple[float, float]]]) -> None:
    print(f"\n{title:<22} clock    CPU    clock to {PLAIN}   CPU to {PLAIN}")
    for name, rows in took.items():
        ratios = [
            statistics.median(
                row[k] / plain[k] for row, plain in zip(rows, took[PLAIN], strict=True)
            )
            for k in (0, 1)
        ]
        clock, cpu = (statistics.median(row[k] for row in rows) for k in (0, 1))
        shown = "  ".join(f"{ratio - 1:>+14.1%}" for ratio in ratios)
        print(f"  {name:<20} {clock:5.1f}  {cpu:5.1f}  {shown}")


if __name__ == "__main__":
    main()
