# SPDX-License-Identifier: GPL-2.0-only
"""Our reports against the two dumps in the mails, field by field.

The same facts are given to ours: task, stack, page, poison.  Every field of the mail is then the
same in ours, or different, or missing, and ours may have more; each difference stands in
docs/reports.md with its reason, and nothing else does.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmsim.detect.finding import Frame
from mmsim.report import kernel_report

from .samples import STACK, finding, page

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reports.md"

# How a field is found in a report, in the order of the mail; the group is its value.
ARM = {
    "cut here": r"^8<--- (cut here) ---$",
    "fault": r"^Unable to handle kernel NULL pointer dereference at virtual address (\S+)$",
    "pgd": r"^pgd = (\S+)$",
    "walk": r"^\[(\S+\] \*pgd=\S+, \*pmd=\S+)$",
    "Internal error": r"^Internal error: (.+)$",
    "Modules": r"^(Modules linked in:)",
    "CPU": r"^CPU: (\d+) ",
    "PID": r"^CPU: \d+ PID: (\d+) ",
    "Comm": r"^CPU: .* Comm: (\S+) ",
    "taint": r"^CPU: .* (?:Tainted: (G[A-Z ]*?)|Not tainted) +5\.",
    "release": r" (5\.\S+) #1$",
    "Hardware name": r"^Hardware name: (.+)$",
    "PC": r"^PC is at (\S+)$",
    "LR": r"^LR is at (\S+)\+",
    "LR offset": r"^LR is at \S+(\+\S+)$",
    "pc": r"^pc : \[<(\S+)>\]",
    "lr": r"\blr : \[<(\S+)>\]",
    "psr": r"\bpsr: (\S+)$",
    "sp": r"^sp : (\S+)",
    "ip": r"\bip : (\S+)",
    "fp": r"\bfp : (\S+)",
    **{f"r{n}": rf"(?:^|\s)r{n} ?: (\S+)" for n in range(10, -1, -1)},
    "condition flags": r"^Flags: (\w+) ",
    "Flags": r"^Flags: \w+ +(.+)$",
    "Control": r"^Control: (.+)$",
    "Process": r"^Process (\S+ \(pid: \d+), stack limit",
    "stack limit": r"stack limit = (\S+)\)$",
    "Stack": r"^Stack: (\(.*\))$",
    "backtrace": r"^\[<\S+>\] \((\w+)\) from \[<\S+>\] \(\S+\)$",
    "callers": r"^\[<\S+>\] \(\w+\) from \[<\S+>\] \((\S+)\)$",
    "Exception stack": r"^Exception stack(\(.*\))$",
    "Code": r"^Code: .*?(\w+ \(\w+\))$",
    "code before": r"^Code: (\w+ \w+ \w+) \w+ \(",
    "end trace": r"^---\[ (end trace) ",
    "panic": r"^(Kernel panic .*)$",
}
ARM_MAIL = {
    "fault": "00000104",
    "pgd": "e138149d",
    "walk": "00000104] *pgd=84d2fd003, *pmd=8ffd6f003",
    "Internal error": "Oops: a07 [#1] PREEMPT SMP ARM",
    "CPU": "1",
    "PID": "6172",
    "Comm": "AaSysInfoRColle",
    "taint": "G B O",
    "release": "5.4.170-...",
    "Hardware name": "Keystone",
    "PC": "release_pages+0x194/0x358",
    "LR": "release_pages",
    "LR offset": "+0x10c/0x358",
    "pc": "c03367a4",
    "lr": "c033671c",
    "psr": "600c0093",
    "sp": "ccec7da8",
    "ip": "00000000",
    "fp": "00000002",
    "r10": "600c0013",
    "r9": "c0e054a0",
    "r8": "00000001",
    "r7": "00000000",
    "r6": "ccec7e68",
    "r5": "00000000",
    "r4": "d435e280",
    "r3": "00000122",
    "r2": "00000100",
    "r1": "00000001",
    "r0": "600c0013",
    "condition flags": "nZCv",
    "Flags": "IRQs off FIQs on Mode SVC_32 ISA ARM Segment user",
    "Control": "30c5387d Table: 4d2b2cc0 DAC: 55555555",
    "Process": "AaSysInfoRColle (pid: 6172",
    "stack limit": "0x36239b43",
    "Stack": "(0xccec7da8 to 0xccec8000)",
    "backtrace": "release_pages __pagevec_release shmem_undo_range shmem_evict_inode evict "
    "do_unlinkat",
    "callers": "__pagevec_release+0x28/0x44 shmem_undo_range+0x358/0x714 "
    "shmem_evict_inode+0x11c/0x2ac evict+0xa0/0x1b8 do_unlinkat+0x1d0/0x2a0 "
    "ret_fast_syscall+0x0/0x4c",
    "Exception stack": "(0xccec7fa8 to 0xccec7ff0)",
    "Code": "e1c420d4 (e5823004)",
    "code before": "e5933000 e3130020 1a000065",
    "panic": "Kernel panic - not syncing: Fatal exception",
}

X86 = {
    "page": r"^page:(\S+) ",
    "count": r"\bcount:(\S+)",
    "mapcount": r" mapcount:(\S+)",
    "mapping": r"\bmapping:(\S+)",
    "index": r"\bindex:(\S+)",
    "compound_mapcount": r"\bcompound_mapcount: (\S+)",
    "flags": r"^flags: (\S+)$",
    "raw": r"^raw: (.+)$",
    "page dumped because": r"^page dumped because: (.+)$",
    "cut here": r"^-+\[ (cut here) \]-+$",
    "kernel BUG": r"^kernel BUG at (\S+)!$",
    "invalid opcode": r"^invalid opcode: (.+)$",
    "CPU": r"^CPU: (\d+) ",
    "PID": r"^CPU: \d+ PID: (\d+) ",
    "Comm": r"^CPU: .* Comm: (\S+) ",
    "taint": r"^CPU: .* Tainted: (G[A-Z ]*?) +4\.",
    "release": r" (4\.\S+) #1$",
    "Hardware name": r"^Hardware name: (.+)$",
    "RIP": r"^RIP: (\S+)$",
    "Call Trace": r"^(Call Trace:)$",
    "Modules": r"^(Modules linked in:)",
    "end trace": r"^---\[ (end trace) ",
}
X86_MAIL = {
    "page": "ffffea0105ca9380",
    "count": "1",
    "mapcount": "0",
    "mapping": "ffff88ff7712c180",
    "index": "0x0",
    "compound_mapcount": "0",
    "flags": "0x500000000008100(slab|head)",
    "raw": "0500000000008100 dead000000000100 dead000000000200 ffff88ff7712c180 "
    "0000000000000000 0000000080200020 00000001ffffffff 0000000000000000",
    "page dumped because": "VM_BUG_ON_PAGE(PageSlab(page))",
    "cut here": "cut here",
    "kernel BUG": "./include/linux/mm.h:628",
    "invalid opcode": "0000 [#1] SMP NOPTI",
    "CPU": "77",
    "PID": "504",
    "Comm": "kcompactd1",
    "taint": "G W",
    "release": "4.19.109-27",
    "Hardware name": "Yandex T175-N41-Y3N/MY81-EX0-Y3N, BIOS R05 06/20/2019",
    "RIP": "0010:isolate_migratepages_block+0x986/0x9b0",
}


def fields(text: str, patterns: dict[str, str]) -> dict[str, str]:
    """Every field that is there, with its values in order; blanks counted once."""
    found = {}
    for name, pattern in patterns.items():
        values = [value or "" for value in re.findall(pattern, text, re.MULTILINE)]
        if values:
            found[name] = re.sub(r"\s+", " ", " ".join(values)).strip()
    return found


def arm_report() -> str:
    stack = (
        *STACK,
        Frame("shmem_evict_inode", "mmsim/shmem.py", 1, 0x11C, 0x2AC, "mm/shmem.c"),
        Frame("evict", "mmsim/shmem.py", 1, 0xA0, 0x1B8, "fs/inode.c"),
        Frame("do_unlinkat", "mmsim/shmem.py", 1, 0x1D0, 0x2A0, "fs/namei.c"),
    )
    title = "Unable to handle kernel NULL pointer dereference at virtual address 00000104"
    bad = finding("bad-page", "BUG: Bad page state: nonzero mapcount", "5.4")
    oops = finding(
        "oops",
        title,
        "5.4",
        comm="AaSysInfoRColle",
        frames=stack,
        irqs_off=True,
        detail=("supervisor write access",),
    )
    return kernel_report(oops, earlier=(bad,))


def x86_report() -> str:
    slab = page(
        "4.19", ref=1, flags=0x500000000008100, flag_names=("slab", "head"), index=0, order=3
    )
    place = Frame("isolate_migratepages_block", "mmsim/compaction.py", 1, 0x986, 0x9B0)
    bug = finding(
        "VM_BUG_ON",
        "VM_BUG_ON_PAGE(PageSlab(page))",
        "4.19",
        page=slab,
        frames=(place, Frame("compact_zone", "mmsim/compaction.py", 1, 0, 1)),
        comm="kcompactd1",
        pid=504,
        cpu=77,
        preempt=False,
        detail=("kernel BUG at ./include/linux/mm.h:626!",),
    )
    return kernel_report(bug, earlier=(finding("warn", "WARNING: x", "4.19"),))


def differences(ours: dict[str, str], mail: dict[str, str]) -> dict[str, str]:
    """`other`, `missing` or `more` for each field that is not the same."""
    out = {}
    for name in ours.keys() | mail.keys():
        if ours.get(name) != mail.get(name):
            out[name] = "missing" if name not in ours else "more" if name not in mail else "other"
    return out


def documented(heading: str) -> dict[str, str]:
    """The rows of a table of docs/reports.md: field and what is different."""
    text = DOCS.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| (other|missing|more) \| [^|]{10,} \|$", text, re.MULTILINE)
    return {name.strip(): kind for names, kind in rows for name in names.split(", ")}


@pytest.mark.parametrize(
    ("heading", "report", "patterns", "mail"),
    [
        ("The oops of thread 000", arm_report, ARM, ARM_MAIL),
        ("The BUG of thread 001", x86_report, X86, X86_MAIL),
    ],
)
def test_every_difference_from_the_mail_has_its_reason(
    heading: str, report: object, patterns: dict[str, str], mail: dict[str, str]
) -> None:
    ours = fields(report(), patterns)  # type: ignore[operator]
    assert documented(heading) == differences(ours, mail)


def test_what_has_to_be_the_same_is() -> None:
    same = ARM_MAIL.keys() - differences(fields(arm_report(), ARM), ARM_MAIL).keys()
    assert same >= {
        "fault", "Internal error", "CPU", "PID", "Comm", "PC", "LR", "r4", "r3", "r2", "Flags",
        "Process", "backtrace", "callers", "Code", "panic",
    }  # fmt: skip
    same = X86_MAIL.keys() - differences(fields(x86_report(), X86), X86_MAIL).keys()
    assert same >= X86_MAIL.keys() - {"kernel BUG", "release", "Hardware name"}


def test_the_fields_come_in_the_order_of_the_mail() -> None:
    for text, patterns in ((arm_report(), ARM), (x86_report(), X86)):
        starts = [
            match.start()
            for pattern in patterns.values()
            if (match := re.search(pattern, text, re.MULTILINE))
        ]
        lines = [text.count("\n", 0, start) for start in starts]
        assert lines == sorted(lines)
