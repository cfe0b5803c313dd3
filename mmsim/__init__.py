# SPDX-License-Identifier: GPL-2.0-only
"""mmsim: Linux memory management small enough to read and real enough to break."""

from mmsim import native

__version__ = "0.1.0"

native.use()
