# SPDX-License-Identifier: GPL-2.0-only
"""Whatever a campaign comes to: one screen in lines of 80 columns, and one report."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator

import pytest

from mmsim.scenarios.registry import scenarios
from mmsim.stress import cli
from mmsim.stress.plan import Campaign
from mmsim.stress.profile import Budget
from mmsim.stress.tally import Block, BlockResult, Failure, Sample
from tests.stress.fake import FakeScenario, FakeVariant, Verdict, finding, source

REAL = [(f"{s.id}", s.name, len(s.variants)) for s in scenarios()]
"""As many threads, with names as long, as there are in earnest."""
VARIANTS = sum(count for _, _, count in REAL)
RUNS = 32
"""A campaign gives them out in one block."""

Result = Callable[[int, Block, Verdict], BlockResult | None]


def collection() -> list[FakeVariant]:
    return [
        FakeVariant(
            f"{number}.a-variant-with-a-name-of-some-length-{i}",
            (Verdict.NEVER, Verdict.SOMETIMES, Verdict.ALWAYS)[i % 3],
            scenario=FakeScenario(number, name, ()),
        )
        for number, name, count in REAL
        for i in range(count)
    ]


def of_runs(block: Block, failures: int) -> BlockResult:
    title = f"kernel BUG at {block.variant}!"
    found = finding(title, where="a_function_with_a_long_name_of_its_own")
    found = dataclasses.replace(found, detail=("what the simulator knows of it " * 5,))
    failed = tuple(Failure(i, 0.1, found.fingerprint) for i in range(failures))
    return BlockResult(block, block.count, 9.9, failed, {found.fingerprint: Sample(found, "mm1:x")})


DECLARED = {Verdict.NEVER: 0, Verdict.SOMETIMES: 1, Verdict.ALWAYS: RUNS}


def as_declared(place: int, block: Block, expect: Verdict) -> BlockResult | None:
    return of_runs(block, DECLARED[expect])


def all_wrong(place: int, block: Block, expect: Verdict) -> BlockResult | None:
    wrong = {Verdict.NEVER: 1 + place % RUNS, Verdict.SOMETIMES: 0, Verdict.ALWAYS: RUNS - 1}
    return of_runs(block, wrong[expect])


def some_lost(place: int, block: Block, expect: Verdict) -> BlockResult | None:
    return None if place % 4 == 0 else as_declared(place, block, expect)


def nothing(place: int, block: Block, expect: Verdict) -> BlockResult | None:
    return None


def campaign(result: Result, cut: int = 0) -> Campaign:
    """A campaign without runs; ``cut`` of its variants are not through."""
    variants = collection()
    made = Campaign((v, Budget(2 * RUNS if i < cut else RUNS)) for i, v in enumerate(variants))
    for place, variant in enumerate(variants):
        block = made.next_block()
        assert block is not None
        assert (block.variant, block.count) == (variant.id, RUNS)
        told = result(place, block, variant.expect)
        if told is None:
            made.lost.append(f"worker 1 (core 1) was killed by SIGKILL; lost: {block}")
        made.put(block, told)
    if cut:
        made.lost.append("interrupted; what was counted until then follows")
    return made


def screens(printed: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it stands in a report."""
    inside = False
    for line in printed.splitlines():
        inside = inside or line.startswith(("kernel BUG at", "------------[ cut here"))
        yield line, inside
        inside = inside and not line.startswith("---[ end mmsim")


@pytest.mark.parametrize(
    ("result", "cut", "said"),
    [
        (as_declared, 0, "every verdict as declared"),
        (all_wrong, 0, f" of {VARIANTS} verdicts differ, "),
        (some_lost, 0, "INCOMPLETE"),
        (nothing, 0, "INCOMPLETE"),
        (all_wrong, VARIANTS, "INCOMPLETE"),  # an interrupt after the first blocks
    ],
    ids=["well", "wrong", "lost", "nothing", "interrupted"],
)
def test_one_screen_and_one_report(
    result: Result,
    cut: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = campaign(result, cut)
    outcome = cli.Outcome(made, not made.lost, 1234.5)
    monkeypatch.setattr(cli, "run", lambda *_: outcome)
    assert cli.main(["--runs", "100"], source(*collection())) == outcome.code
    out, err = capsys.readouterr()
    assert err == ""
    lines = list(screens(out))
    assert sum(not inside for _, inside in lines) <= 40
    assert out.count("---[ mmsim ]---") == (0 if result is nothing else 1)
    long = [line for line, _ in lines if len(line) > 80]
    assert all(line.startswith("Reproduce: ") for line in long), long
    assert said in lines[-1][0]


def test_what_found_no_room_is_counted_and_the_table_has_all_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = campaign(all_wrong)
    monkeypatch.setattr(cli, "run", lambda *_: cli.Outcome(made, True, 1.0))
    cli.main(["--runs", "100"], source(*collection()))
    short = capsys.readouterr().out
    cli.main(["--runs", "100", "--table"], source(*collection()))
    full = capsys.readouterr().out
    entry = re.compile(r"^(?:DIFFERS|UNDECIDED) ", re.MULTILINE)
    more = re.search(r"^(\d+) more of these: --table", short, re.MULTILINE)
    assert more is not None
    assert "more of these" not in full
    assert len(entry.findall(full)) == len(entry.findall(short)) + int(more[1])
    told = full[full.index("DIFFERS") :]
    assert all(v.id in told for v in collection())


def test_variants_of_which_the_same_is_said_share_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = campaign(all_wrong, cut=VARIANTS)
    monkeypatch.setattr(cli, "run", lambda *_: cli.Outcome(made, False, 1.0))
    cli.main(["--runs", "100"], source(*collection()))
    said = " ".join(capsys.readouterr().out.split())
    assert f" and {VARIANTS - 3} more: not decided: cut short" in said
