# SPDX-License-Identifier: GPL-2.0-only
"""What mm/ of 3.13 has and later kernels have not, file by file: the kernel of thread 004.

Nonlinear vmas, mlock and munlock of that age, a queue of waiters for every page.  What 3.13 shares
with its successors stands in the flat files beside this package; no file here has another version.
"""
