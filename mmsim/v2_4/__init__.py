# SPDX-License-Identifier: GPL-2.0-only
"""The mm/ of 2.4.17 to 2.5.32, file by file: the kernel of thread 002.

A package of its own, because nothing below the level of ideas survived into later kernels: one
global lock for all LRU lists, no pagevecs, no rmap, waiting for a page in the page itself.
"""
