# SPDX-License-Identifier: GPL-2.0-only
"""The steps of the mail threads: each is something that happens in a run of its variant."""

from __future__ import annotations

import importlib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import mmsim.scenarios
from mmsim.rare.known import find_levels
from mmsim.rare.policies import Chosen
from mmsim.rare.splitting import Splitting
from mmsim.run import Runner
from mmsim.stress.source import Library, all_variants, find_variant

RUNS = 80
FOLDERS = sorted(
    file.parent.name for file in Path(mmsim.scenarios.__file__).parent.glob("s*/levels.py")
)


@pytest.mark.parametrize(
    ("id", "last"),
    [
        ("000.get-from-zero", 2),
        ("000.get-from-zero-nodebug", 3),
        ("000.recheck-lock-get-from-zero", 3),
        ("001.419-dbg", 5),
        ("002.flawed", 4),
        ("002.pagelocked-swapoff", 3),  # the next one takes thousands of runs
        ("002.pagelocked-no-count-one", 2),
        ("003.unlock-first", 3),
        ("003.unlock-first-516", 3),
        ("004.wp-no-lock", 4),
    ],
)
def test_every_step_is_taken(id, last):
    """So far ``RUNS`` runs come, with this seed; and no step has a name that nothing has."""
    source = Library(None)
    variant = find_variant(source, id)
    levels = find_levels(variant, source)
    with Runner(variant, cpus=8, seed=1, engine="green") as runner:
        splitting = Splitting(runner, levels.all, Chosen("geometric"), seed=1, effort=RUNS)
        splitting.plainly(RUNS)
    assert 0 not in splitting.seen
    assert 0 not in splitting.arrived[:last]


@pytest.mark.parametrize("folder", FOLDERS)
def test_levels_are_of_variants_that_there_are(folder):
    ids = all_variants(Library(None))
    for pattern in importlib.import_module(f"mmsim.scenarios.{folder}.levels").LEVELS:
        assert any(fnmatchcase(id, pattern) for id in ids), pattern
