# SPDX-License-Identifier: GPL-2.0-only
"""Hangs, deadlocks and lock misuse in the kernel's words."""

from __future__ import annotations

from mmsim.report import kernel_report

from .samples import finding


def test_hung_task() -> None:
    hung = finding("hung-task", "INFO: task blocked for more than 120 seconds", "5.17")
    assert kernel_report(hung).splitlines()[:5] == [
        "INFO: task rm:6172 blocked for more than 120 seconds.",
        "      Not tainted 5.17.0-rc5-mmsim #1",
        '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.',
        "task:rm              state:D stack:    0 pid: 6172",
        "Call Trace:",
    ]
    older = kernel_report(finding("hung-task", "hung in lock_page", "4.19")).splitlines()
    assert older[0] == "mmsim: hung in lock_page"
    assert older[4] == "rm              D    0  6172"


def test_hung_task_says_who_probably_owns_the_lock_after_the_trace() -> None:
    owner = "INFO: task rm:6172 is blocked on a mutex likely owned by task cat:9."
    text = kernel_report(
        finding(
            "hung-task", "INFO: task blocked for more than 120 seconds", "5.17", detail=(owner,)
        )
    )
    assert text.splitlines()[-1] == owner
    assert text.count(owner) == 1


def test_the_likely_owner_is_read_from_who_waits_for_whom() -> None:
    waits = (
        "cat/9 (task, CPU#0) sleeps and nobody is going to wake it",
        "rm/6172 (task, CPU#1) sleeps for mmap_sem, held by cat/9",
    )
    title = "INFO: task blocked for more than 120 seconds"
    text = kernel_report(finding("hung-task", title, "5.17", detail=waits))
    assert text.splitlines()[-1] == (
        "INFO: task rm:6172 is blocked on mmap_sem likely owned by task cat:9."
    )
    other = kernel_report(finding("hung-task", title, "5.17", detail=waits, pid=9, comm="cat"))
    assert "likely owned" not in other


def test_soft_lockup_by_era() -> None:
    def first(era: str) -> str:
        return kernel_report(finding("soft-lockup", "BUG: soft lockup", era)).splitlines()[0]

    assert first("5.17") == "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [rm:6172]"
    assert first("3.13") == "BUG: soft lockup - CPU#1 stuck for 22s! [rm:6172]"
    assert first("2.4.18-pre9") == "NMI Watchdog detected LOCKUP on CPU1, registers:"


CYCLE = (
    "rm/6172 (task, CPU#1) spins on lru_lock, held by kswapd0/77",
    "kswapd0/77 (task, CPU#0) spins on zone->lock, held by rm/6172",
)


def test_deadlock_of_spinners_is_a_lockup_and_ends_with_the_cycle() -> None:
    lines = kernel_report(finding("deadlock", "deadlock on lru_lock", "5.17", detail=CYCLE))
    told = lines.splitlines()
    assert told[0] == "mmsim: deadlock on lru_lock"
    assert told[1] == "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [rm:6172]"
    assert told[-3:] == ["mmsim: wait-for cycle:", f"mmsim:  {CYCLE[0]}", f"mmsim:  {CYCLE[1]}"]


def test_deadlock_of_sleepers_is_a_hung_task() -> None:
    cycle = ("rm/6172 (task, CPU#1) sleeps for PG_locked of pfn:00011, held by cat/9",)
    told = kernel_report(finding("deadlock", "deadlock on PG_locked", "5.17", detail=cycle))
    assert told.splitlines()[1] == "INFO: task rm:6172 blocked for more than 120 seconds."
    assert told.splitlines()[-2:] == ["mmsim: wait-for cycle:", f"mmsim:  {cycle[0]}"]


def test_an_interrupt_cannot_be_a_hung_task() -> None:
    told = kernel_report(finding("deadlock", "deadlock", "2.4.18-pre9", context="hardirq"))
    assert "NMI Watchdog detected LOCKUP on CPU1" in told


def test_spinlock_misuse() -> None:
    lock = " lock: lru_lock, .magic: dead4ead, .owner: rm/6172, .owner_cpu: 1"
    for detail in ((lock,), ("BUG: spinlock wrong CPU on CPU#1, rm/6172", lock)):
        told = kernel_report(finding("spinlock", "BUG: spinlock wrong CPU", "5.17", detail=detail))
        assert told.splitlines()[:4] == [
            "BUG: spinlock wrong CPU on CPU#1, rm/6172",
            lock,
            "CPU: 1 PID: 6172 Comm: rm Not tainted 5.17.0-rc5-mmsim #1",
            "Hardware name: mmsim 8 CPUs",
        ]


def test_scheduling_while_atomic_counts_locks_and_interrupts() -> None:
    def first(**changes: object) -> str:
        bad = finding("atomic-sleep", "BUG: scheduling while atomic", "5.17", **changes)
        return kernel_report(bad).splitlines()[0]

    assert first().endswith("rm/6172/0x00000001")
    assert first(context="hardirq", locks=("a", "b")).endswith("rm/6172/0x00010002")
    assert first(context="softirq", locks=()).endswith("rm/6172/0x00000100")
    given = "BUG: scheduling while atomic: rm/6172/0x00000007"
    assert first(detail=(given,)) == given


def test_sleeping_function_called_from_invalid_context() -> None:
    title = "BUG: sleeping function called from invalid context at mm/filemap.c:1234"
    detail = (
        "in_atomic(): 1, irqs_disabled(): 1, non_block: 0, pid: 6172, name: rm",
        "preempt_count: 1, expected: 0",
    )
    told = kernel_report(finding("atomic-sleep", title, "5.17", detail=detail)).splitlines()
    assert told[:5] == [title, *detail, "1 lock held by rm/6172:", " #0: (lru_lock)"]
    bare = kernel_report(finding("atomic-sleep", title, "5.17", locks=())).splitlines()
    assert bare[1] == "in_atomic(): 0, pid: 6172, name: rm"
