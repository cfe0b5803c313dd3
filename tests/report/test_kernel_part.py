# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's part of a report, line for line, for each kind in the eras that matter to it."""

from __future__ import annotations

import re
from dataclasses import replace
from textwrap import dedent

import pytest

from mmsim.report import kernel_report

from .samples import STACK, finding, page

ADDRESS = "<address>"


def same(text: str, expected: str) -> None:
    """Equal, except that `[<…>]` stands for any code address and `<id>` for any trace id."""
    text = re.sub(r"(?<=; )c0[0-9a-f]{6}\b", ADDRESS, text)
    text = re.sub(r"\[<[0-9a-f]{8,16}>\]", "[<…>]", text)
    text = re.sub(r"---\[ end trace (?!0{16})[0-9a-f]{16} \]---", "---[ end trace <id> ]---", text)
    assert text.splitlines() == dedent(expected).strip("\n").splitlines()


def test_2_4_bug_in_an_interrupt() -> None:
    same(
        kernel_report(
            finding(
                "BUG",
                "kernel BUG at page_alloc.c:84!",
                "2.4.17",
                context="hardirq",
                comm="bttv",
                task=("kswapd", 4),
                irqs_off=True,
                page=page("2.4.18-pre9"),
            )
        ),
        """
        kernel BUG at page_alloc.c:84!
        invalid operand: 0000
        CPU:    1
        EIP:    0010:[<…>]    Not tainted
        EFLAGS: 00010002
        eax: 0000001f   ebx: c1000440
        ds: 0018   es: 0018   ss: 0018
        Process kswapd (pid: 4, stackpage=c4009000)
        Call Trace: [<…>] [<…>]
        Code: 0f 0b 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90
        Kernel panic: Aiee, killing interrupt handler!
        In interrupt handler - not syncing
        """,
    )


def test_2_4_20_has_file_and_line_behind_ud2() -> None:
    lines = kernel_report(finding("BUG", "kernel BUG at page_alloc.c:95!", "2.4.20")).splitlines()
    code = next(line for line in lines if line.startswith("Code: ")).split()[1:]
    assert code[:4] == ["0f", "0b", "5f", "00"]
    assert len(code) == 20
    assert code[7] == "c0"  # a pointer to the name
    assert not any("eax" in line for line in lines)


def test_2_4_traces_have_five_addresses_then_six_a_line() -> None:
    deep = finding("BUG", "kernel BUG at page_alloc.c:84!", "2.4.17", frames=STACK * 5)
    lines = kernel_report(deep).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Call Trace:"))
    assert [line.count("[<") for line in lines[first : first + 3]] == [5, 6, 3]


def test_2_4_fault_and_divide_error() -> None:
    title = "Unable to handle kernel NULL pointer dereference at virtual address 00000004"
    lines = kernel_report(finding("oops", title, "2.4.17")).splitlines()
    assert lines[:2] == [title, " printing eip:"]
    assert lines[3:5] == ["*pde = 00000000", "Oops: 0002"]
    zero = kernel_report(finding("oops", "divide error: 0000", "2.4.17")).splitlines()
    assert zero[:2] == ["divide error: 0000", "CPU:    1"]


def test_2_4_decoded_has_the_lines_of_ksymoops() -> None:
    bug = finding("BUG", "kernel BUG at page_alloc.c:84!", "2.4.17")
    same(
        "\n".join(kernel_report(bug, decode="kernel").splitlines()[-3:]),
        f"""
        >>EIP; {ADDRESS} release_pages (mm/swap.c)
        Trace; {ADDRESS} __pagevec_release (mm/swap.c)
        Trace; {ADDRESS} shmem_undo_range (mm/shmem.c)
        """,
    )


