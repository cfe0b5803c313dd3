# SPDX-License-Identifier: GPL-2.0-only
"""Instruments that turn events into findings.

A detector watches; it never takes part.  What it says is a value (``finding.py``), so that a
report can be written, stored or compared after the machine that went wrong is gone.
"""
