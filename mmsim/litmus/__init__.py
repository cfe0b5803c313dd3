# SPDX-License-Identifier: GPL-2.0-only
"""Litmus tests: a few lines on a few CPUs, and whether an outcome is possible.

The format is the kernel's, C-flavoured; `parser` reads it, `explorer` runs all executions under the
memory model of `mmsim.engine.memory`, `output` prints what herd7 would.
"""
