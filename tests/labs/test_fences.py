# SPDX-License-Identifier: GPL-2.0-only
"""A student's file that does what no kernel code does loses its points, and nothing else.

Each is tried twice: as it is graded, where the rules about the file refuse it before it runs, and
with the rules left out, where the process that it runs in has to hold.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from mmsim.labs.catalogue import find
from mmsim.labs.grading import boxed, grade
from mmsim.labs.lab import Lab, Score, Test, Work
from mmsim.labs.rules import broken
from mmsim.labs.skeleton import whole
from mmsim.labs.workspace import solved

ATTACKS = {
    "exits": "    import os\n    os._exit(0)\n",
    "raises SystemExit": "    raise SystemExit(0)\n",
    "loops": "    while True:\n        pass\n",
    "forks": "    import os\n    os.fork()\n",
    "starts a program": "    import subprocess\n    subprocess.run(['true'])\n",
    "fills the disk": "    open('big', 'w').write('x' * (1 << 28))\n",
    "fills the memory": "    big = bytearray(1 << 34)\n",
    "opens the network": "    import socket\n    socket.create_connection(('127.0.0.1', 9))\n",
    "patches the engine": "    from mmsim.run import Runner\n    Runner._check = lambda *a: None\n",
    "replaces the engine's code": (
        "    from mmsim.run import Runner\n"
        "    Runner._check.__code__ = (lambda self, machine: None).__code__\n"
    ),
    "looks for hidden seeds": (
        "    import sys\n    frame = sys._getframe()\n"
        "    while frame:\n        frame = frame.f_back\n    open('/proc/self/environ').read()\n"
    ),
    "prints a verdict": (
        '    import os\n    os.write(1, b\'{"share": 1, "message": ""}\')\n    os._exit(0)\n'
    ),
}
WHERE = "def __free_pages_ok(page, order):\n"
OLD = "lines of old findings"


def attacked(attack: str) -> str:
    """The finished kernel of lab 3, with an attack at the beginning of a function."""
    lab = find(3)
    text = whole((lab.folder / lab.code).read_text())
    assert text.count(WHERE) == 1
    return text.replace(WHERE, WHERE + ATTACKS[attack])


def one(lab: Lab, name: str) -> Test:
    return next(test for test in lab.tests if test.name == name)


def work(tmp: Path) -> Work:
    return Work(3, tmp, "ada", find(3).drawn("ada"), {}, {}, secrets.randbits(32))


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "loops"])
def test_the_rules_refuse_it(attack: str) -> None:
    trouble = broken(attacked(attack), find(3).rules)
    assert trouble
    assert all(re.match(r"line \d+: ", line) for line in trouble)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("from mmsim.v2_4.ledger import ledger", "has no 'ledger' for a fix"),
        ("from mmsim.v2_4.page import door", "has no 'door' for a fix"),
        ("from mmsim.v2_4.page import _making", "has no '_making' for a fix"),
        ("from mmsim.run import Runner", "allowed are mmsim.linux"),
        ("import mmsim.run", "`import module`"),
        ("x = kernel.__globals__", "has a field '__globals__'"),
        ("x = open", "'open' does not belong"),
        ("kernel()", "nothing may be called while the file is read"),
        ("BIG = kernel()", "nothing may be called while the file is read"),
        ("def f(page):\n    page.v_count = 1", "passes no point"),
        ("def f(page):\n    page.freed = False", "has a field 'freed'"),
        ("def f(task):\n    task.cpu.tasks.clear()", "has a field"),
        ("def f():\n    return getattr", "'getattr' does not belong"),
        ("def f():\n    try:\n        pass\n    finally:\n        pass", "`try`"),
        ("class page:\n    pass", "`class`"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_the_rules_leave_no_way_out(line: str, says: str) -> None:
    trouble = broken(line + "\n", find(3).rules)
    assert any(says in text for text in trouble), trouble


def test_the_rules_let_kernel_code_pass() -> None:
    for number in (2, 3, 6):
        lab = find(number)
        assert broken(whole((lab.folder / lab.code).read_text()), lab.rules) == []


SAYS = {
    "exits": "ended before",
    "raises SystemExit": "SystemExit|raised|ended before",
    "loops": "used up|not over",
    "forks": "refused: the file tried os.fork",
    "starts a program": "refused: the file tried (subprocess.Popen|os)",
    "fills the disk": "refused: the file tried open",
    "fills the memory": "MemoryError",
    "opens the network": "refused: the file tried socket",
    "patches the engine": "refused: the file changed mmsim.run.Runner._check",
    "replaces the engine's code": "refused: the file (changed|tried)",
    "looks for hidden seeds": "refused: the file tried (sys._getframe|open)",
    "prints a verdict": "ended before",
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_box_holds_without_the_rules(attack: str, tmp_path: Path) -> None:
    lab = find(3)
    test = replace(one(lab, OLD), seconds=5)
    score = boxed(lab, test, work(tmp_path), attacked(attack), unchecked=True)
    assert score.share == 0
    assert re.search(SAYS[attack], score.message), score.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("attack", ["exits", "forks", "patches the engine"])
def test_nothing_else_is_lost(attack: str, tmp_path: Path) -> None:
    lab = find(3)
    solved(lab, tmp_path, "ada")
    (tmp_path / lab.code).write_text(attacked(attack))
    got = {mark.name: mark for mark in grade(lab, tmp_path, hidden=1).marks}
    for test in lab.tests:
        assert got[test.name].points == (0 if test.boxed else test.points)


def test_a_boxed_test_comes_back(tmp_path: Path) -> None:
    """The way through the box: a right kernel gets its points."""
    lab = find(3)
    source = whole((lab.folder / lab.code).read_text())
    assert boxed(lab, one(lab, OLD), work(tmp_path), source) == Score(1.0, "8 lines")
