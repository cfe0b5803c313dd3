# SPDX-License-Identifier: GPL-2.0-only
"""Started where no author tries it: without a standard output, on a full disk, in LANG=C."""

from __future__ import annotations

import fcntl
import importlib
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import ModuleType

import pytest

from mmsim.cli import main
from mmsim.stress import interrupts
from mmsim.stress.streams import spell_out

ROOT = Path(__file__).resolve().parents[2]
RACE = str(ROOT / "tests" / "stress" / "lost_update.py")
STRESS = ("mmsim.stress", "--file", RACE, "--variant", "900.plain", "--runs", "20", "--jobs", "1")
LIST = ("mmsim", "list")


def run(
    *argv: str, env: dict[str, str] | None = None, **streams: int
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", *argv]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        timeout=120,
        check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},  # type: ignore[call-overload]
    )


PLACES = [
    {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "", "LANG": "C", "LC_CTYPE": ""},
    {"LC_ALL": "POSIX"},
]


@pytest.fixture(scope="module")
def searched() -> str:
    """What a campaign prints where only ASCII can be shown."""
    done = run(*STRESS, "--reports", "all", env=PLACES[0])
    assert (done.returncode, done.stdout.isascii()) == (0, True)
    return done.stdout.decode()


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(PLACES[0], id="ascii"),
        pytest.param(PLACES[1], id="LANG=C", marks=pytest.mark.slow),
        pytest.param(PLACES[2], id="POSIX"),
    ],
)
def test_every_report_and_its_lanes_are_ascii(place: dict[str, str], searched: str) -> None:
    line = next(x for x in searched.splitlines() if x.startswith("Reproduce: "))
    replayed = run(*line.split()[3:], env=place)
    assert (replayed.returncode, replayed.stderr) == (0, b"")
    assert replayed.stdout.isascii()


@pytest.mark.parametrize("argv", [["list"], ["map"], ["show", "002.flawed"]])
def test_what_is_known_without_running_is_ascii(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 0
    assert capsys.readouterr().out.isascii()


def test_what_a_console_cannot_show_is_spelt_out() -> None:
    def shown(text: str) -> str:
        try:
            return text.encode("ascii").decode()
        except UnicodeEncodeError as error:
            return spell_out(error)[0]

    assert [shown(c) for c in "µ…ü"] == ["u", "...", "\\xfc"]


@pytest.mark.parametrize("argv", [LIST, STRESS])
def test_a_full_disk_is_one_line_and_no_traceback(argv: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(*argv, stdout=full.fileno())
    assert done.returncode == 3
    last = done.stderr.decode().splitlines()[-1]
    assert last.endswith(": cannot write the output: No space left on device")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "closed"),
    [
        (LIST, "1"),
        (LIST, "2"),
        (STRESS, "1"),
        pytest.param(STRESS, "2", marks=pytest.mark.slow),
    ],
)
def test_a_closed_stream_is_no_reason_to_fail(argv: tuple[str, ...], closed: str) -> None:
    command = f'exec "$0" -m "$@" {closed}>&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, *argv],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_a_narrow_terminal_loses_nothing() -> None:
    """Lines are then longer than the terminal; a name that is cut off cannot be copied."""
    fd, theirs = os.openpty()  # and not pty.fork(): the suite has threads
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
    listing = subprocess.Popen(
        [sys.executable, "-m", "mmsim", "list", "002"],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "30"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(fd, 65536)
        except OSError:  # the other side has gone
            break
        if not read:
            break
        shown += read
    os.close(fd)
    assert listing.wait(timeout=120) == 0
    assert b"002.lru-holds-ref-cow-lost-reuse  Never" in shown
    assert shown.isascii()


class Interrupted(ModuleType):
    """A module whose import is where Ctrl-C arrives."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("program", "imported"), [("mmsim", "mmsim.cli"), ("mmsim.stress", "mmsim.stress.cli")]
)
def test_ctrl_c_during_the_imports_is_one_line(
    program: str,
    imported: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = importlib.import_module(f"{program}.__main__")
    monkeypatch.setattr(interrupts, "listen", lambda: None)  # it would go on with the next tests
    monkeypatch.setitem(sys.modules, imported, Interrupted(imported))
    assert main.program() == 3
    assert capsys.readouterr().err.startswith(f"{program}: interrupted")
