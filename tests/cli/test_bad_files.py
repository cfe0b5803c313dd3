# SPDX-License-Identifier: GPL-2.0-only
"""A scenario file with a mistake in it: one line that says where, exit code 2, no traceback."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mmsim.cli import main as look
from mmsim.errors import UsageError
from mmsim.model.cite import citations
from mmsim.pytest_plugin import run_variant
from mmsim.scenarios.own_file import load_file
from mmsim.stress import profile
from mmsim.stress.cli import main as stress
from mmsim.stress.store import reproduce

pytestmark = pytest.mark.usefixtures("workers_are_threads")

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "write-a-scenario.md"
GOOD = (ROOT / "tests" / "stress" / "lost_update.py").read_text()

AT_ONCE = {
    "raises while it is read": ("SCENARIO = ", "1 / 0\nSCENARIO = ", "ZeroDivisionError"),
    "is no Python": ("SCENARIO = ", "def (\nSCENARIO = ", "SyntaxError"),
    "leaves": ("SCENARIO = ", "raise SystemExit(3)\nSCENARIO = ", "SystemExit"),
    "has no scenario": ("SCENARIO = ", "OTHER = ", "it has to define SCENARIO"),
    "has a wrong pattern": ('findings=("', 'findings=("(((', "is no regular expression"),
    "forgets a comma": ('findings=("', 'findings=("x") or ("', "has to be a tuple of texts"),
    "invents a verdict": (
        'store", SOMETIMES',
        'store", "Often"',
        "one of NEVER, SOMETIMES, ALWAYS",
    ),
    "has config 5": ('config={"SMP": False}', "config=5", "config is 5"),
    "has steps of text": ("era=", 'max_steps="x", era=', "max_steps is 'x'"),
    "has two of one id": ('"900.up"', '"900.plain"', "2 variants have the id '900.plain'"),
    "invents an era": ('era="5.17"', 'era="5.18"', "no era '5.18' (nearest: 5.17"),
    "invents an option": ('{"SMP"', '{"PREMPT"', "nearest: PREEMPT"),
    "misspells an argument": (
        'era="5.17"',
        'erra="5.17"',
        "unexpected keyword argument 'erra' (nearest: era",
    ),
    "misspells one of a variant's": ('gates=("900-l', 'gate=("900-l', "'gate' (nearest: gates"),
    "has a name of 300 letters": ('id="900"', 'id="9" * 300', "does not belong to scenario"),
    "raises what cannot be said": (
        "SCENARIO = ",
        "raise type('E', (Exception,), {'__str__': lambda e: 1 / 0})\nSCENARIO = ",
        "__str__ raises",
    ),
    "compares with nothing": ('"== 0"', '"none"', "is not a comparison and a number"),
}
IN_A_RUN = {
    "raises in setup": "def setup(m",
    "raises in an actor": "def increment(",
    "raises in check": "def check(m",
}


def broken(tmp_path: Path, old: str, new: str) -> str:
    assert old in GOOD, f"the good file has no {old!r} any more"
    file = tmp_path / "race.py"
    file.write_text(GOOD.replace(old, new, 1))
    return str(file)


def raising(tmp_path: Path, head: str) -> str:
    lines = GOOD.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(head))
    end = next(i for i in range(start, len(lines)) if lines[i].endswith(":"))
    lines.insert(end + 1, "    1 / 0")
    file = tmp_path / "race.py"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def complaint(capsys: pytest.CaptureFixture[str], code: int) -> str:
    err = capsys.readouterr().err
    assert code == 2, err
    last = err.splitlines()[-1]
    assert "Traceback" not in err
    assert "race.py" in last or "variant 900" in last
    return str(last)


@pytest.mark.parametrize("case", AT_ONCE)
def test_what_is_wrong_with_the_file_is_told_by_every_command(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, said = AT_ONCE[case]
    file = broken(tmp_path, old, new)
    for command in (["list"], ["show", "900.plain"], ["replay", "900.plain", "mm1:x"]):
        assert said in complaint(capsys, look([*command, "--file", file]))
    assert said in complaint(capsys, stress(["--file", file, "--runs", "2", "--jobs", "1"]))


@pytest.mark.parametrize("case", IN_A_RUN)
def test_what_is_wrong_in_a_run_names_the_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = raising(tmp_path, IN_A_RUN[case])
    said = complaint(capsys, stress(["--file", file, "--runs", "2", "--jobs", "1"]))
    assert said.endswith("ZeroDivisionError: division by zero")
    assert ", line " in said


def test_show_and_replay_boot_a_machine_and_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good.py"
    good.write_text(GOOD)
    schedule = run_variant("900.plain", runs=500, cpus=2, stop_after=1, file=str(good)).samples[0]
    file = raising(tmp_path, "def setup(m")
    look(["show", "900.plain", "--file", file])
    assert capsys.readouterr().err.endswith("ZeroDivisionError: division by zero\n")
    code = look(["replay", "900.plain", schedule.schedule, "--file", file])
    assert complaint(capsys, code).endswith("ZeroDivisionError: division by zero")


LEAVING = ["raise SystemExit(0)", "import sys; sys.exit()", "raise KeyboardInterrupt"]


@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("case", IN_A_RUN)
def test_a_file_that_leaves_is_no_success(
    case: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(raising(tmp_path, IN_A_RUN[case]))
    file.write_text(file.read_text().replace("1 / 0", how))
    said = complaint(capsys, stress(["--file", str(file), "--runs", "2", "--jobs", "1"]))
    assert "SystemExit" in said or "KeyboardInterrupt" in said
    if case == "raises in setup":
        complaint(capsys, look(["show", "900.plain", "--file", str(file)]))


WRONG_IN_A_RUN = {
    "an actor that is none": ("m.spawn(increment, m.vm", "m.spawn(None, m.vm", "is not a function"),
    "an actor with too few": ("increment, m.vm, lock", "increment, m.vm", "'lock'"),
    "a metric of text": ('"lost", len(m.cpus) - m.vm.v_value', '"lost", "x"', "race.py"),
    "a metric that is none": ('"lost", len(m.cpus) - m.vm.v_value', '"lost", float("nan")', "nan"),
}


@pytest.mark.parametrize("case", WRONG_IN_A_RUN)
def test_what_no_run_can_use_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, said = WRONG_IN_A_RUN[case]
    assert stress(["--file", broken(tmp_path, old, new), "--runs", "2", "--jobs", "1"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("where", ["SCENARIO = ", "    m.vm = counter()"])
def test_a_file_that_loops_is_named_and_ended(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsim.stress.endless.CPU_SECONDS", 0.6)
    pad = where[: len(where) - len(where.lstrip())]
    file = broken(tmp_path, where, f"{pad}while True: pass\n{where}")
    said = complaint(capsys, look(["show", "900.plain", "--file", file]))
    assert "it seems to loop" in said
    assert ", line " in said


def test_an_actor_that_loops_without_a_point_is_named_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsim.stress.endless.CPU_SECONDS", 0.6)
    loop = "import os\n    while 'LOOP_ENDS' not in os.environ: pass\n    raise SystemExit"
    file = broken(tmp_path, "def increment(c, lock):", f"def increment(c, lock):\n    {loop}")
    before = set(threading.enumerate())
    with pytest.raises(UsageError, match=r"in increment: .*it seems to loop"):
        run_variant("900.plain", runs=2, cpus=2, file=file)
    # The run is over and its thread still loops: every later test would share its core with it.
    monkeypatch.setenv("LOOP_ENDS", "now")
    while left := set(threading.enumerate()) - before:  # one may start the next
        for thread in left:
            thread.join(60)
            assert not thread.is_alive()


def test_a_file_named_like_an_option_and_its_reproduce_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-x.py").write_text(GOOD)
    sample = run_variant("900.plain", runs=500, cpus=2, stop_after=1, file="-x.py").samples[0]
    command = shlex.split(reproduce("900.plain", sample.schedule, "-x.py"))
    assert look(command[3:]) == 0


def test_one_file_under_two_names_is_one_file(tmp_path: Path) -> None:
    file = tmp_path / "race.py"
    file.write_text(TUTORIAL.read_text().split("```python")[1].split("```")[0])
    first = load_file(str(file))
    assert load_file(f"{tmp_path}/./race.py") is first
    copy = tmp_path / "copy.py"
    copy.write_text(file.read_text())
    assert load_file(str(copy)).scenarios[0].id == first.scenarios[0].id


def test_a_file_that_has_changed_is_read_again_and_cited_once(tmp_path: Path) -> None:
    """Its gates and its citations are the new ones; what others have cited stays."""
    file = tmp_path / "race.py"
    cited = GOOD.replace("def increment", '@cite("mm/x.c", "5.17")\ndef increment').replace(
        "from mmsim.scenarios", "from mmsim.model.cite import cite\nfrom mmsim.scenarios", 1
    )
    before = len(citations())
    for n in range(3):
        file.write_text(f"{cited}\n# version {n}{' ' * n}\n")
        assert load_file(str(file)).scenarios[0].id == "900"
        assert len(citations()) == before + 1
    assert citations()[-1].symbol == "increment"


def test_a_file_can_call_whatever_kernel_function_there_is(tmp_path: Path) -> None:
    """Those ask for gates of the mail threads, which nobody but the file may have imported yet."""
    file = tmp_path / "race.py"
    file.write_text(GOOD)
    code = (
        "from mmsim.scenarios.own_file import load_file; from mmsim.model.gate import GATES; "
        f"load_file({str(file)!r}); assert 'release-lock-first' in GATES"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


SECOND = """
import functools

OTHER = Scenario(
    id="901", name="other", title="", story="", era="5.17", setup=functools.partial(setup),
    variants=(Variant("901.x", "", SOMETIMES),),
)
SCENARIOS = (SCENARIO, OTHER)
"""


def test_a_setup_without_a_file_of_its_own_and_several_scenarios(tmp_path: Path) -> None:
    file = tmp_path / "race.py"
    file.write_text(f"{GOOD}\n{SECOND}")
    assert [s.id for s in load_file(str(file)).scenarios] == ["900", "901"]
    run_variant("901.x", runs=2, cpus=2, file=str(file))


def test_a_profile_of_ones_own_is_not_taken_for_the_built_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stress").mkdir()
    for name in ("default", "stress/default.toml"):
        Path(name).write_text("summary = 'mine'\n")
    assert profile.load("default").summary != "mine"
    assert profile.load("stress/default.toml").summary == "mine"


@pytest.mark.parametrize(
    "text",
    ["seed = " + "9" * 5000, "scenarios = " + "[" * 2000 + "]" * 2000, "seconds = nan"],
    ids=["digits", "nested", "nan"],
)
def test_a_profile_made_to_do_harm_is_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        profile.load(str(file))
    assert len(str(error.value)) < 400
