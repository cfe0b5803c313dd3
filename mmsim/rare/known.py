# SPDX-License-Identifier: GPL-2.0-only
"""Where a variant's levels are declared."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mmsim.errors import UsageError
from mmsim.rare.levels import Levels, levels_of
from mmsim.scenarios.api import Variant
from mmsim.stress.source import Library

HOW = "docs/rare.md says how to declare them"


def find_levels(variant: Variant, source: Library) -> Levels:
    """Those of the thread's folder, or of the user's file.

    Raises UsageError if there are none for this variant, or none at all.
    """
    if source.file is not None:
        where = f"scenario file {source.file!r}"
        declared = source.levels()
        if declared is None:
            raise UsageError(f"{where}: it has no LEVELS = {{...}}; {HOW}")
    else:
        folder = Path(variant.scenario.file).parent.name
        name = f"mmsim.scenarios.{folder}.levels"
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"thread {variant.scenario.id} has no levels yet; {HOW}")
        where = f"{folder}/levels.py"
        declared = importlib.import_module(name).LEVELS
    levels = levels_of(variant.id, declared, where)
    if levels is None:
        raise UsageError(f"{where}: no levels for {variant.id}, but for {', '.join(declared)}")
    return levels
