# SPDX-License-Identifier: GPL-2.0-only
"""Every line of the corpus still comes to its finding.

The first of all tests: some seconds, and whoever has changed a race of the modelled code knows it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsim.scenarios.api import Verdict
from mmsim.scenarios.registry import scenarios
from mmsim.stress import corpus

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = corpus.read(ROOT / "stress" / corpus.NAME)
BY_VARIANT = {one.variant: [] for one in ENTRIES}
for one in ENTRIES:
    BY_VARIANT[one.variant].append(one)


@pytest.mark.parametrize("id", BY_VARIANT)
def test_lines_come_to_their_findings(id: str) -> None:
    stale = [
        f"{one.fingerprint} {one.title}: {why}; if the change is meant: {corpus.remedy(one)}"
        for one, why in corpus.replayed(BY_VARIANT[id])
        if why
    ]
    assert not stale


def failing() -> Iterator[str]:
    for scenario in scenarios():
        for variant in scenario.variants:
            if variant.expect is not Verdict.NEVER:
                yield variant.id


def test_every_variant_that_fails_has_a_line() -> None:
    assert set(failing()) == set(BY_VARIANT)


def test_the_file_is_as_the_program_writes_it() -> None:
    """So that a refresh of one variant changes its lines alone."""
    written = corpus.HEAD + corpus.text(ENTRIES)
    assert (ROOT / "stress" / corpus.NAME).read_text(encoding="utf-8") == written


FIRSTS = {variant.partition(".")[0]: several[0] for variant, several in BY_VARIANT.items()}


@pytest.mark.parametrize("thread", FIRSTS)
def test_a_line_of_each_mail_thread_under_os_threads(thread: str) -> None:
    [(_, why)] = corpus.replayed([FIRSTS[thread]], engine="threads")
    assert not why


@pytest.mark.parametrize("thread", FIRSTS)
def test_a_line_of_each_mail_thread_in_a_new_process(thread: str) -> None:
    one = FIRSTS[thread]
    command = [sys.executable, "-m", "mmsim", "replay", one.variant, one.line]
    command += ["--cast", one.cast] if one.cast else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"fingerprint {one.fingerprint}  {one.title}" in done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("id", BY_VARIANT)
def test_lines_come_to_their_findings_under_os_threads(id: str) -> None:
    assert not [one for one, why in corpus.replayed(BY_VARIANT[id], engine="threads") if why]
