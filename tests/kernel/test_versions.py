# SPDX-License-Identifier: GPL-2.0-only
"""Versions of functions: what ranges cover, which version is called, what is refused."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmsim
from mmsim.engine.door import door
from mmsim.engine.machine import Machine
from mmsim.errors import UsageError
from mmsim.linux.bug import frames
from mmsim.mmzone import boot_mm
from mmsim.model.cite import citations_of, cite, file_of, plain, symbol_of
from mmsim.model.era import ERAS, UncoveredEra, UnknownEra, by_version, era, refuse_other_eras
from mmsim.model.version import Range, earliest, ranges, release
from mmsim.run import Runner
from mmsim.scenarios.api import NEVER, Scenario, Variant
from mmsim.scenarios.own_file import load_file
from mmsim.v2_4.page_alloc import zone_t
from mmsim.v3_13.mm_types import mm_struct


def boot(era: str) -> None:
    """A machine of this era, until the next one is booted."""
    door.boot(Machine(1, era=era))


def test_an_assertion_of_several_kernels_has_no_line_that_holds_for_one() -> None:
    """A line of another version would be a wrong one; ``where`` then names the version, too."""
    wrong = []
    for path in sorted(Path(mmsim.__file__).parent.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            if not any(".." in ast.unparse(each) for each in function.decorator_list):
                continue
            wrong += [
                f"{path.name}: {function.name}: {argument.value}"
                for call in ast.walk(function)
                if isinstance(call, ast.Call)
                for argument in call.args
                if isinstance(argument, ast.Constant)
                and re.search(r"\.[ch]:\d+$", str(argument.value))
            ]
    assert not wrong


# -- versions and ranges -------------------------------------------------------------------------


def test_kernels_stand_in_the_order_of_their_release() -> None:
    kernels = ["2.4.17", "2.4.18-pre9", "2.4.18", "2.4.20", "3.13", "5.4", "5.17-rc5", "5.17"]
    assert sorted(sorted(kernels), key=release) == kernels
    assert sorted(kernels) != kernels


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("5.4", ["5.4", "5.4.188"], ["5.3", "5.4-rc5", "5.40", "5.5"]),
        ("4.19..5.4", ["4.19", "4.19.108", "5.0", "5.4.188"], ["4.18", "5.5", "5.10", "3.13"]),
        ("2.4.17..2.4.18", ["2.4.17", "2.4.18-pre9", "2.4.18"], ["2.4.16", "2.4.20"]),
        ("2.4..2.5", ["2.4.17", "2.5.32"], ["2.3.99", "2.6.0"]),
        ("2.4.18-pre9", ["2.4.18-pre9"], ["2.4.18", "2.4.18-pre8"]),
    ],
)
def test_a_range_includes_both_ends(text: str, inside: list[str], outside: list[str]) -> None:
    kernels = Range.parse(text)
    assert str(kernels) == text
    assert [version for version in inside + outside if version in kernels] == inside


@pytest.mark.parametrize(
    "text", ["", "5", "five.four", "5.4...5.5", "5.4..", "..5.4", "5.4-5.5", "5.4..4.19", "5.4,"]
)
def test_what_is_no_range_is_refused_where_it_stands(text: str) -> None:
    with pytest.raises(ValueError, match=r"version"):
        ranges(text)
    with pytest.raises(ValueError, match=r"version"):
        cite("mm/x.c", text)


def test_a_citation_needs_a_version() -> None:
    with pytest.raises(ValueError, match=r"without a version"):
        cite("mm/x.c")


def test_ranges_overlap_if_a_kernel_is_in_both() -> None:
    wide = Range.parse("4.19..5.10")
    assert wide.overlaps(Range.parse("5.4"))
    assert Range.parse("5.4").overlaps(wide)
    assert wide.overlaps(Range.parse("5.10..5.17"))
    assert not wide.overlaps(Range.parse("5.11..5.17"))


def test_citations_sort_by_their_first_kernel() -> None:
    assert sorted(["5.4, 2.4.17", "3.13..5.10", "4.19"], key=earliest) == [
        "5.4, 2.4.17",
        "3.13..5.10",
        "4.19",
    ]


# -- one name for several versions ---------------------------------------------------------------


@cite("mm/thing.c", "3.13..5.10")
def thing_v5_4(pages: int, why: str = "") -> Any:
    """Do the thing as it was."""
    return "old", pages, why, frames(0)


@cite("mm/thing.c", "5.11..5.16", "5.18")
def thing_v5_17(pages: int, why: str = "") -> Any:
    """Do the thing as it is."""
    return "new", pages, why, frames(0)


thing = by_version(thing_v5_4, thing_v5_17)


@pytest.mark.parametrize(
    ("booted", "which"), [("3.13", "old"), ("4.19", "old"), ("5.4", "old"), ("5.16", "new")]
)
def test_the_version_of_the_booted_kernel_is_called(booted: str, which: str) -> None:
    boot(booted)
    assert thing(3, "because")[:3] == (which, 3, "because")
    assert thing(3)[:3] == (which, 3, "")


def test_an_era_that_no_version_covers_is_an_error_that_names_the_function() -> None:
    for name in ("2.4.17", "5.17"):
        boot(name)
        for _ in range(2):
            with pytest.raises(UncoveredEra) as error:
                thing(1)
            assert str(error.value) == (
                f"thing() has no version for {name}: it has 3.13..5.10 (thing_v5_4), "
                "5.11..5.16, 5.18 (thing_v5_17)"
            )


def test_an_era_that_does_not_exist_is_named_with_those_that_do() -> None:
    boot("5.18")
    with pytest.raises(UnknownEra, match=r"unknown era '5.18': it has to be one of 2.4.17, .*5.17"):
        era()
    with pytest.raises(UnknownEra):
        thing(1)


def test_the_choice_does_not_stand_in_the_stack() -> None:
    boot("5.4")
    above = [frame.func for frame in thing(1)[3]]
    assert above[:2] == ["thing_v5_4", sys._getframe().f_code.co_name]


def test_it_has_the_name_of_the_function_and_the_rest_of_its_last_version() -> None:
    assert (thing.__name__, thing.__qualname__, thing.__module__) == ("thing", "thing", __name__)
    assert thing.__doc__ == "Do the thing as it is."
    assert inspect.signature(thing) == inspect.signature(thing_v5_17)
    assert "def thing_v5_17(" in inspect.getsource(thing)


def test_versions_that_cover_the_same_kernel_are_refused() -> None:
    @cite("mm/thing.c", "5.10..5.17")
    def thing_v5_10() -> None: ...

    with pytest.raises(ValueError, match=r"thing: two versions cover 3.13..5.10"):
        by_version(thing_v5_4, thing_v5_10)


def test_a_version_without_a_citation_is_refused() -> None:
    def thing_v6_1() -> None: ...

    with pytest.raises(ValueError, match=r"thing: thing_v6_1 has no citation"):
        by_version(thing_v5_4, thing_v6_1)


def choices() -> list[tuple[str, str, Any]]:
    """(module, name, function) of everything that ``by_version`` has made in kernel files."""
    found = []
    for info in pkgutil.walk_packages(mmsim.__path__, "mmsim."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        found += [
            (info.name, name, value)
            for name, value in vars(module).items()
            if inspect.isfunction(value) and hasattr(value, "versions")
        ]
    return found


def test_every_choice_is_bound_to_its_own_name() -> None:
    made = choices()
    assert len(made) > 5
    assert [(module, name) for module, name, made in made if made.__name__ != name] == []


def test_every_choice_covers_a_row_of_eras_without_a_gap() -> None:
    """From the first era that a function has to its last: a gap would be an era forgotten."""
    names = sorted(ERAS, key=release)
    for module, name, made in choices():
        covered = [
            any(
                citation.covers(era)
                for version in made.versions
                for citation in citations_of(version)
            )
            for era in names
        ]
        first, last = covered.index(True), len(covered) - covered[::-1].index(True)
        assert all(covered[first:last]), f"{module}.{name}"


# -- names ---------------------------------------------------------------------------------------


def test_a_name_without_our_suffix() -> None:
    assert plain("release_pages_v5_17") == "release_pages"
    assert plain("__page_cache_release_v2_6_16") == "__page_cache_release"
    assert plain("thing_v") == "thing_v"


def test_a_stack_knows_symbol_and_file_of_a_cited_function() -> None:
    assert symbol_of(thing_v5_4.__code__) == "thing"
    assert file_of(thing_v5_4.__code__) == "mm/thing.c"
    assert symbol_of(choices.__code__) == "choices"
    assert file_of(choices.__code__) == ""


# -- packages of one kernel ----------------------------------------------------------------------


def test_a_package_of_one_kernel_refuses_others() -> None:
    boot("2.5.32")
    refuse_other_eras("v2_4's boot_mm()", "2.4..2.5")
    boot("3.13")
    with pytest.raises(UncoveredEra, match=r"v2_4's boot_mm\(\) is of 2.4..2.5, and .* as 3.13"):
        refuse_other_eras("v2_4's boot_mm()", "2.4..2.5")


@pytest.mark.parametrize(
    ("make", "booted", "error"),
    [
        (lambda m: zone_t("Normal"), "3.13", "zone_t of mmsim.v2_4 is of 2.4..2.5"),
        (lambda m: mm_struct("a"), "5.4", "mm_struct of mmsim.v3_13 is of 3.13"),
        (boot_mm, "2.4.17", "boot_mm() of mmsim.mmzone is of 3.13..5.17"),
        (lambda m: None, "5.17", "thing() has no version for 5.17"),
        (lambda m: None, "5.18", "unknown era '5.18'"),
    ],
)
@pytest.mark.parametrize("engine", ["threads", "free"])
def test_a_scenario_of_the_wrong_era_is_told_what_is_wrong(
    make: Callable[[Any], Any], booted: str, error: str, engine: str
) -> None:
    def setup(m: Machine, v: Variant) -> None:
        make(m)
        m.spawn(thing, 1, comm="a")

    variant = Variant("900.a", "a", NEVER, era=booted)
    Scenario("900", "wrong", "a", "", "5.4", setup, (variant,))
    runner = Runner(variant, cpus=1, seed=1, engine=engine)
    with runner, pytest.raises(UsageError) as told:
        runner.run(0)
    assert str(told.value).startswith(f"900.a: {error}")


def test_a_scenario_file_with_an_era_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(
        "from mmsim.scenarios.api import NEVER, Scenario, Variant\n"
        "SCENARIO = Scenario('900', 'wrong', 'a', '', '5.18', lambda m, v: None,\n"
        "    (Variant('900.a', 'a', NEVER),))\n"
    )
    with pytest.raises(UsageError, match=r"'900.a': no era '5.18' \(nearest: 5.17"):
        load_file(str(file))