def test_3_13_bug() -> None:
    same(
        kernel_report(finding("BUG", "kernel BUG at mm/mlock.c:82!", "3.13", preempt=False)),
        """
        ------------[ cut here ]------------
        kernel BUG at mm/mlock.c:82!
        invalid opcode: 0000 [#1] SMP
        Modules linked in:
        CPU: 1 PID: 6172 Comm: rm Not tainted 3.13.10-mmsim #1
        Hardware name: mmsim 8 CPUs
        RIP: 0010:[<…>]  [<…>] release_pages+0x194/0x358
        Call Trace:
         [<…>] __pagevec_release+0x28/0x44
         [<…>] shmem_undo_range+0x358/0x714
        ---[ end trace <id> ]---
        """,
    )


def test_arm_list_del_oops_shows_the_poison_in_r2_and_r3() -> None:
    title = "Unable to handle kernel NULL pointer dereference at virtual address 00000104"
    detail = ("supervisor write access",)
    oops = finding("oops", title, "5.4", detail=detail, irqs_off=True)
    same(
        kernel_report(oops),
        """
        8<--- cut here ---
        Unable to handle kernel NULL pointer dereference at virtual address 00000104
        pgd = b9596343
        [00000104] *pgd=896343003, *pmd=895963003
        Internal error: Oops: a07 [#1] PREEMPT SMP ARM
        Modules linked in:
        CPU: 1 PID: 6172 Comm: rm Not tainted 5.4.170-mmsim #1
        Hardware name: mmsim 8 CPUs
        PC is at release_pages+0x194/0x358
        LR is at release_pages+0x194/0x358
        pc : [<…>]    lr : [<…>]    psr: 00000093
        sp : cf039f40
        r4 : d435e280
        r3 : 00000122  r2 : 00000100
        Flags: nzcv  IRQs off  FIQs on  Mode SVC_32  ISA ARM  Segment user
        Process rm (pid: 6172, stack limit = 0x6fd3146e)
        Stack: (0xcf039f40 to 0xcf03a000)
        9f40: d435e280 00000000 00000000 00000000 00000000 00000000 00000000 c04cb5d8
        9f60: 00000000 00000000 00000000 00000000 00000000 00000000 00000000 c0220988
        9f80: 00000000 00000000 00000000 00000000 00000000 00000000 00000000 c02b49e0
        9fa0: 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
        9fc0: 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
        9fe0: 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
        [<…>] (release_pages) from [<…>] (__pagevec_release+0x28/0x44)
        [<…>] (__pagevec_release) from [<…>] (shmem_undo_range+0x358/0x714)
        [<…>] (shmem_undo_range) from [<…>] (ret_fast_syscall+0x0/0x4c)
        Exception stack(0xcf039fa8 to 0xcf039ff0)
        9fa0:                   00000000 00000000 00000000 00000000 00000000 00000000
        9fc0: 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
        9fe0: 00000000 00000000 00000000 00000000
        Code: e1c420d4 (e5823004)
        ---[ end trace <id> ]---
        Kernel panic - not syncing: Fatal exception
        """,
    )


def test_arm_backtrace_and_stack_agree() -> None:
    title = "Unable to handle kernel NULL pointer dereference at virtual address 00000104"
    text = kernel_report(finding("oops", title, "5.4"))
    stack = text.partition("Stack: ")[2].partition("[<")[0]
    returned = re.findall(r"from \[<([0-9a-f]{8})>\]", text)
    assert returned == [word for word in stack.split() if re.fullmatch(r"c0[0-9a-f]{6}", word)]


def test_arm_a_thread_of_the_kernel_has_no_user_registers() -> None:
    title = "Unable to handle kernel NULL pointer dereference at virtual address 00000104"
    thread = (*STACK, replace(STACK[-1], func="kswapd", source=""))
    text = kernel_report(finding("oops", title, "5.4", frames=thread))
    assert "Exception stack" not in text
    assert "ret_fast_syscall" not in text


def test_arm_bug() -> None:
    lines = kernel_report(finding("BUG", "kernel BUG at mm/swap.c:827!", "5.4")).splitlines()
    assert lines[:3] == [
        "------------[ cut here ]------------",
        "kernel BUG at mm/swap.c:827!",
        "Internal error: Oops - BUG: 0 [#1] PREEMPT SMP ARM",
    ]
    assert "Code: (e7f001f2)" in lines
    assert not any(line.startswith("r2") for line in lines)


