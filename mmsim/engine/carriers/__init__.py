# SPDX-License-Identifier: GPL-2.0-only
"""Carriers: how the stack of a context goes on.

``threads`` (OS threads, one of which runs) and ``greenlets`` (cheaper switches, the same decisions)
serve an execution with a token.  ``free`` has none: the operating system schedules, and the carrier
is an execution of its own.
"""
