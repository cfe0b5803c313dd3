# SPDX-License-Identifier: GPL-2.0-only
"""Which small casts prove a variant, what their exploration came to, and where that is kept."""

from __future__ import annotations
