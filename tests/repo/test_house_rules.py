# SPDX-License-Identifier: GPL-2.0-only
"""Rules that no linter knows: licence lines, paths, sleeping, and where a file may be in words."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
import tomllib
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPDX = "SPDX-License-Identifier: GPL-2.0-only"
SELF = Path(__file__).resolve().relative_to(ROOT)

PICTURES = {".png"}
MADE = {".venv", "__pycache__", ".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
MADE |= {"build", "dist", ".git"}


@lru_cache(maxsize=1)
def files() -> tuple[Path, ...]:
    """What belongs to the project: what git tracks, or would; a source archive as it stands."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        paths = [Path(line) for line in done.stdout.splitlines()]
    else:  # an unpacked source archive; what a first run of the tests leaves there is not in it
        paths = [
            path
            for path in (path.relative_to(ROOT) for path in ROOT.rglob("*"))
            if not MADE.intersection(path.parts) and path.suffix not in {".pyc", ".so"}
        ]
    return tuple(path for path in paths if (ROOT / path).is_file())


@lru_cache(maxsize=1)
def texts() -> dict[Path, str]:
    return {
        path: (ROOT / path).read_text(encoding="utf-8")
        for path in files()
        if path.suffix not in PICTURES
    }


def python_files() -> dict[Path, str]:
    return {path: text for path, text in texts().items() if path.suffix == ".py"}


def test_there_is_something_to_check() -> None:
    assert {Path("pyproject.toml"), Path("mmsim/errors.py"), SELF} <= set(files())


def test_every_source_file_names_its_licence_first() -> None:
    missing = []
    for path, text in texts().items():
        named = path.suffix in {".py", ".toml"} or path.name == "Makefile" or text[:2] == "#!"
        first = [line for line in text.splitlines()[:2] if not line.startswith("#!")]
        if named and text and not (first and SPDX in first[0]):
            missing.append(str(path))
    assert not missing


def test_the_licence_is_here_in_full() -> None:
    text = texts()[Path("LICENSE")]
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "Version 2, June 1991" in text
    assert "END OF TERMS AND CONDITIONS" in text
    project = tomllib.loads(texts()[Path("pyproject.toml")])["project"]
    assert project["license"]["text"] == "GPL-2.0-only"


FORBIDDEN = {
    "the tree outside the checkout": r"\.\./shared|\bshared/docs\b",
    "the machine it was written on": r"(?<![\w.])/(?:work|root)/\w",
    "a tag that is defined nowhere": r"\bI-00\d-[a-z]\b",
    "a package registry": r"\b(?:pypi\.org|files\.pythonhosted|proxy\.golang|registry\.npmjs)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for path, text in texts().items()
        if path != SELF
        for match in re.finditer(FORBIDDEN[what], text)
    ]
    assert not found


def test_nothing_ever_waits_for_real_time() -> None:
    """A sleep in a race detector is a bug waiting for a slower machine."""
    found = [
        f"{path}:{node.lineno}"
        for path, text in python_files().items()
        if "sleep" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "time"
    ]
    assert not found


def test_every_file_of_code_says_what_it_is_for() -> None:
    silent = [
        str(path)
        for path, text in python_files().items()
        if path.parts[0] in ("mmsim", "tests") and not begins_with_a_text(text)
    ]
    assert not silent


def begins_with_a_text(code: str) -> bool:
    """Is the first statement a docstring?  An empty file needs none."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    said = (token for token in tokens if token.type not in (tokenize.COMMENT, tokenize.NL))
    first = next(said)
    if first.type == tokenize.STRING:
        return next(said).type == tokenize.NEWLINE and bool(ast.literal_eval(first.string))
    return first.type == tokenize.ENDMARKER


def test_a_file_that_does_not_is_noticed() -> None:
    assert begins_with_a_text("# a comment\n\n")
    assert begins_with_a_text('# a comment\n\n"""What\nfor."""\nimport ast\n')
    for code in ("import ast\n", '""\n', '"a" + "b"\n', "# a comment\nX = 1\n"):
        assert not begins_with_a_text(code)


DIALECT = {"linux", "v2_4", "v3_13", "scenarios", "labs"}
"""Packages of kernel code, and two of which only single modules are something else."""


def test_types_are_checked_of_all_that_is_no_kernel_dialect() -> None:
    overrides = tomllib.loads(texts()[Path("pyproject.toml")])["tool"]["mypy"]["overrides"]
    checked = {
        name for each in overrides if not each.get("ignore_errors", True) for name in each["module"]
    }
    packages = {path.parent.name for path in (ROOT / "mmsim").glob("*/__init__.py")}
    assert {f"mmsim.{name}.*" for name in packages - DIALECT} <= checked


LONGEST = 700


def test_no_file_grows_beyond_reading() -> None:
    long = {str(p): n for p, text in python_files().items() if (n := text.count("\n")) > LONGEST}
    assert not long
