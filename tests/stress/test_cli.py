# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim.stress` from the outside: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmsim.stress import cli
from mmsim.stress.cli import main
from tests.stress.driver import BUG, GOOD, OTHER
from tests.stress.fake import FakeScenario, FakeSource, FakeVariant, Verdict, source
from tests.stress.in_threads import use_threads

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def processes() -> None:
    """Workers are processes, as in earnest."""


@pytest.fixture(autouse=True)
def _in_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are threads where a test does not ask for processes."""
    if "processes" not in request.fixturenames:
        use_threads(monkeypatch)


def document(tmp_path: Path, *argv: str, of: FakeSource = GOOD) -> tuple[int, dict[str, Any]]:
    target = tmp_path / "out.json"
    code = main([*argv, "--json", str(target)], of)
    return code, json.loads(target.read_text())


def without_times(data: dict[str, Any]) -> dict[str, Any]:
    del data["times"]
    for variant in data["variants"]:
        del variant["seconds"], variant["first_seconds"]
    return data


def test_one_seed_gives_one_document_whatever_the_number_of_jobs(tmp_path: Path) -> None:
    argv = ("--seed", "5", "--runs", "1000", "--stop-after", "20")
    documents = [without_times(document(tmp_path, *argv, "--jobs", j)[1]) for j in "123"]
    assert documents[0] == documents[1] == documents[2]
    other = without_times(document(tmp_path, "--runs", "1000", "--seed", "6")[1])
    assert other["variants"] != documents[0]["variants"]


def test_the_document_holds_what_it_promises(tmp_path: Path) -> None:
    code, data = document(tmp_path, "--runs", "400", "--jobs", "2", "--cpus", "4")
    assert code == 0
    assert {"mmsim", "python", "gil", "engine", "policy", "cpus", "seed"} <= data.keys()
    assert (data["cpus"], data["engine"], data["policy"], data["complete"]) == (
        4,
        "threads",
        "mix",
        True,
    )
    quiet, noisy, sure = data["variants"]
    assert [v["id"] for v in data["variants"]] == ["900.quiet", "900.noisy", "900.sure"]
    assert (quiet["rate"], quiet["low"]) == (0.0, 0.0)
    assert quiet["high"] == pytest.approx(1 - 0.05 ** (1 / 400))
    assert quiet["first_run"] is None
    assert quiet["fingerprints"] == []
    assert noisy["low"] < noisy["rate"] == noisy["findings"] / 400 < noisy["high"]
    assert {v["verdict"] for v in data["variants"]} == {"as-declared"}
    assert (quiet["against"], quiet["p"], quiet["runs_needed"], quiet["pairs"]) == (
        None,
        None,
        None,
        [],
    )
    assert {f["title"] for f in noisy["fingerprints"]} == {BUG, OTHER}
    assert sum(f["count"] for f in noisy["fingerprints"]) == noisy["findings"]
    assert noisy["extra"] == [{"title": "bad page state", "count": noisy["findings"]}]
    assert noisy["metrics"]["draw"]["n"] == 400
    assert noisy["metrics"]["draw"]["ok"] is True
    assert (sure["observed"], sure["findings"], sure["first_run"]) == ("Always", 400, 1)
    reproduce = sure["fingerprints"][0]["reproduce"]
    assert reproduce == "python -m mmsim replay 900.sure mm1:s1:i0"


def test_one_screen_and_one_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "400", "--seed", "3"], GOOD) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert out.count("---[ mmsim ]---") == 1
    assert "variant   900.noisy" in out  # a race tells more than what fails in every run
    report = out[out.index("kernel BUG") : out.index("---[ end mmsim")]
    screen = out.replace(report, "").splitlines()
    assert len(screen) <= 40
    assert all(len(line) <= 80 for line in screen)
    assert screen[1].split()[:4] == ["900", "3", "of", "3"]
    assert "--table " in out
    assert "--reports all " in out
    assert screen[-1].endswith("every verdict as declared")


def test_one_row_a_variant_then_the_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "400", "--seed", "3", "--table", "--reports", "first"], GOOD) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    lines = out.splitlines()
    rows = {line.split()[0]: line for line in lines[1:4]}
    assert lines[0].split()[-1] == "proved"
    assert rows["900.quiet"].split()[-1] == "-"
    assert "< 0.746 %" in rows["900.quiet"]
    assert rows["900.sure"].split()[1:3] == ["400", "400"]
    assert "Sometimes  Sometimes  ok" in rows["900.noisy"]
    # One full report for each failing variant, the other kind in a line, a command for each.
    assert out.count("---[ mmsim ]---") == 2
    commands = [line for line in lines if line.startswith("Reproduce: python -m mmsim replay 900.")]
    assert len(commands) == 3
    assert all(len(line.split()) == 7 for line in commands)
    assert any(line.startswith((f"also {BUG}", f"also {OTHER}")) for line in lines)
    assert lines[-1].endswith("every verdict as declared")


@pytest.mark.parametrize(("which", "count"), [("all", 3), ("none", 0)])
def test_reports_can_be_had_in_full_or_not_at_all(
    which: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--runs", "400", "--seed", "3", "--reports", which], GOOD)
    assert capsys.readouterr().out.count("---[ mmsim ]---") == count


def test_metrics_are_those_declared_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--runs", "50", "--reports", "none", "--table"]
    main(argv, GOOD)
    assert re.findall(r"^(900\.\w+) +draw ", capsys.readouterr().out, re.M) == ["900.noisy"]
    main([*argv, "--metrics", "all"], GOOD)
    assert len(re.findall(r"^900\.\w+ +draw ", capsys.readouterr().out, re.M)) == 3


DIFFERING = {
    "Never": FakeVariant("900.x", Verdict.NEVER, chance=0.1),
    "Sometimes": FakeVariant("900.x", Verdict.SOMETIMES),
    "Always": FakeVariant("900.x", Verdict.ALWAYS, chance=0.9),
    "unexpected finding": FakeVariant(
        "900.x", Verdict.SOMETIMES, chance=0.5, findings=("oops",), titles=("oops", "other")
    ),
    "metric": FakeVariant("900.x", Verdict.NEVER, metrics={"draw": "== 0"}),
    "declared > 0": FakeVariant("900.x", Verdict.NEVER, metrics={"parked": "> 0"}),
}


@pytest.mark.parametrize("why", DIFFERING)
def test_a_verdict_that_differs_is_said_and_is_exit_code_1(
    why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--runs", "10000", "--table"], source(DIFFERING[why])) == 1
    out = capsys.readouterr().out
    said = " ".join(out[out.index("DIFFERS   900.x: ") :].split())
    assert why in said
    assert out.endswith("1 of 1 verdicts differ\n")


UNDECIDED = {
    "declared Sometimes, none in 200": FakeVariant("900.x", Verdict.SOMETIMES),
    "metric parked is 0 [0, 0], declared > 0": FakeVariant(
        "900.x", Verdict.NEVER, metrics={"parked": "> 0"}
    ),
    "metric draw is": FakeVariant("900.x", Verdict.NEVER, metrics={"draw": "< 0.501"}),
}


@pytest.mark.parametrize("why", UNDECIDED)
def test_too_few_runs_to_tell_is_said_and_is_exit_code_3(
    why: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, data = document(tmp_path, "--runs", "200", of=source(UNDECIDED[why]))
    assert code == 3
    assert (data["variants"][0]["verdict"], data["variants"][0]["ok"]) == ("undecided", None)
    assert data["variants"][0]["runs_needed"] > 200
    said = " ".join(capsys.readouterr().out.split())
    assert "UNDECIDED 900.x: too few runs to tell (needs " in said
    assert why in said
    assert "DIFFERS" not in said


def test_sometimes_is_met_by_always() -> None:
    eager = FakeVariant("900.x", Verdict.SOMETIMES, chance=1.0)
    assert main(["--runs", "50", "--reports", "none"], source(eager)) == 0


def test_a_lost_worker_is_exit_code_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, processes: None
) -> None:
    bad = FakeVariant("900.bad", Verdict.NEVER, trouble="kill")
    code, data = document(tmp_path, "--runs", "200", "--jobs", "1", of=source(bad))
    assert code == 3
    assert data["complete"] is False
    assert "SIGKILL" in data["lost"][0]
    out = capsys.readouterr().out
    assert "LOST      worker" in out
    assert out.rstrip().endswith("INCOMPLETE")


BAD_INPUT = {
    "--cpus 0": "from 1 to 64",
    "--cpus abc": "'abc' is not a whole number from 1 to 64",
    "--cpus 65": "from 1 to 64",
    "--cpus": "expected one argument",
    "--cpuz 8": "nearest: --cpus",
    "--seed -1": "is not a whole number from 0 to",
    "--runs 0": "of at least 1",
    "--seconds 0": "above 0",
    "--seconds nan": "above 0",
    "--runs 5 --seconds 5": "not allowed with",
    "--variant 900.noise": "nearest: 900.noisy",
    "--variant 900.n*x": "no variant matches",
    "--scenario 90": "nearest: 900",
    "--scenario fake": "nearest: fake_race",
    "--scenario ,": "names nothing",
    "--policy pctt": "allowed: mix, pct",
    "--engine free --policy mix": "the operating system",
    "--engine fee": "allowed: threads, free",
    "--profile nowhere": "all, classroom, default, nightly, smoke",
    "--profile nowhere/x.toml": "does not exist",
    "--profile tests": "is a directory",
    "--profile LICENSE": "is none of the built-in ones; for the file give './LICENSE'",
    "--profile ./LICENSE": "is not valid TOML",
    f"--profile {'x' * 300}": "cannot be read: File name too long",
    f"--profile ./{'x' * 300}": "File name too long",
    f"--json {'x' * 300}": "File name too long",
    f"--seed {'9' * 5000}": "is not a whole number from 0 to",
    "--jobs 1025": "from 1 to 1024",
    "--seconds inf": "above 0",
    "--reports some": "invalid choice",
    "--json nowhere/x.json": "there is no directory",
    "--json tests": "is a directory",
    "stray": "unknown argument 'stray'",
}


@pytest.mark.parametrize("argv", BAD_INPUT)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    argv: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(argv.split(), GOOD) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("mmsim.stress: ")
    assert BAD_INPUT[argv] in err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"], GOOD)
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "exit code:" in out


def test_list_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--variant", "900.s*"], GOOD) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["variant", "900.sure"]


@pytest.mark.parametrize(
    ("argv", "ids"),
    [
        ("", ["quiet", "noisy", "sure"]),
        ("--scenario 900", ["quiet", "noisy", "sure"]),
        ("--scenario fake_race --variant 900.sure", ["sure"]),
        ("--variant 900.sure,900.quiet", ["quiet", "sure"]),
        ("--variant 900.sure --variant 900.n*", ["noisy", "sure"]),
        ("--variant 900", ["quiet", "noisy", "sure"]),
    ],
)
def test_variants_are_chosen_by_name_pattern_and_scenario(
    argv: str, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--list", *argv.split()], GOOD) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [f"900.{name}" for name in ids]


def test_variants_outside_the_scenario_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    two = FakeSource(
        (*GOOD.content, FakeScenario("901", "other", (FakeVariant("901.x", Verdict.NEVER),)))
    )
    assert main(["--scenario", "901", "--variant", "900.*"], two) == 2
    assert "no variant 900.* in 901" in capsys.readouterr().err


def start(*argv: str) -> subprocess.Popen[str]:
    """The runner as a process group of its own, as a shell would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stress.driver", *argv],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    process = start("--runs", "50", "--jobs", "1", "--reports", "all", "--json", str(target))
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert (process.wait(timeout=100), "Traceback" in err, "Exception" in err) == (0, False, False)
    assert json.loads(target.read_text())["complete"] is True


