# SPDX-License-Identifier: GPL-2.0-only
"""The tutorial's file is run as it is printed, so that the page cannot rot."""

import re
from pathlib import Path

import pytest

from mmsim.run import Runner
from mmsim.scenarios.own_file import load_file

PAGE = Path(__file__).parents[2] / "docs" / "write-a-scenario.md"
RUNS = (
    200  # 900.plain fails in more than 5 % of runs at 4 CPUs: 0.95**200 < 1e-4, and seeds are fixed
)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    file = tmp_path_factory.mktemp("tutorial") / "my_race.py"
    file.write_text(code.group(1))
    return load_file(str(file)).scenarios[0]


def failures(variant):
    with Runner(variant, cpus=4, seed=1) as runner:
        return [r for r in (runner.run(i) for i in range(RUNS)) if r.findings]


def test_the_suspicion_is_right(scenario):
    found = failures(scenario.variants[0])
    assert found
    with Runner(scenario.variants[0], cpus=4, seed=1) as runner:
        again = runner.replay(found[0].schedule)
    assert again.findings[0].fingerprint == found[0].findings[0].fingerprint


def test_the_patch_closes_it(scenario):
    assert failures(scenario.variants[1]) == []


def test_it_is_about_forty_lines(scenario):
    code = Path(scenario.file).read_text().splitlines()
    assert sum(1 for line in code if line.strip()) <= 70
