# SPDX-License-Identifier: GPL-2.0-only
"""The examples: short, written with what is public, right by hand and in random runs."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsim.pytest_plugin import run_in_order
from mmsim.run import Runner
from mmsim.scenarios import api
from mmsim.scenarios.own_file import load_file

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
FILES = sorted(FOLDER.glob("*.py"))
PAGE = (FOLDER.parent / "write-a-scenario.md").read_text(encoding="utf-8")
IDS = [file.stem for file in FILES]


@pytest.fixture(params=FILES, ids=IDS)
def file(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def module(file: Path) -> Any:
    """The file as pytest imports it."""
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_there_are_three() -> None:
    assert len(FILES) == 3
    for file in FILES:
        assert f"examples/{file.name}" in PAGE


def test_it_is_under_sixty_lines_of_ones_own(file: Path) -> None:
    """Neither the story nor the imports are counted."""
    text = file.read_text(encoding="utf-8")
    above = [
        n for n in ast.parse(text).body if isinstance(n, ast.Expr | ast.Import | ast.ImportFrom)
    ]
    code = text.splitlines()[max(node.end_lineno or 0 for node in above) :]
    assert sum(1 for line in code if line.strip()) < 60


def test_what_it_takes_of_the_scenarios_it_takes_from_one_place(file: Path) -> None:
    imported = {
        node.module
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }
    inside = {name for name in imported if name.startswith(("mmsim.scenarios", "mmsim.engine"))}
    assert inside == {"mmsim.scenarios.api"}


def test_its_order_shows_the_bug_and_passes_on_the_fix(
    file: Path, mmsim_order: Callable[..., Any]
) -> None:
    """The file's own test, and what it does not ask: the titles, and the metric of the window."""
    example = module(file)
    example.test_in_this_order(mmsim_order)
    wrong, right = load_file(str(file)).scenarios[0].variants
    for engine in ("threads", "green"):
        for variant in (wrong, right):
            seen = run_in_order(variant.id, *example.ORDER, file=str(file), engine=engine)
            declared = variant.expect is not api.NEVER
            assert bool(seen.findings) is declared
            assert set(seen.metrics.values()) == {1}, "the fix is in the window, too"
            if declared:
                assert any(re.search(pattern, seen.title) for pattern in variant.findings)


# Under these policies each fails in more than 1 % of runs: 0.99**700 < 1e-3, and seeds are fixed.
RUNS = 700
POLICY = {
    "compound_order": "random-walk",
    "end_page_writeback": "pct",
    "wait_on_page_writeback": "pos",
}


@pytest.mark.slow
def test_random_runs_say_the_same(file: Path) -> None:
    found = []
    for variant in load_file(str(file)).scenarios[0].variants:
        with Runner(variant, cpus=3, seed=1, policy=POLICY[file.stem]) as runner:
            found.append(any(runner.run(i).findings for i in range(RUNS)))
    assert found == [True, False]


def test_the_list_on_the_page_is_what_there_is() -> None:
    """Every public name of the one module is explained, and no other."""
    section = PAGE.split("## What there is")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)", section))
    assert not set(api.__all__) - named
    for name in api.__all__:
        assert hasattr(api, name)
