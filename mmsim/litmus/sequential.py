# SPDX-License-Identifier: GPL-2.0-only
"""Sequential consistency: a word has one value, and everybody sees it."""

from __future__ import annotations

from typing import Any

from mmsim.engine.memory.messages import EMPTY, History, Message, View, Word
from mmsim.engine.memory.views import Memory


class Sequential(Memory):
    """Takes the same calls as `Memory`, and lets a read take the newest message only."""

    def readable(self, cpu: int, word: Word, dep: View = EMPTY) -> range:
        return range(1)

    def read(
        self,
        cpu: int,
        word: Word,
        position: int,
        *,
        dep: View = EMPTY,
        acquire: bool = False,
        returns: bool = True,
    ) -> View:
        return EMPTY

    def write(
        self,
        cpu: int,
        word: Word,
        value: Any,
        *,
        dep: View = EMPTY,
        release: bool = False,
        inherited: View = EMPTY,
        handed: View | None = None,
        step: int = 0,
    ) -> None:
        self.words[word] = History(0, (Message(value, cpu, step),))
