# SPDX-License-Identifier: GPL-2.0-only
"""A call trace names functions that a kernel has: helpers and parts of one function are folded."""

from __future__ import annotations

from itertools import pairwise
from types import FrameType

import pytest

from mmsim import report
from mmsim.linux.bug import frames, frames_of
from mmsim.linux.bug import report as enter
from mmsim.model.cite import cite
from mmsim.run import Runner
from mmsim.scenarios.api import SOMETIMES, Scenario, Variant
from mmsim.scenarios.registry import find_variant


def _helper() -> tuple[object, ...]:
    return frames(0)


def kernel_function() -> tuple[object, ...]:
    return _helper()


@cite("mm/none.c", "0.0", symbol="whole")
def part() -> tuple[object, ...]:
    return _helper()


@cite("mm/none.c", "0.0", symbol="whole")
def whole_v5_4() -> tuple[object, ...]:
    return part()


def names(found: tuple[object, ...]) -> list[str]:
    funcs = [frame.func for frame in found]  # type: ignore[attr-defined]
    return funcs[: next(i for i, name in enumerate(funcs) if name.startswith("test_"))]


def test_a_helper_has_no_frame_and_its_line_is_kept() -> None:
    found = kernel_function()
    assert names(found) == ["kernel_function"]
    assert found[0].line == _helper.__code__.co_firstlineno + 1  # type: ignore[attr-defined]
    assert found[0].size == len(kernel_function.__code__.co_code)  # type: ignore[attr-defined]


def test_the_parts_of_one_function_are_one_frame() -> None:
    found = whole_v5_4()
    assert names(found) == ["whole_v5_4"]
    assert found[0].line == _helper.__code__.co_firstlineno + 1  # type: ignore[attr-defined]


def test_a_stack_of_helpers_alone_is_shown() -> None:
    kept: list[FrameType] = []

    def _lonely() -> None:
        import sys

        kept.append(sys._getframe())

    _lonely()
    assert frames_of(kept[0])[0].func.startswith("test_")


def test_a_finding_has_a_kind_that_can_be_printed() -> None:
    def setup(m: object, v: object) -> None:
        enter("accident", "something happened")

    plain = Variant("900.plain", "", SOMETIMES)
    Scenario("900", "odd", "", "", "5.17", setup, (plain,))
    with Runner(plain, cpus=1, seed=1) as runner, pytest.raises(ValueError, match="'accident'"):
        runner.run(0)


@pytest.mark.parametrize(
    "name", ["004.base", "004.lock-page", "001.419-dbg", "002.lru-holds-ref-cow-off-by-one"]
)
def test_no_report_names_a_helper(name: str) -> None:
    variant = find_variant(name)
    with Runner(variant, cpus=8, seed=1) as runner:
        finding = next(r.findings[0] for r in map(runner.run, range(300)) if r.findings)
    text = report.render(finding, variant=variant)
    traced = [line for line in text.splitlines() if "+0x" in line]
    assert not [line for line in traced if " _" in line.replace(" __", " ")]
    symbols = [line.split("+0x")[0].split()[-1] for line in traced if "RIP" not in line]
    assert all(one != other for one, other in pairwise(symbols))


def test_what_is_found_at_rest_is_nobodys_doing() -> None:
    variant = find_variant("002.lru-holds-ref-cow-off-by-one")
    with Runner(variant, cpus=8, seed=1) as runner:
        finding = next(r.findings[0] for r in map(runner.run, range(300)) if r.findings)
    text = report.render(finding, variant=variant)
    assert "Call Trace" not in text
    assert "swapper" not in text
    assert "when all had come to rest" in text
