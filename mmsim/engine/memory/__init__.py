# SPDX-License-Identifier: GPL-2.0-only
"""Weak memory: what a CPU may still read, once stores take their time to reach it."""
