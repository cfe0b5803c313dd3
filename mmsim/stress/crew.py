# SPDX-License-Identifier: GPL-2.0-only
"""Whoever computes the blocks of a campaign, and the one loop that all of them are run by.

A crew hands blocks to workers, hears of results and of workers that are gone, and tells the
campaign. Where the workers are is the business of the crews: processes of this machine (`pool`), or
machines of a cluster (`cluster`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from mmsim.errors import UsageError
from mmsim.stress import interrupts
from mmsim.stress.plan import Campaign
from mmsim.stress.tally import Block, BlockResult, Tally
from mmsim.stress.worker import Beat, Broken, Setting

POLL_SECONDS = 0.25


class Observer(Protocol):
    """Whoever watches the campaign."""

    def progress(self, campaign: Campaign, runs: int, findings: int) -> None:
        """So many runs and findings, those of blocks under way included."""

    def variant_done(self, tally: Tally) -> None: ...
    def trouble(self, message: str) -> None: ...


class Crew(ABC):
    """The workers of one campaign. A context manager: they are let go at its end."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(patient=kind is None)

    @abstractmethod
    def close(self, *, patient: bool = True) -> None:
        """Let every worker go; patient ones are let out by the door."""

    @abstractmethod
    def _hand_out(self, campaign: Campaign, observer: Observer) -> bool:
        """Give a block to everybody who can take one; False if there is nothing to wait for."""

    @abstractmethod
    def _listen(self, bell: Sequence[int], campaign: Campaign, observer: Observer) -> None:
        """Wait a moment, or until a bell rings, and take in what has come."""

    @abstractmethod
    def _under_way(self) -> Sequence[Beat]:
        """How far the blocks are that are not back yet."""

    def run(self, campaign: Campaign, observer: Observer, alarm: int | None = None) -> None:
        """Run the campaign to its end, or until its deadline.

        ``alarm`` is a descriptor that becomes readable when there is an interrupt; that, and
        nothing else, ends it with KeyboardInterrupt (see `interrupts.gathered`).
        """
        bell = [] if alarm is None else [alarm]
        while True:
            if interrupts.heard():
                raise KeyboardInterrupt
            if not self._hand_out(campaign, observer):
                return
            self._listen(bell, campaign, observer)
            under_way = self._under_way()
            observer.progress(
                campaign,
                campaign.runs + sum(beat.runs for beat in under_way),
                campaign.findings + sum(beat.findings for beat in under_way),
            )

    def _next(self, campaign: Campaign) -> Block | None:
        """The next block, unless the time is over."""
        deadline = self._setting.deadline
        if deadline is not None and time.monotonic() >= deadline:
            return None
        return campaign.next_block()

    def _take(
        self, block: Block, answer: BlockResult | Broken, campaign: Campaign, observer: Observer
    ) -> None:
        """A worker's last word on a block. Raises UsageError if the request is at fault."""
        if isinstance(answer, Broken):
            if answer.usage:
                raise UsageError(answer.message)
            self._lose(block, campaign, observer, f"internal error in {block}\n{answer.message}")
        else:
            self._keep(block, answer, campaign, observer)

    def _lose(self, block: Block, campaign: Campaign, observer: Observer, message: str) -> None:
        campaign.lost.append(message)
        observer.trouble(message)
        self._keep(block, None, campaign, observer)

    def _keep(
        self, block: Block, result: BlockResult | None, campaign: Campaign, observer: Observer
    ) -> None:
        if campaign.put(block, result):
            observer.variant_done(campaign.lanes[block.variant].tally)
