# SPDX-License-Identifier: GPL-2.0-only
"""Gates of thread 003: a migration entry that points to an unlocked page (5.17)."""

from mmsim.linux.gate import Gate, declare

declare(
    Gate(
        "waiters-after-test",
        "003",
        "",
        "",
        "a waiter for a page bit sets PG_waiters only after it has found the bit set",
        kind="mutation",
    ),
)
