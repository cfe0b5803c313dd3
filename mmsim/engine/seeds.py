# SPDX-License-Identifier: GPL-2.0-only
"""Seeds: every random number of a run has one origin, and no draw moves another.

A run's seed is a function of (campaign seed, label, index); its random streams are functions of
(run seed, purpose).  Adding a draw for one purpose, or a run to one variant, moves nothing
elsewhere.  ``numpy.random.SeedSequence`` does the mixing, a block of 256 runs at a time, since
it costs more than a short run does.
"""

from __future__ import annotations

import random
import zlib
from functools import lru_cache

import numpy as np

BLOCK = 256


@lru_cache(maxsize=64)
def _block(seed: int, label: int, block: int) -> list[int]:
    sequence = np.random.SeedSequence(seed, spawn_key=(label, block))
    words: list[int] = sequence.generate_state(BLOCK, np.uint64).tolist()
    return words


def run_seed(seed: int, label: str, index: int) -> int:
    """The 64-bit seed of run ``index`` of the campaign ``seed`` for ``label`` (a variant id)."""
    return _block(seed, zlib.crc32(label.encode()), index // BLOCK)[index % BLOCK]


def stream(seed: int, purpose: str) -> random.Random:
    """An independent generator for one purpose ("policy", "setup", "cpu3") of one run."""
    return random.Random(seed | zlib.crc32(purpose.encode()) << 64)
