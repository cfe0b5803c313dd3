# SPDX-License-Identifier: GPL-2.0-only
"""The reading pages speak of files, functions, variants, claims and commands: they must exist.

The other way round as well: a page that leaves out a variant or a claim of its thread has been
forgotten, not shortened.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from mmsim import cli
from mmsim.claims import claims
from mmsim.scenarios.registry import find_variant, scenarios
from mmsim.stress import options, profile
from mmsim.stress.settings import DEFAULT_PROFILE, resolve
from mmsim.stress.source import Library

ROOT = Path(__file__).resolve().parents[2]
READING = ROOT / "docs" / "reading"
THREADS = ("000", "001", "002", "003", "004")
PAGES = ("README", *THREADS)

LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
ID = re.compile(r"\b(\d{3})\.([a-z0-9*][a-z0-9*-]*)")


@cache
def text(page: str) -> str:
    return (READING / f"{page}.md").read_text(encoding="utf-8")


def prose(page: str) -> str:
    """The page with every link replaced by its text."""
    return LINK.sub(r"\1", text(page))


@cache
def defined(file: Path) -> frozenset[str]:
    """Functions, classes and names of a module that are made there and not imported."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.Assign):
            names |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return frozenset(names)


@cache
def anchors(file: Path) -> frozenset[str]:
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    broken = []
    for shown, target in LINK.findall(text(page)):
        name, _, anchor = target.partition("#")
        file = (READING / name).resolve() if name else READING / f"{page}.md"
        there = file.is_file() and file.is_relative_to(ROOT)
        if there and anchor:
            there = anchor in anchors(file)
        if there and file.suffix == ".py":
            there = shown.strip("`") in defined(file)
        if not there:
            broken.append(f"{shown} in {target}")
    assert not broken


@pytest.mark.parametrize("page", THREADS)
def test_a_page_leads_to_the_functions_it_talks_about(page: str) -> None:
    code = [target for _, target in LINK.findall(text(page)) if target.endswith(".py")]
    assert len(code) >= 3


def mentioned(page: str) -> tuple[set[str], set[str]]:
    """The variants (patterns spelled out) and the claims that a page names; none may be unknown."""
    variants = {v.id for s in scenarios() for v in s.variants}
    known = {c.id for c in claims()}
    found: tuple[set[str], set[str]] = (set(), set())
    unknown = []
    for match in ID.finditer(prose(page)):
        word = match[0]
        matching = fnmatch.filter(variants, word)
        if word in known:
            found[1].add(word)
        elif matching:
            found[0].update(matching)
        else:
            unknown.append(word)
    assert not unknown
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_variant_and_claim_it_names_exists(page: str) -> None:
    variants, named = mentioned(page)
    assert variants
    assert named


@pytest.mark.parametrize("thread", THREADS)
def test_a_page_leaves_no_variant_and_no_claim_of_its_thread_out(thread: str) -> None:
    every = {v.id for s in scenarios() if s.id == thread for v in s.variants}
    said = re.sub(r"^```.*?^```|`python [^`]*`", "", prose(thread), flags=re.MULTILINE | re.DOTALL)
    words = {
        match[0] for match in ID.finditer(said)
    }  # a pattern in a table stands for its variants
    assert every
    assert not [v for v in every if not any(fnmatch.fnmatch(v, word) for word in words)]
    assert not {claim.id for claim in claims(thread)} - words


def commands(page: str) -> list[str]:
    spans = re.findall(r"^(python -m mmsim.*)$|`(python -m mmsim[^`]*)`", text(page), re.MULTILINE)
    return [line or span for line, span in spans]


def check(command: str) -> None:
    """Would it run?  Everything up to the first run itself is done."""
    module, *argv = shlex.split(command)[2:]
    if module == "mmsim.stress":
        parsed = options.build().parse_all(argv)
        request = options.request(parsed)
        resolve(request, profile.load(parsed.profile or DEFAULT_PROFILE), Library())
        return
    assert module == "mmsim"
    parsed = cli.build().parse_all(argv)
    assert hasattr(parsed, "run")
    if argv[0] == "show":
        find_variant(parsed.variant)
    if argv[0] == "claims":
        assert all(claims(thread) for thread in parsed.thread)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_would_run(page: str) -> None:
    found = commands(page)
    assert found
    for command in found:
        check(command)


def test_a_wrong_command_is_noticed() -> None:
    with pytest.raises(Exception, match="no variant"):
        check("python -m mmsim.stress --variant 002.no-such-patch")
    with pytest.raises(Exception, match=r"no-such-patch"):
        check("python -m mmsim show 002.no-such-patch")


@cache
def metrics() -> frozenset[str]:
    """Every name that kernel code, actors or checks count under."""
    counted = r'(?:\bcount\(\s*|\bMETRIC = )"(\w+)"'
    sources = (file.read_text(encoding="utf-8") for file in (ROOT / "mmsim").rglob("*.py"))
    return frozenset(name for s in sources for name in re.findall(counted, s))


@pytest.mark.parametrize("page", THREADS)
def test_every_metric_it_names_is_counted(page: str) -> None:
    paragraphs = (p for p in prose(page).split("\n\n") if re.search(r"\bmetrics?\b", p, re.I))
    rows = (row for p in paragraphs for row in (p.splitlines() if p.startswith("|") else [p]))
    named = {
        name
        for row in rows
        if re.search(r"\bmetrics?\b", row, re.I)
        for name in re.findall(r"`([a-z][a-z0-9_]+)`", row)
    }
    assert named
    assert not named - metrics()


@pytest.mark.parametrize("thread", THREADS)
def test_a_page_can_be_read_in_one_sitting(thread: str) -> None:
    lines = text(thread).splitlines()
    assert 120 <= len(lines) <= 200
    assert lines[0].startswith(f"# {thread}: ")
    assert "## Three questions for students" in lines
    last = text(thread).split("## Three questions for students")[1]
    assert re.findall(r"^(\d)\. ", last, re.MULTILINE) == ["1", "2", "3"]
    for question in re.split(r"^\d\. ", last, flags=re.MULTILINE)[1:]:
        assert "`python -m mmsim" in question


def test_the_index_leads_to_every_page() -> None:
    linked = {target for _, target in LINK.findall(text("README"))}
    assert {file.name for file in READING.glob("*.md")} - {"README.md"} <= linked
