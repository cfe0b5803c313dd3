# SPDX-License-Identifier: GPL-2.0-only
"""The compiled search comes to the same executions, and never is of other sources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmsim import cli, native
from mmsim.errors import UsageError
from mmsim.native import build, finder

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60  # executions of a cast or a program
PROGRAMS = 100  # of each flavour


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with an engine of one file, and a place to build into."""
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "search.py").write_text("one = 1\n")
    monkeypatch.setattr(finder, "PACKAGE", tmp_path)
    monkeypatch.setattr(native, "BUILT", str(tmp_path / "built"))
    monkeypatch.setattr(sys, "meta_path", sys.meta_path.copy())
    monkeypatch.delenv(native.VARIABLE)
    return tmp_path


def built(folder: Path) -> None:
    """As if the search had been built there."""
    for name in finder.MODULES:
        file = Path(folder, *name.split(".")).with_suffix(finder.SUFFIX)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def finders() -> list[finder.Finder]:
    return [one for one in sys.meta_path if isinstance(one, finder.Finder)]


def test_what_was_built_of_these_sources_is_found(package: Path) -> None:
    built(finder.folder())
    native.use()
    (found,) = finders()
    spec = found.find_spec("mmsim.engine.explore.dpor")
    assert spec is not None
    assert spec.origin == str(
        finder.folder() / "mmsim" / "engine" / "explore" / f"dpor{finder.SUFFIX}"
    )
    assert found.find_spec("mmsim.engine.explore.every") is None


def test_what_was_built_of_others_is_not(package: Path) -> None:
    built(finder.folder())
    (package / "engine" / "search.py").write_text("one = 2\n")
    native.use()
    assert not finders()


@pytest.mark.parametrize("name", ["search.py", "more/op.py"])
def test_any_file_of_the_engine_is_a_source(package: Path, name: str) -> None:
    before = finder.folder()
    file = package / "engine" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("ONE = 3\n")
    assert finder.folder() != before
    assert finder.folder().parent == before.parent


def test_the_environment_has_the_last_word(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(finder.folder())
    monkeypatch.setenv(native.VARIABLE, "0")
    native.use()
    assert not finders()
    monkeypatch.setenv(native.VARIABLE, str(finder.folder()))
    native.use()
    assert len(finders()) == 1
    monkeypatch.setenv(native.VARIABLE, str(package / "nowhere"))
    with pytest.warns(UserWarning, match="nothing was built there"):
        native.use()
    native.leave()
    assert not finders()
    assert os.environ[native.VARIABLE] == "0"


def test_half_of_it_is_not_used(package: Path) -> None:
    built(finder.folder())
    (finder.folder() / "mmsim" / "engine" / "explore" / f"nodes{finder.SUFFIX}").unlink()
    native.use()
    assert not finders()


def test_nothing_built_is_nothing_to_look_for(package: Path) -> None:
    native.use()
    assert not finders()


def test_a_missing_tool_is_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"mypyc and setuptools missing.*mmsim\[fast\]"):
        build.build(package / "built" / "one", str)


def test_a_compiler_that_fails_says_why(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "SETUP", "print('no such header'); raise SystemExit(1)")
    assert cli.main(["compile"]) == 1
    said = capsys.readouterr()
    assert "cannot be compiled" in said.err
    assert "no such header" in said.err
    assert not finder.folder().exists()


def test_a_compiler_that_makes_nothing_has_failed(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "SETUP", "import os, sys; os.mkdir(sys.argv[1])")
    with pytest.raises(build.BuildError, match="not all"):
        build.build(finder.folder(), str)
    assert not finder.folder().exists()


def test_only_what_the_same_python_had_before_goes(package: Path) -> None:
    present = finder.folder()
    older = present.with_name(f"{present.name.rpartition('-')[0]}-0")
    others = present.with_name("cpython-2-0")
    for folder in (present, older, others):
        built(folder)
    assert build.forget(present.parent, but=present) == [older]
    assert present.is_dir()
    assert others.is_dir()


def test_compile_again_and_remove(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built(finder.folder())
    assert cli.main(["compile"]) == 0
    assert "already" in capsys.readouterr().out
    assert cli.main(["compile", "--remove"]) == 0
    assert capsys.readouterr().out == "removed 1\n"
    assert not finder.folder().exists()
    assert cli.main(["compile", "--remove"]) == 0
    assert "nothing" in capsys.readouterr().out


def python(mode: str, *argv: str) -> str:
    """Python in this checkout; ``mode`` is the variable's value."""
    env = {**os.environ, native.VARIABLE: mode}
    command = [sys.executable, *argv]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_compiled_it_comes_to_the_same_executions(tmp_path: Path) -> None:
    where = tmp_path / "built"
    stages: list[str] = []
    build.build(where, stages.append)
    assert len(stages) == 2
    script = ("-m", "tests.explore.all_executions", str(LIMIT), str(PROGRAMS))
    said = {mode: python(mode, *script).splitlines() for mode in ("0", str(where))}
    interpreted, compiled = said.values()
    assert interpreted[0] == "interpreted"
    assert compiled[0] == "compiled"
    assert len(compiled) > 250 + PROGRAMS
    assert compiled[1:] == interpreted[1:]
    # and nodes can be handed from process to process
    explored = []
    for mode in said:
        file = tmp_path / "out.json"
        options = ["--cast", "swapped-kswapd", "--jobs", "2", "--json", str(file)]
        python(mode, "-m", "mmsim", "explore", "002.pagelocked", *options)
        explored.append(json.loads(file.read_text())["executions"])
    assert explored[0] == explored[1] > 300
