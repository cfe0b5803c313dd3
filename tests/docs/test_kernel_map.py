# SPDX-License-Identifier: GPL-2.0-only
"""The kernel map is what the citations say, and the citations leave nothing out."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.cli.commands import map as kernel_map
from mmsim.model.cite import Citation

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mmsim"
VERSION = re.compile(r"_v\d+_\d+$")
ORDINARY = {"__init__", "__main__", "errors", "pytest_plugin", "run"}


@cache
def cited() -> tuple[Citation, ...]:
    return tuple(kernel_map.citations())


def kernel_files() -> list[Path]:
    """The files that mirror one of the kernel's."""
    files = [*PACKAGE.glob("*.py"), *PACKAGE.glob("v2_4/*.py"), *PACKAGE.glob("v3_13/*.py")]
    return sorted(file for file in files if file.stem not in ORDINARY)


OURS = {
    "mmzone.py": {
        "boot_mm",  # start_kernel() as far as a scenario needs it
        "lru_lock_of",  # where an era keeps its lru_lock
    },
    "page.py": {
        "bit_op",  # the operation that a macro declares
        "buddy_mapcount",  # a number that is a different one in 3.13
    },
    "memblock.py": {"compound_at_boot"},  # prep_compound_page() without points
    "page_owner.py": {"page_is"},  # the checker's own
    "page_check.py": {"checks_pcp"},  # an IS_ENABLED that several functions share
    "pagemap.py": {
        "page_lock_of",  # the checker's record of who holds a page lock
        "page_bit_of",
        "note_locked",
        "is_locked",
        "try_locked_bit",
        "page_wait_table",
    },
    "v2_4/i386.py": {"add_to", "and_with"},  # one instruction each, which C spells as an operator
    "v2_4/page.py": {"lru_ref"},  # a proposal of the list, in no kernel
    "v2_4/page_alloc.py": {
        "defer_free",  # a proposal of the list, in no kernel
        "free_deferred_pages",
        "lines",  # the numbers of BUG() lines
    },
}
"""Functions with public names that re-state no function of the kernel."""


def functions(file: Path) -> list[ast.FunctionDef]:
    """Those that the rest of the kernel sees. (A single underscore marks an effect or a helper.)"""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f for f in found if f.name.startswith("__") or not f.name.startswith("_")]


@pytest.mark.parametrize(
    "file", kernel_files(), ids=lambda file: file.relative_to(PACKAGE).as_posix()
)
def test_a_function_of_the_kernel_has_a_citation_and_a_docstring(file: Path) -> None:
    name = file.relative_to(PACKAGE).as_posix()
    module = "mmsim." + name.removesuffix(".py").replace("/", ".")
    importlib.import_module(module)
    known = {inspect.unwrap(c.func).__name__ for c in cited() if c.func.__module__ == module}
    versions = {c.func.__name__ for c in cited() if VERSION.search(c.func.__name__)}
    chooses_by_era = {VERSION.sub("", name) for name in versions}
    uncited = {f.name for f in functions(file)} - known - chooses_by_era
    assert uncited == OURS.get(name, set())
    assert not [f.name for f in functions(file) if not ast.get_docstring(f)]


def test_no_file_is_excused_that_does_not_exist() -> None:
    assert OURS.keys() <= {file.relative_to(PACKAGE).as_posix() for file in kernel_files()}


def test_citations_name_files_of_a_kernel_tree() -> None:
    top = ("arch", "block", "drivers", "fs", "include", "kernel", "lib", "mm", "net")
    odd = [c for c in cited() if not re.fullmatch(rf"(?:{'|'.join(top)})/[\w./-]+\.[chS]", c.file)]
    assert not odd


def test_citations_name_kernels_and_threads() -> None:
    kernel = r"2\.[4-6]\.\d+(-pre\d+)?|[3-6]\.\d+(\.\d+)?(-rc\d+)?"
    versions = {
        end for c in cited() for kernels in c.ranges for end in (kernels.first, kernels.last)
    }
    assert not {version for version in versions if not re.fullmatch(kernel, version)}
    assert not {
        c.thread for c in cited() if not re.fullmatch(r"(00[0-4]([, ]+00[0-4])*)?", c.thread)
    }


def test_symbols_are_names_in_c_without_our_version_suffix() -> None:
    assert not {c.symbol for c in cited() if not re.fullmatch(r"[A-Za-z_]\w*", c.symbol)}
    assert not {c.symbol for c in cited() if re.search(r"_v\d+_\d+$", c.symbol)}


def test_the_map_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "--check"]) == 0, capsys.readouterr().out


def test_a_map_that_is_not_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "kernel-map.md"
    monkeypatch.setattr(kernel_map, "PAGE", page)
    assert main(["map", "--check"]) == 1
    assert main(["map", "--write"]) == 0
    assert main(["map", "--check"]) == 0
    page.write_text(page.read_text().replace("| 5.17 |", "| 5.18 |", 1))
    assert main(["map", "--check"]) == 1
    assert "map --write" in capsys.readouterr().out


def test_whoever_reads_the_map_while_it_is_written_sees_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one takes the place of the old one, and is not written over it."""
    page, old = tmp_path / "kernel-map.md", tmp_path / "old.md"
    page.write_text("old\n")
    old.hardlink_to(page)
    monkeypatch.setattr(kernel_map, "PAGE", page)
    assert main(["map", "--write"]) == 0
    assert old.read_text() == "old\n"
    assert page.read_text().startswith("# The kernel map")
    assert sorted(tmp_path.iterdir()) == [page, old]


def test_the_map_needs_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel_map, "PAGE", tmp_path / "docs" / "kernel-map.md")
    assert main(["map", "--write"]) == 2
    assert "checkout" in capsys.readouterr().err


def test_every_link_of_the_map_leads_somewhere() -> None:
    text = kernel_map.page(cited())
    targets = set(re.findall(r"\]\(([^)]+)\)", text))
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading) for heading in headings}
    assert len(slugs) == len(headings)
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in slugs
        else:
            assert (ROOT / "docs" / target).resolve().is_file(), target


def test_every_citation_is_in_the_map_once() -> None:
    made = kernel_map.rows(cited())
    assert {(row.file, row.symbol) for row in made} == {(c.file, c.symbol) for c in cited()}
    assert len({(r.file, r.symbol, r.module, r.function) for r in made}) == len(made)


def test_a_function_with_two_versions_has_two_rows_and_one_with_two_citations_has_one() -> None:
    def free_v5_4() -> None: ...
    def free_v5_17() -> None: ...

    two = [
        Citation("free", "mm/x.c", "5.17", "000", free_v5_17),
        Citation("free", "mm/x.c", "5.4", "001", free_v5_4),
        Citation("free", "mm/x.c", "4.19", "000, 001", free_v5_4),
    ]
    here = Path(__file__).resolve().parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_map, "PACKAGE", here)
        old, new = kernel_map.rows(two)
    assert (old.function, old.versions, old.threads) == (
        "free_v5_4",
        ("4.19", "5.4"),
        ("000", "001"),
    )
    assert (new.function, new.versions) == ("free_v5_17", ("5.17",))
