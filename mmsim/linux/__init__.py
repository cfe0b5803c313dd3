# SPDX-License-Identifier: GPL-2.0-only
"""What kernel code stands on: lists, atomics, locks, interrupts, sleeping, BUG.

Kernel dialect: identifiers as in C, one C statement one Python statement, every shared access a
point.  Knows the engine and the shape of findings, and nothing of pages.
"""
