# SPDX-License-Identifier: GPL-2.0-only
"""x"""

from __future__ import annotations

from collections.abc import Callable

from mmsim.play.known import Known
from mmsim.play.session import Session


def serve(session: Session, known: Known | None, command: Callable[[str, bool], str]) -> int:
    """x"""
    return 0
