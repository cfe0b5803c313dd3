# SPDX-License-Identifier: GPL-2.0-only
"""What every report has to be, whatever its era and kind: complete, ordered, fit for tools."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mmsim.detect.finding import KINDS, Finding
from mmsim.report import kernel_report, render

from .samples import ERAS, Variant, finding

FRAME = re.compile(r"[^+ ]+\+0x[0-9a-f]+/0x[0-9a-f]+")

TITLES = {
    "BUG": "kernel BUG at page_alloc.c:84!",
    "VM_BUG_ON": "VM_BUG_ON_PAGE(!PageLRU(page))",
    "bad-page": "Bad page state: nonzero _refcount",
    "list-corruption": "list_del corruption, ->next is LIST_POISON1",
    "oops": "Unable to handle kernel NULL pointer dereference at virtual address 00000104",
    "double-free": "double free",
    "deadlock": "deadlock: spinning on pagemap_lru_lock",
    "hung-task": "INFO: task blocked for more than 120 seconds",
    "soft-lockup": "BUG: soft lockup",
    "livelock": "livelock in do_swap_page",
    "spinlock": "BUG: spinlock recursion",
    "atomic-sleep": "BUG: scheduling while atomic",
    "invariant": "nr_inactive_pages is 3, the list holds 2",
    "warn": "WARNING: size of lruvec underflows",
}
# The words by which each kind is known, whatever the era.
KNOWN_BY = {
    "BUG": r"^kernel BUG at page_alloc\.c:84!$",
    "VM_BUG_ON": r"VM_BUG_ON_PAGE\(!PageLRU\(page\)\)",
    "bad-page": r"^BUG: Bad page state in process rm  pfn:00011$",
    "list-corruption": r"^list_del corruption, ->next is LIST_POISON1$",
    "oops": r"^Unable to handle kernel NULL pointer dereference at virtual address 00000104$",
    "double-free": r"^mmsim: double free  pfn:00011$",
    "deadlock": r"^mmsim: deadlock: spinning on pagemap_lru_lock$",
    "hung-task": r"rm\b.*(\bblocked for more than 120 seconds\.|\bD +6172)$",
    "soft-lockup": r"soft lockup - CPU#1 stuck for 22s! \[rm:6172\]|LOCKUP on CPU1",
    "livelock": r"^mmsim: livelock in do_swap_page  pfn:00011$",
    "spinlock": r"^BUG: spinlock recursion on CPU#1, rm/6172$",
    "atomic-sleep": r"^BUG: scheduling while atomic: rm/6172/0x00000001$",
    "invariant": r"^mmsim: nr_inactive_pages is 3, the list holds 2  pfn:00011$",
    "warn": r"^WARNING: CPU: 1 PID: 6172 at mm/swap\.c release_pages\+0x194/0x358",
}

NAMELESS = ("2.4.18-pre9",)  # no symbols in a trace of 2.4
OWN = ("double-free", "invariant", "livelock")

every_kind = pytest.mark.parametrize("kind", KINDS)
every_era = pytest.mark.parametrize("era", ERAS)
named_era = pytest.mark.parametrize("era", [era for era in ERAS if era not in NAMELESS])
kernels_kind = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OWN])


def sample(kind: str, era: str, **changes: object) -> Finding:
    return finding(kind, TITLES[kind], era, **changes)


def test_every_kind_has_a_sample() -> None:
    assert set(TITLES) == set(KINDS) == set(KNOWN_BY)


@every_kind
@every_era
def test_words_of_the_kind(kind: str, era: str) -> None:
    text = kernel_report(sample(kind, era))
    if kind == "VM_BUG_ON" and era in ("2.4.18-pre9", "3.13"):  # they did not say which
        assert "VM_BUG_ON" not in text
        assert "page:" not in text
        text = render(sample(kind, era), variant=Variant())
    assert re.search(KNOWN_BY[kind], text, re.MULTILINE)


@every_kind
@named_era
def test_every_frame_is_there_once_in_order_and_matches_the_tools(kind: str, era: str) -> None:
    text = kernel_report(sample(kind, era))
    found = [match[0].strip("()").removeprefix("0010:") for match in FRAME.finditer(text)]
    stack = ["release_pages+0x194/0x358", "__pagevec_release+0x28/0x44"]
    positions = [found.index(frame) for frame in (*stack, "shmem_undo_range+0x358/0x714")]
    assert positions == sorted(positions)
    assert "_v5_4" not in text


@every_kind
@every_era
def test_decoded_frames_name_the_file(kind: str, era: str) -> None:
    if era in NAMELESS and kind in ("warn", "bad-page"):
        return  # 2.4 had neither
    python = kernel_report(sample(kind, era), decode="python")
    assert "release_pages (mmsim/lru.py:57)" in python
    assert not FRAME.search(python)
    kernel = kernel_report(sample(kind, era), decode="kernel")
    assert "release_pages (mm/swap.c)" in kernel
    assert "shmem_undo_range (mm/shmem.c)" in kernel
    assert not FRAME.search(kernel)
    assert len(re.findall(r"\S+ \((?:mm|lib)/[\w/.-]+\)", kernel)) >= 3


@every_kind
def test_2_4_names_nothing_unless_it_is_decoded(kind: str) -> None:
    lines = kernel_report(sample(kind, "2.4.18-pre9")).splitlines()
    if kind in OWN:
        assert lines[0].startswith("mmsim: ")
        return
    if kind != "warn":  # 2.4 had none
        assert not any("release_pages" in line for line in lines)
    block = render(sample(kind, "2.4.18-pre9"), variant=Variant())
    assert "\nstack     release_pages < __pagevec_release < shmem_undo_range\n" in block


@every_kind
@every_era
def test_the_kernels_part_never_names_a_file_of_the_simulator(kind: str, era: str) -> None:
    assert ".py" not in kernel_report(sample(kind, era))


@pytest.mark.parametrize("kind", OWN)
@every_era
def test_what_mmsim_says_is_not_dressed_as_the_kernels(kind: str, era: str) -> None:
    text = kernel_report(sample(kind, era))
    assert text.startswith("mmsim: ")
    assert not re.search(r"BUG|cut here|invalid o|Call Trace|page:|page_owner|CPU:|RIP|PC is", text)


@every_era
def test_a_list_walk_that_goes_astray_is_mmsims(era: str) -> None:
    title = "a list walk ran into the head of another list"
    lost = finding("list-corruption", title, era)
    assert kernel_report(lost).splitlines()[0] == f"mmsim: {title}  pfn:00011"
    assert "BUG" not in kernel_report(lost)
    later = kernel_report(sample("BUG", era), earlier=(lost,))  # it taints and counts nothing
    assert "Not tainted" in later
    assert "[#2]" not in later


def test_a_file_outside_the_checkout_is_shown_from_the_package_down() -> None:
    stack = sample("BUG", "5.17").frames
    moved = tuple(replace(frame, file=f"/home/me/mmsim/src/{frame.file}") for frame in stack)
    text = kernel_report(sample("BUG", "5.17", frames=moved), decode="python")
    assert "release_pages (mmsim/lru.py:57)" in text
    assert "/home/me" not in text


def test_an_unknown_decoding_is_refused() -> None:
    with pytest.raises(ValueError, match="decode"):
        kernel_report(sample("BUG", "5.17"), decode="perl")


@every_kind
@every_era
def test_no_detail_is_lost_and_none_is_printed_twice(kind: str, era: str) -> None:
    detail = ("the lock was dropped at rm/6172", "last seen on cpu 3")
    text = render(sample(kind, era, detail=detail), variant=Variant())
    for line in detail:
        assert text.count(line) == 1


@every_kind
@every_era
@pytest.mark.parametrize("context", ["task", "softirq", "hardirq"])
def test_reports_survive_a_finding_without_page_or_stack(kind: str, era: str, context: str) -> None:
    bare = sample(kind, era, page=None, frames=(), locks=(), context=context)
    text = render(bare, variant=Variant())
    assert "None" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert text.splitlines()[-1] == f"---[ end mmsim {bare.fingerprint} ]---"


@kernels_kind
def test_the_architecture_of_the_era(kind: str) -> None:
    machine_words = {
        "2.4.18-pre9": r"\[<c0[0-9a-f]{6}>\]",
        "3.13": r"\[<ffffffff8[0-9a-f]{7}>\]",
        "5.4": r"\[<c0[0-9a-f]{6}>\] \(\w+\) from|PC is at",
    }
    for era, words in machine_words.items():
        assert re.search(words, kernel_report(sample(kind, era)))
    for era in ("4.19", "5.17"):
        assert not re.search(r"\[<[0-9a-f]+>\]", kernel_report(sample(kind, era)))


@kernels_kind
def test_task_and_interrupt_brackets(kind: str) -> None:
    text = kernel_report(sample(kind, "5.17"))
    assert text.index(" <TASK>\n") < text.index(" shmem_undo_range+") < text.index(" </TASK>")
    text = kernel_report(sample(kind, "5.17", context="softirq"))
    assert text.index(" <IRQ>\n") < text.index(" shmem_undo_range+") < text.index(" </IRQ>")
    assert "<TASK>" not in text
    assert "<TASK>" not in kernel_report(sample(kind, "4.19"))


@pytest.mark.parametrize(
    ("era", "release"),
    [("3.13", "3.13.10"), ("4.19", "4.19.109"), ("5.4", "5.4.170"), ("5.17", "5.17.0-rc5")],
)
def test_cpu_line(era: str, release: str) -> None:
    line = f"CPU: 1 PID: 6172 Comm: rm Not tainted {release}-mmsim #1\nHardware name: mmsim 8 CPUs"
    for kind in ("BUG", "bad-page", "warn", "spinlock"):
        assert line in kernel_report(sample(kind, era))


def test_taints_of_what_came_before_have_fixed_positions() -> None:
    bad = sample("bad-page", "5.17")
    died = sample("BUG", "5.17")
    first = kernel_report(bad)
    assert "Not tainted 5.17" in first
    second = kernel_report(died, earlier=(bad,))
    assert "Comm: rm Tainted: G    B" in second
    third = kernel_report(died, earlier=(bad, died, sample("warn", "5.17")))
    assert re.search(r"Comm: rm Tainted: G    B D W {9}5\.17\.0-rc5-mmsim #1", third)
    assert [re.search(r"\[#(\d)\]", text)[1] for text in (second, third)] == ["1", "2"]  # type: ignore[index]


def test_2_4_knows_no_taints() -> None:
    bad = sample("bad-page", "2.4.18-pre9")
    assert "]    Not tainted" in kernel_report(sample("BUG", "2.4.18-pre9"), earlier=(bad,))


def test_build_words() -> None:
    def number(era: str, smp: bool, preempt: bool) -> str:
        text = kernel_report(sample("BUG", era, preempt=preempt), smp=smp)
        return next(line.split("[#1]")[1] for line in text.splitlines() if "[#1]" in line)

    assert number("5.17", True, True) == " PREEMPT SMP NOPTI"
    assert number("4.19", True, False) == " SMP NOPTI"
    assert number("3.13", True, False) == " SMP"
    assert number("3.13", False, False) == ""
    assert number("5.4", True, True) == " PREEMPT SMP ARM"
    variant = Variant(config={"SMP": False})
    assert "0000 [#1] NOPTI" in render(sample("BUG", "5.17", preempt=False), variant=variant)


def test_a_64_bit_5_4_speaks_x86() -> None:
    text = kernel_report(sample("BUG", "5.4", arch="x86_64"))
    assert "RIP: 0010:release_pages+0x194/0x358" in text
    assert "ARM" not in text