def test_only_the_first_oops_can_panic() -> None:
    bug = finding("BUG", "kernel BUG at mm/swap.c:827!", "5.4")
    assert kernel_report(bug).endswith("Kernel panic - not syncing: Fatal exception")
    assert "panic" not in kernel_report(bug, earlier=(bug,))


def test_without_a_page_the_fault_address_tells_r2_and_nothing_tells_r3() -> None:
    title = "Unable to handle kernel NULL pointer dereference at virtual address 00000104"
    lines = kernel_report(finding("oops", title, "5.4", page=None)).splitlines()
    assert "r2 : 00000100" in lines
    assert not any(line.startswith(("r3", "r4")) for line in lines)


def test_registers_are_shown_only_where_they_teach() -> None:
    clean = page("5.4", lru_next=0xC0E04E48, lru_prev=0xC0E04E50)
    title = "Unable to handle kernel NULL pointer dereference at virtual address 00000000"
    texts = [
        kernel_report(finding("oops", title, "5.4", page=clean)),
        kernel_report(finding("BUG", "kernel BUG at mm/swap.c:823!", "5.4")),
        kernel_report(finding("BUG", "kernel BUG at mm/swap.c:823!", "5.17")),
    ]
    for text in texts:
        assert not re.search(r"^(r\d+ *:|R[A-D]X:)", text, re.MULTILINE)


def test_a_read_is_not_called_a_write() -> None:
    title = "BUG: kernel NULL pointer dereference, address: 0000000000000008"
    node = page("5.17", lru_next=0, lru_prev=0)
    for access, code in (("read", "0000"), ("write", "0002")):
        detail = (f"supervisor {access} access",)
        text = kernel_report(finding("oops", title, "5.17", page=node, detail=detail))
        assert f"#PF: supervisor {access} access in kernel mode" in text
        assert f"#PF: error_code(0x{code}) - not-present page\nOops: {code} [#1]" in text
    arm = "Unable to handle kernel NULL pointer dereference at virtual address 00000100"
    detail = ("supervisor read access",)
    assert "Oops: 207 [#1]" in kernel_report(finding("oops", arm, "5.4", detail=detail))


def test_x86_64_poison_is_a_general_protection_fault() -> None:
    title = "general protection fault, probably for non-canonical address 0xdead000000000108"
    same(
        kernel_report(finding("oops", title, "5.17", preempt=False)),
        """
        general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP NOPTI
        CPU: 1 PID: 6172 Comm: rm Not tainted 5.17.0-rc5-mmsim #1
        Hardware name: mmsim 8 CPUs
        RIP: 0010:release_pages+0x194/0x358
        RAX: dead000000000122 RDX: dead000000000100
        Call Trace:
         <TASK>
         __pagevec_release+0x28/0x44
         shmem_undo_range+0x358/0x714
         </TASK>
        Modules linked in:
        ---[ end trace 0000000000000000 ]---
        """,  # noqa: E501
    )
    old = kernel_report(finding("oops", title, "4.19", preempt=False)).splitlines()
    assert old[0] == "general protection fault: 0000 [#1] SMP NOPTI"
    assert "RAX: dead000000000200 RDX: dead000000000100" in old


def test_before_5_1_a_null_dereference_was_worded_otherwise() -> None:
    title = "BUG: kernel NULL pointer dereference, address: 0000000000000008"
    node = page("4.19", lru_next=0, lru_prev=0)
    lines = kernel_report(finding("oops", title, "4.19", page=node)).splitlines()
    assert lines[:2] == [
        "BUG: unable to handle kernel NULL pointer dereference at 0000000000000008",
        "Oops: 0002 [#1] PREEMPT SMP NOPTI",
    ]


