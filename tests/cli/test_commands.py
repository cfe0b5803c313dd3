# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim`: each command over a small scenario, and over mmsim's own."""

from __future__ import annotations

import argparse
import ast
import json
import re
from pathlib import Path

import pytest

from mmsim.cli import build, gate_diff, main
from mmsim.cli.commands import show
from mmsim.pytest_plugin import run_variant
from mmsim.scenarios.registry import find_scenario
from mmsim.stress import options

ROOT = Path(__file__).resolve().parents[2]
RACE = str(ROOT / "tests" / "stress" / "lost_update.py")


@pytest.fixture(scope="module")
def schedule() -> str:
    """A failing run of 900.plain."""
    return run_variant("900.plain", runs=500, cpus=2, stop_after=1, file=RACE).samples[0].schedule


def lines_of(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> list[str]:
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert err == ""
    return [str(line) for line in out.splitlines()]


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What is said of bad input: one line on standard error, and exit code 2."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("mmsim: ")
    return str(err)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys, "list", "--file", RACE)
    assert lines[0] == "900 lost_update: Two increments, one counter (5.17)"
    assert [line.split()[0] for line in lines[1:]] == [
        "900.plain",
        "900.locked",
        "900.up",
        "900.twice",
    ]


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys, "show", "900.locked", "--file", RACE, "--cpus", "3")
    text = "\n".join(lines)
    assert lines[0] == "900.locked: under a lock"
    assert "expected  Never" in lines
    assert "metric    lost == 0 (mean over runs)" in lines
    assert "actors (3 CPUs)" in lines
    assert "  CPU2  adder2/102: increment()" in lines
    assert "gate 900-lock (patch; nobody, 2024-01-01)" in lines
    assert "  +spin_lock(lock)" in lines
    assert "   c.value = c.value + 1" in lines
    assert "  +spin_unlock(lock)" in lines
    assert "2. CPU1 reads 0 and writes 1." in text
    assert "actors (1 CPU)" in lines_of(capsys, "show", "900.up", "--file", RACE, "--cpus", "3")


def test_replay_tells_the_run(capsys: pytest.CaptureFixture[str], schedule: str) -> None:
    lines = lines_of(capsys, "replay", "900.plain", schedule, "--file", RACE)
    command = f"python -m mmsim replay 900.plain {schedule} --file {RACE}"
    assert f"Reproduce: {command}" in lines
    assert re.fullmatch(r"fingerprint [0-9a-f]{6}  an increment was lost", lines[-1])
    at = re.escape(Path(RACE).name)  # the columns name the user's file and line
    assert any(re.search(rf"increment \({at}:\d+\):", line) for line in lines), "no lanes"


def test_replay_as_json(capsys: pytest.CaptureFixture[str], schedule: str) -> None:
    lines = lines_of(capsys, "replay", "900.plain", schedule, "--file", RACE, "--json")
    data = json.loads("\n".join(lines))
    assert data["findings"][0]["title"] == "an increment was lost"
    assert re.fullmatch("[0-9a-f]{6}", data["findings"][0]["fingerprint"])


@pytest.mark.parametrize("how", ["truncated", "altered", "another variant", "not one"])
def test_a_schedule_that_does_not_fit_is_one_line(
    capsys: pytest.CaptureFixture[str], schedule: str, how: str
) -> None:
    variant, text = {
        "truncated": ("900.plain", schedule[:-12]),
        "altered": ("900.plain", schedule[:12] + "A" + schedule[13:]),
        "another variant": ("900.locked", schedule),
        "not one": ("900.plain", "mm9:whatever"),
    }[how]
    said = complaint(capsys, "replay", variant, text, "--file", RACE)
    assert re.search("truncated|altered|stale|schedule", said)


