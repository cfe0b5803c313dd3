# SPDX-License-Identifier: GPL-2.0-only
"""Exploration: all executions of a small cast, up to the order of what is independent."""

from mmsim.engine.explore.bounded import Bounded
from mmsim.engine.explore.dpor import Dpor
from mmsim.engine.explore.every import executions
from mmsim.engine.explore.nodes import ADDED, Frame, Knowledge, Request, Step, Twig, add, explored
from mmsim.engine.explore.search import Blocked, Search, Stopped, TooLong
from mmsim.engine.explore.words import NotQuiet, meet_spelled

__all__ = [
    "ADDED",
    "Blocked",
    "Bounded",
    "Dpor",
    "Frame",
    "Knowledge",
    "NotQuiet",
    "Request",
    "Search",
    "Step",
    "Stopped",
    "TooLong",
    "Twig",
    "add",
    "executions",
    "explored",
    "meet_spelled",
]
