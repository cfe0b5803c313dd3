# SPDX-License-Identifier: GPL-2.0-only
"""Campaign profiles: the shipped ones, the rules of the format, and what wins over what."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsim.errors import UsageError
from mmsim.stress import profile
from mmsim.stress.profile import Budget
from mmsim.stress.settings import Request, resolve
from mmsim.stress.source import Library, all_variants
from tests.stress.driver import GOOD

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("all", "classroom", "default", "nightly", "smoke")


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_profiles_fit_the_shipped_scenarios(name: str) -> None:
    found = profile.load(name)
    assert found.summary
    known = all_variants(Library())
    found.check_ids(known)
    settings = resolve(Request(), found, Library())
    assert settings.variants
    for variant, budget in settings.variants:
        assert budget.runs is not None, f"{variant.id} would run for ever"


def test_the_names_in_the_help_are_the_profiles_there_are() -> None:
    assert tuple(sorted(profile.available())) == NAMES


def test_default_and_all_leave_nothing_out() -> None:
    known = list(all_variants(Library()))
    for name in ("default", "all"):
        settings = resolve(Request(), profile.load(name), Library())
        assert [variant.id for variant, _ in settings.variants] == list(known)


TEXT = """
variants = ["900.*"]
cpus = 3
seed = 12
[never]
runs = 100
[sometimes]
runs = 5000
stop_after = 7
[[variant]]
id = "900.n*"
stop_after = 2
[[variant]]
id = "900.sure"
runs = 9
"""


@pytest.fixture
def written(tmp_path: Path) -> profile.Profile:
    file = tmp_path / "mine.toml"
    file.write_text(TEXT)
    return profile.load(str(file))


def budgets(request: Request, using: profile.Profile) -> dict[str, Budget]:
    return {variant.id: budget for variant, budget in resolve(request, using, GOOD).variants}


def test_budgets_go_by_verdict_and_exceptions_win(written: profile.Profile) -> None:
    assert budgets(Request(), written) == {
        "900.quiet": Budget(100, None),
        "900.noisy": Budget(5000, 2),
        "900.sure": Budget(9, None),
    }


def test_the_command_line_wins(written: profile.Profile) -> None:
    assert (resolve(Request(), written, GOOD).cpus, resolve(Request(), written, GOOD).seed) == (
        3,
        12,
    )
    settings = resolve(Request(cpus=5, seed=0, runs=40), written, GOOD)
    assert (settings.cpus, settings.seed) == (5, 0)
    assert {budget for _, budget in settings.variants} == {Budget(40, None)}
    assert budgets(Request(stop_after=1), written)["900.noisy"] == Budget(5000, 1)
    assert {*budgets(Request(seconds=3.0), written).values()} == {Budget(None, None)}


BAD = {
    "nevr = {}": "unknown key 'nevr'",
    "[never]\nruns = 0": "runs = 0 is not a whole number of at least 1",
    "[never]\nruns = true": "runs = True",
    "[never]\nrun = 3": "unknown key 'run' in [never]",
    "never = 3": "[never] is a table",
    'cpus = "8"': "cpus = '8'",
    "cpus = 65": "allowed are 1 to 64",
    "seed = -1": "of at least 0",
    "seconds = 0": "above 0",
    "engine = 3": "engine = 3 is not a text",
    'engine = "warp"': "allowed: threads, free",
    'scenarios = "002"': "scenarios is a list of texts",
    'scenarios = ["901"]': "no scenario '901'",
    "[[variant]]\nruns = 3": "needs an id",
    "[variant]\nruns = 3": "[[variant]] tables",
    '[[variant]]\nid = "901.*"\nruns = 3': "no variant matches '901.*'",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_profile_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        resolve(Request(), profile.load(str(file)), GOOD)
    assert BAD[text] in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unreadable_profile_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not valid TOML"):
        profile.load(str(file))
