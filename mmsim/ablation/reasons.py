# SPDX-License-Identifier: GPL-2.0-only
"""Why nobody needs a hunk, where every order was run and none had a finding."""

from __future__ import annotations

REASONS: dict[str, str] = {}