@pytest.mark.parametrize("how", ["terminal", "kill", "timeout"])
def test_an_interrupt_prints_what_there_is(how: str, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    profile = tmp_path / "endless.toml"
    profile.write_text("[never]\nruns = 1000000000\n[sometimes]\nruns = 64\n[always]\nruns = 5\n")
    jobs = "2" if how == "terminal" else "1"  # where workers hear nothing one is enough
    process = start("--profile", str(profile), "--json", str(target), "--jobs", jobs)
    assert process.stderr is not None
    while "2 of 3 variants" not in process.stderr.readline():
        pass
    if how == "terminal":  # it sends to the workers too
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGTERM)
    if how == "timeout":  # so does timeout(1), and to us a second time
        os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 3
    assert "Traceback" not in err
    assert "LOST      interrupted" in out
    assert "DIFFERS" not in out
    assert out.rstrip().endswith("INCOMPLETE")
    data = json.loads(target.read_text())
    assert data["complete"] is False
    assert [v["runs"] for v in data["variants"]][1:] == [64, 5]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("started", range(1, 16))
def test_ctrl_c_while_sixteen_workers_start_ends_the_campaign(started: int, tmp_path: Path) -> None:
    """When so many of them have been started; every other time the workers hear it, too."""
    target = tmp_path / "out.json"
    profile = tmp_path / "endless.toml"
    profile.write_text("[never]\nruns = 1000000000\n[sometimes]\nruns = 64\n[always]\nruns = 5\n")
    process = start("--profile", str(profile), "--json", str(target), "--jobs", "16")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children.read_text().split()) <= started:  # multiprocessing's tracker is one more
        assert process.poll() is None
    if started % 2:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 3, err
    assert "Traceback" not in err
    assert "LOST      interrupted" in out
    assert out.rstrip().endswith("INCOMPLETE")
    data = json.loads(target.read_text())
    assert (data["complete"], len(data["variants"])) == (False, 3)