def test_vm_bug_on_page_4_19_reads_like_the_report_of_thread_001() -> None:
    slab = page(
        "4.19", ref=1, flags=0x500000000008100, flag_names=("slab", "head"), index=0, order=3
    )
    slab_finding = finding(
        "VM_BUG_ON",
        "VM_BUG_ON_PAGE(PageSlab(page))",
        "4.19",
        page=slab,
        detail=("kernel BUG at ./include/linux/mm.h:628!",),
        preempt=False,
    )
    same(
        kernel_report(slab_finding),
        """
        page:ffffea0105ca9380 count:1 mapcount:0 mapping:ffff88ff7712c180 index:0x0 compound_mapcount: 0
        flags: 0x500000000008100(slab|head)
        raw: 0500000000008100 dead000000000100 dead000000000200 ffff88ff7712c180
        raw: 0000000000000000 0000000080200020 00000001ffffffff 0000000000000000
        page dumped because: VM_BUG_ON_PAGE(PageSlab(page))
        ------------[ cut here ]------------
        kernel BUG at ./include/linux/mm.h:628!
        invalid opcode: 0000 [#1] SMP NOPTI
        CPU: 1 PID: 6172 Comm: rm Not tainted 4.19.109-mmsim #1
        Hardware name: mmsim 8 CPUs
        RIP: 0010:release_pages+0x194/0x358
        Call Trace:
         __pagevec_release+0x28/0x44
         shmem_undo_range+0x358/0x714
        Modules linked in:
        ---[ end trace <id> ]---
        """,  # noqa: E501
    )


def test_vm_bug_on_without_a_line_names_the_kernels_file() -> None:
    text = kernel_report(finding("VM_BUG_ON", "VM_BUG_ON_PAGE(!PageLRU(page))", "5.4"))
    assert "page dumped because: VM_BUG_ON_PAGE(!PageLRU(page))\n" in text
    assert "------------[ cut here ]------------\nkernel BUG at mm/swap.c!\n" in text
    assert text.count("VM_BUG_ON_PAGE") == 1


def test_the_simulator_is_not_part_of_the_stack() -> None:
    host = [type(STACK[0])("run", file, 9, 2, 8) for file in ("mmsim/run.py", "/lib/pool.py")]
    frames = (*STACK, *host)
    text = kernel_report(finding("BUG", "kernel BUG at mm/swap.c:823!", "5.17", frames=frames))
    assert "shmem_undo_range+0x358/0x714\n </TASK>" in text


POISONED = "list_del corruption, ffffea0000000448->next is LIST_POISON1 (dead000000000100)"


@pytest.mark.parametrize(
    ("era", "message", "at"),
    [
        ("5.17", POISONED, 45),
        ("4.19", POISONED, 47),
        ("5.4", "list_del corruption, d435e284->prev is LIST_POISON2 (00000122)", 50),
        ("4.19", "list_del corruption. prev->next should be ffffea0000000448, but was dead", 53),
        ("5.17", "list_del corruption. next->prev should be ffffea0000000448, but was dead", 54),
        ("5.17", "list_add corruption. next->prev should be prev (a), but was b. (next=c).", 23),
        ("5.4", "list_add corruption. prev->next should be next (a), but was b. (prev=c).", 28),
        ("5.17", "list_add double add: new=a, prev=b, next=c.", 29),
    ],
)  # fmt: skip
def test_list_debug_message_then_bug(era: str, message: str, at: int) -> None:
    title = re.sub(r"[0-9a-f]{8,16}->", "->", message).split(" (")[0]
    detail = (message, f"kernel BUG at lib/list_debug.c:{at}!")
    lines = kernel_report(finding("list-corruption", title, era, detail=detail)).splitlines()
    assert lines[:3] == [
        message,
        "------------[ cut here ]------------",
        f"kernel BUG at lib/list_debug.c:{at}!",
    ]
    assert "[#1]" in lines[3]


