# SPDX-License-Identifier: GPL-2.0-only
"""The mmsim block: what it holds, in which order, and that it can be pasted and run."""

from __future__ import annotations

import platform
import re

import pytest

from mmsim.report import render, seen

from .samples import ERAS, Variant, finding

COMMAND = "python -m mmsim replay double_free_2002 mm1:s7:c2:0a1b2c"


def block(text: str) -> list[str]:
    lines = text.splitlines()
    return lines[lines.index("---[ mmsim ]---") :]


def report(era: str = "2.4.18-pre9", **options: object) -> list[str]:
    free = finding("double-free", "double free", era, detail=("freed at step 12 and at step 57",))
    values: dict[str, object] = {"reproduce": COMMAND, "count": 17, "runs": 1000} | options
    return block(render(free, variant=Variant(), **values))  # type: ignore[arg-type]


def test_the_block_line_for_line() -> None:
    lanes = "step   CPU0          CPU1\n12     put_page"
    lines = report(lanes=lanes, run={"engine": "threads", "policy": "mix", "seed": 7})
    mark = finding("double-free", "double free", "2.4.18-pre9").fingerprint
    assert lines[:12] == [
        "---[ mmsim ]---",
        "scenario  double_free_2002   era 2.4.18-pre9   gates hugh-2002-02-07   "
        "verdict expected Sometimes",
        "variant   002.flawed   a page at count 0 is freed by whoever sees it first",
        f"finding   double-free pfn:00011   fingerprint {mark}   (seen 17 times in 1000 runs)",
        "where     release_pages, CPU1 rm/6172, step 57",
        "page      pfn:00011 count:0 flags:0x30(lru|active) lru:c0287e40/c0287e40",
        "history   allocated by rm/6172 (cpu 0)",
        "          freed by kswapd0/77 (cpu 1)",
        "stack     release_pages < __pagevec_release < shmem_undo_range",
        "detail    freed at step 12 and at step 57",
        "step   CPU0          CPU1",
        "12     put_page",
    ]
    assert lines[12] == "locks     held by rm/6172: {lru_lock}"
    assert re.fullmatch(
        r"run       engine=threads policy=mix seed=7 cpus=8 preempt=y gil=(on|off) "
        rf"python={re.escape(platform.python_version())} mmsim=[\d.]+\S*",
        lines[13],
    )
    assert lines[14:] == [f"Reproduce: {COMMAND}", f"---[ end mmsim {mark} ]---"]


@pytest.mark.parametrize("era", ERAS)
def test_reproduce_is_alone_on_the_last_line_before_the_end_mark(era: str) -> None:
    for command in (COMMAND, f"Reproduce: {COMMAND}\n"):
        assert report(era, reproduce=command)[-2] == f"Reproduce: {COMMAND}"
    assert not any("Reproduce" in line for line in report(era, reproduce=""))


def test_the_block_repeats_nothing_the_kernel_part_has_shown() -> None:
    bad = finding("bad-page", "BUG: Bad page state: nonzero mapcount", "5.17")
    assert not any(line.startswith("page ") for line in block(render(bad, variant=Variant())))


def test_context_and_absent_things() -> None:
    bare = finding(
        "BUG", "kernel BUG at mm/a.c:1!", "5.17", context="hardirq", page=None, locks=(), cpus=1
    )
    text = render(bare, variant=Variant(gates=()))
    lines = block(text)
    assert "gates none" in lines[1]
    assert "where     release_pages, CPU1 rm/6172 (hardirq), step 57" in lines
    assert "locks     held by rm/6172: none" in lines
    assert "pfn" not in "\n".join(lines)
    assert "Hardware name: mmsim 1 CPU\n" in text


def test_the_kernel_part_comes_first_and_is_not_mixed_with_ours() -> None:
    text = render(finding("BUG", "kernel BUG at mm/a.c:1!", "5.17"), variant=Variant())
    kernel, _, ours = text.partition("---[ mmsim ]---")
    assert kernel.rstrip().endswith("---[ end trace 0000000000000000 ]---")
    assert not re.search(r"\+0x[0-9a-f]+/0x", ours)


def test_how_often() -> None:
    assert seen(1, 1) == "seen 1 time in 1 run"
    assert seen(2, 3) == "seen 2 times in 3 runs"