def test_a_terminal_gets_the_same_words_in_colour(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--runs", "50", "--jobs", "1", "--reports", "none"]
    main(argv, GOOD)
    plain = capsys.readouterr().out
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.stress.driver", *argv],
        cwd=ROOT,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"},
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    process.wait(timeout=100)
    assert b"\x1b[" in shown
    assert "\x1b" not in plain
    assert _words(shown.decode()) == _words(plain)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how Linux reports the end of a terminal
        return b""


def _words(text: str) -> list[str]:
    clean = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [re.sub(r"\d+\.\d+", "#", word) for word in clean.split()]


@pytest.mark.parametrize("target", ["/dev/full", "gone/out.json"])
def test_a_result_that_cannot_be_written_is_elsewhere_and_the_table_comes(
    target: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Path("gone").mkdir()
    ran = cli.run

    def run(*args: Any) -> cli.Outcome:
        outcome = ran(*args)
        shutil.rmtree("gone")
        return outcome

    monkeypatch.setattr(cli, "run", run)
    assert main(["--runs", "50", "--reports", "none", "--json", target], GOOD) == 3
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith("every verdict as declared")
    said = re.search(r"cannot write \S+: .*; it is in (\S+)", err)
    assert said is not None
    assert json.loads(Path(said[1]).read_text())["complete"] is True