def test_list_debug_before_4_10_only_warned() -> None:
    message = "list_del corruption, ffffea0000000460->next is LIST_POISON1 (dead000000100100)"
    same(
        kernel_report(
            finding(
                "list-corruption",
                "list_del corruption, ->next is LIST_POISON1",
                "3.13",
                detail=(message, "lib/list_debug.c:53"),
            )
        ),
        f"""
        ------------[ cut here ]------------
        WARNING: CPU: 1 PID: 6172 at lib/list_debug.c:53 __list_del_entry+0x50/0x90()
        {message}
        Modules linked in:
        CPU: 1 PID: 6172 Comm: rm Not tainted 3.13.10-mmsim #1
        Hardware name: mmsim 8 CPUs
        Call Trace:
         [<…>] __list_del_entry+0x50/0x90
         [<…>] release_pages+0x194/0x358
         [<…>] __pagevec_release+0x28/0x44
         [<…>] shmem_undo_range+0x358/0x714
        ---[ end trace <id> ]---
        """,
    )


def test_warning() -> None:
    lines = kernel_report(finding("warn", "WARNING: lruvec size -1", "5.17")).splitlines()
    assert lines[:4] == [
        "------------[ cut here ]------------",
        "lruvec size -1",
        "WARNING: CPU: 1 PID: 6172 at mm/swap.c release_pages+0x194/0x358",
        "Modules linked in:",
    ]
    assert lines[6] == "RIP: 0010:release_pages+0x194/0x358"
    assert lines[7:10] == ["Call Trace:", " <TASK>", " __pagevec_release+0x28/0x44"]
    assert lines[-1] == "---[ end trace 0000000000000000 ]---"


def test_the_trace_id_before_5_17_is_stable_and_starts_with_the_fingerprint() -> None:
    died = finding("BUG", "kernel BUG at mm/swap.c:823!", "4.19")
    again = finding("BUG", "kernel BUG at mm/swap.c:823!", "4.19", pid=1, cpu=0, step=9)
    ids = [
        re.search(r"end trace ([0-9a-f]{16}) ", kernel_report(each))[1]  # type: ignore[index]
        for each in (died, again)
    ]
    assert ids[0] == ids[1]
    assert ids[0].startswith(died.fingerprint)


@pytest.mark.parametrize("era", ["3.13", "4.19", "5.4", "5.17"])
def test_dying_in_an_interrupt_is_fatal(era: str) -> None:
    bug = finding("BUG", "kernel BUG at mm/swap.c:823!", era, context="softirq")
    last = kernel_report(bug).splitlines()[-1]
    assert last == "Kernel panic - not syncing: Fatal exception in interrupt"
    task = kernel_report(finding("BUG", "kernel BUG at mm/swap.c:823!", era))
    assert "interrupt" not in task


@pytest.mark.parametrize("era", ["2.4.17", "3.13", "5.4", "5.17"])
def test_an_interrupt_is_reported_as_the_task_below(era: str) -> None:
    irq = finding("BUG", "kernel BUG at a.c:1!", era, context="hardirq", task=("kswapd0", 77))
    text = kernel_report(irq)
    assert re.search(r"Process kswapd0 \(pid: 77|PID: 77 Comm: kswapd0 ", text)
    assert "6172" not in text


def test_list_debug_where_it_only_warns_shows_its_own_function() -> None:
    message = "list_del corruption. prev->next should be d435e284, but was c0300000"
    title = "list_del corruption. prev->next should be entry"
    told = finding("warn", title, "4.19", detail=(message,))
    lines = kernel_report(told).splitlines()
    assert lines[:3] == [
        "------------[ cut here ]------------",
        message,
        "WARNING: CPU: 1 PID: 6172 at lib/list_debug.c:53 __list_del_entry_valid+0x70/0x90",
    ]
    assert " release_pages+0x194/0x358" in lines


def test_the_fingerprint_ignores_what_differs_from_run_to_run() -> None:
    one = finding("BUG", "kernel BUG at page_alloc.c:84!", "2.4.18-pre9")
    two = finding("BUG", "kernel BUG at page_alloc.c:84!", "2.4.18-pre9", pid=1, cpu=0, step=3)
    elsewhere = finding("BUG", "kernel BUG at page_alloc.c:84!", "2.4.18-pre9", where="rmqueue")
    assert re.fullmatch(r"[0-9a-f]{6}", one.fingerprint)
    assert one.fingerprint == two.fingerprint != elsewhere.fingerprint
