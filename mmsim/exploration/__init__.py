# SPDX-License-Identifier: GPL-2.0-only
"""Exploring a variant: in one process or in several, to the end or to a limit, and on again.

The search itself is :mod:`mmsim.engine.explore`; here it meets a variant and its cast.
"""