def test_bad_names_are_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "900.plain" in complaint(capsys, "show", "900.plane", "--file", RACE)
    assert "lost_update" in complaint(capsys, "list", "lost_updat", "--file", RACE)
    assert "replay" in complaint(capsys, "reply")
    assert "--json" in complaint(capsys, "replay", "900.plain", "mm1:x", "--jsn")
    assert "no_such.py" in complaint(capsys, "list", "--file", "no_such.py")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(lines_of(capsys))
    modules = (ROOT / "mmsim" / "cli" / "commands").glob("[a-z]*.py")
    for name in (module.stem for module in modules):
        assert re.search(rf"^    {name} ", text, re.MULTILINE), name


def test_every_command_says_what_it_is_for() -> None:
    for module in (ROOT / "mmsim" / "cli" / "commands").glob("[a-z]*.py"):
        names = {
            target.id
            for node in ast.parse(module.read_text()).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert "HELP" in names, module.name


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Of the stress runner, and of every command."""
    (commands,) = (a for a in build()._actions if isinstance(a, argparse._SubParsersAction))
    return {"stress": options.build(), **commands.choices}


def with_option(name: str) -> dict[str, argparse.Action]:
    return {
        command: action
        for command, parser in parsers().items()
        for action in parser._actions
        if name in action.option_strings
    }


def test_every_file_option_says_that_the_file_is_executed() -> None:
    found = with_option("--file")
    assert {"stress", "replay", "show", "list", "ablate"} <= found.keys()
    assert [command for command, a in found.items() if "executed" not in str(a.help)] == []
    assert "nothing\nin it is executed" in str(parsers()["replay"].description)  # of a schedule


def test_worker_processes_are_limited_everywhere() -> None:
    found = with_option("--jobs")
    assert {"stress", "ablate", "claims", "compare"} <= found.keys()
    for action in found.values():
        assert callable(action.type)
        assert action.type("16") == 16
        for many in ("1025", "99999", "0", "-1", "9" * 5000):
            with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 1024"):
                action.type(many)


GATED = """
def drop(page):
    if patched("swap"):
        new(page)
        newer(page)  # and better
    else:
        old(page)
    if not patched("swap"):
        only_old(page)
    if page.first:
        door.machine.count("first")
        first(page)
    elif patched("swap") or page.flag:
        both(page)
    else:
        none(page)
    same(page)
    same(page)
    same(page)
    same(page)
    same(page)
    if page.counted:
        door.machine.count("counted")
    same(page)
    return 1 if patched("swap") else 2

def other(page):
    if patched("another"):
        if patched("swap"):
            under_another(page)
    while page.wait and not patched("swap"):
        wait(page)
"""


def test_a_gate_is_a_diff_of_the_function_without_and_with_it(tmp_path: Path) -> None:
    file = tmp_path / "mm.py"
    file.write_text(GATED)
    found = list(gate_diff.hunks("swap", [file]))
    assert [(h.function, h.line) for h in found] == [("drop", 4), ("drop", 25)]
    assert found[0].lines == (
        "-old(page)",
        "-only_old(page)",
        "+new(page)",
        "+newer(page)  # and better",
        " if page.first:",
        "     first(page)",
        "-elif page.flag:",
        "+else:",
        "     both(page)",
        "-else:",
        "-    none(page)",
        " same(page)",
        " same(page)",
    )
    assert found[1].lines == (" same(page)", " same(page)", "-return 2", "+return 1")


def test_every_gate_of_thread_002_is_shown_where_it_is_used() -> None:
    seen: set[str] = set()
    # those with many gates first: fewer pages show them all
    for variant in sorted(find_scenario("002").variants, key=lambda v: -len(v.gates)):
        new = [gate for gate in variant.gates if gate not in seen]
        seen.update(new)
        shown = list(show.page(variant, 8)) if new else []
        for gate in new:
            start = next(i for i, line in enumerate(shown) if line.startswith(f"gate {gate} ("))
            end = next(i for i in range(start, len(shown)) if not shown[i])
            hunk = [line for line in shown[start:end] if line.startswith("  @@ ")]
            assert hunk, (variant.id, gate)


def test_a_patch_on_top_of_another_is_shown_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "mm.py"
    file.write_text(GATED)
    found = list(gate_diff.hunks("swap", [file], ["another", "swap"]))
    assert found[-1].lines[0] == "+under_another(page)"
    assert found[-1].function == "other"
