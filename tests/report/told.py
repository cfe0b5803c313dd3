# SPDX-License-Identifier: GPL-2.0-only
"""Stories of real runs, for whoever draws them: a variant's first failing run, recorded."""

from __future__ import annotations

from functools import cache

from mmsim.detect.finding import Finding
from mmsim.engine.events import Event
from mmsim.engine.instruments import Events
from mmsim.report.record import Recorder
from mmsim.report.story import Story
from mmsim.run import Runner
from mmsim.stress.source import Library, find_variant


@cache
def told(variant: str, cpus: int = 8, runs: int = 400) -> tuple[Story, tuple[Event, ...], str]:
    """The story, what a listener to events hears of the same run, and the schedule.

    Seed 1: which run fails is the same everywhere, so that no number of runs has to be large.
    """
    with Runner(find_variant(Library(), variant), cpus=cpus, seed=1, engine="green") as runner:
        line = next(r.schedule for r in map(runner.run, range(runs)) if r.findings)
        recorder, events = Recorder(), list[Event]()
        findings: tuple[Finding, ...] = runner.replay(line, instruments=[recorder]).findings
        runner.replay(line, instruments=[Events(events.append)])
    return recorder.story(findings), tuple(events), line
