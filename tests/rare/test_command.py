# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim rare`, from the outside."""

from __future__ import annotations

import json

import pytest

from mmsim.cli import main

OWN = """
from mmsim.rare import Level, Levels
from mmsim.scenarios.api import *

class counter(Struct):
    value = shared(0)
    name = "counter"

def add(c):
    c.value = c.value + 1

def setup(m, v):
    m.vm = counter()
    for cpu in range(2):
        m.spawn(add, m.vm, comm=f"adder{cpu}", cpu=cpu)

def check(m, v):
    if m.vm.v_value != 2:
        report("invariant", f"counter is {m.vm.v_value}")

SCENARIO = Scenario(
    id="910", name="lost", title="t", story="s", era="5.17", setup=setup, check=check,
    variants=(Variant("910.mine", "x = x + 1", SOMETIMES, findings=("counter is",)),),
)
LEVELS = {
    "910.*": Levels(
        Level("one loads the counter", "read value", party="one", thing="counter"),
        Level("another stores", "write value", party="other", thing="counter"),
        Level("the first stores what it had", "write value", party="one", thing="counter"),
    ),
}
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    return ["rare", "910.mine", "--file", str(file), "--cpus", "2", "--effort", "8"]


def test_a_race_of_ones_own(own, tmp_path, capsys):
    out = tmp_path / "outcome.json"
    assert main([*own, "--estimates", "3", "--policy", "random-walk", "--json", str(out)]) == 0
    told = capsys.readouterr().out
    assert "not the\n  hardware's" in told or "not the hardware's" in told
    assert all(len(line) <= 80 for line in told.splitlines() if "Reproduce" not in line)
    data = json.loads(out.read_text())
    assert data["complete"]
    assert len(data["chances"]["all-steps"]["estimates"]) == 3
    command = data["findings"][0]["reproduce"].split()
    assert main(command[3:]) == 0, "the line replays"


def test_levels_are_listed(own, capsys):
    assert main([*own, "--list-levels"]) == 0
    assert "party='other'" in capsys.readouterr().out


def test_ctrl_c_gives_what_there_is(own, capsys, monkeypatch):
    from mmsim.rare.splitting import Splitting

    whole = Splitting.estimate

    def estimate(self, number, tell):
        if number == 2:
            raise KeyboardInterrupt
        return whole(self, number, tell)

    monkeypatch.setattr(Splitting, "estimate", estimate)
    assert main(own) == 3
    assert "not complete: 2 of 20 estimates" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--policy", "pct"], "decides beforehand"),
        (["--policy", "random-walk", "--quantum", "8"], "--quantum is for geometric"),
        (["--levels", "1,9"], "there is no level 9"),
        (["--levels", "x"], "no numbers"),
        (["--cast", "nobody"], "no cast"),
        (["--json", "/no/such/place.json"], "no directory"),
        (["--effort", "0"], "at least 2"),
    ],
)
def test_what_makes_no_sense(own, more, said, capsys):
    assert main([*own, *more]) == 2
    assert said in capsys.readouterr().err
