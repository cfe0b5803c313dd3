# SPDX-License-Identifier: GPL-2.0-only
"""`replay --html/--perfetto/--ftrace/--locksets` and `mmsim.stress --html` from the outside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.stress.cli import main as stress
from tests.report.told import told

RACE = str(Path(__file__).resolve().parents[1] / "stress" / "lost_update.py")


def test_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = told("002.flawed")[2]
    files = {kind: tmp_path / f"run.{kind}" for kind in ("html", "perfetto", "ftrace")}
    options = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    assert main(["replay", "002.flawed", line]) == 0
    alone = capsys.readouterr().out
    assert main(["replay", "002.flawed", line, *options]) == 0
    out, err = capsys.readouterr()
    assert out == alone
    assert [row.partition(":")[0] for row in err.splitlines()] == [str(p) for p in files.values()]
    assert files["html"].read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(files["perfetto"].read_text())["traceEvents"]
    assert files["ftrace"].read_text().startswith("# tracer: nop\n")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["html", "perfetto", "ftrace"])
def test_what_cannot_be_written_is_said_before_the_run(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "no" / "file")
    assert main(["replay", "002.flawed", "mm1:nonsense", f"--{kind}", path]) == 2
    assert "there is no directory" in capsys.readouterr().err


def test_locksets(capsys: pytest.CaptureFixture[str]) -> None:
    line = told("002.flawed")[2]
    assert main(["replay", "002.flawed", line, "--locksets"]) == 0
    out = capsys.readouterr().out
    assert "pfn:00011 flags:lru" in out
    assert "in common: NONE" in out
    assert main(["replay", "002.flawed", line, "--locksets", "--all"]) == 0
    assert "inactive_list" in capsys.readouterr().out


@pytest.mark.usefixtures("workers_are_threads")
def test_a_page_for_each_kind_of_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of a file of one's own, whose objects are no pages."""
    target = tmp_path / "new" / "pages"
    options = ["--variant", "900.plain", "--runs", "80", "--cpus", "2", "--jobs", "1"]
    stress(["--file", RACE, *options, "--html", str(target)])
    err = capsys.readouterr().err
    index = (target / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([^"]+\.html)"', index)
    assert links
    assert sorted(links) == sorted(p.name for p in target.iterdir() if p.name != "index.html")
    assert f"{len(links)} page" in err
    page = (target / links[0]).read_text(encoding="utf-8")
    assert "900.plain" in page
    assert "lost_update.py" in page


def test_a_directory_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert stress(["--file", RACE, "--runs", "1", "--html", RACE]) == 2
    assert "--html" in capsys.readouterr().err
