# SPDX-License-Identifier: GPL-2.0-only
"""Who runs next.

The engine knows CPUs, contexts, points, policies and schedules.  It knows nothing of pages,
locks or kernels, and imports nothing else of mmsim.
"""
