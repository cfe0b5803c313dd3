# SPDX-License-Identifier: GPL-2.0-only
"""Seeds: one origin, and no draw moves another."""

from __future__ import annotations

from itertools import combinations

from mmsim.engine.machine import Machine
from mmsim.engine.seeds import BLOCK, run_seed, stream


def test_a_runs_seed_is_a_function_of_campaign_label_and_index() -> None:
    """The figures are part of the contract: a schedule printed last year replays this year."""
    assert run_seed(1, "002.flawed", 0) == 0xD1C2ED1B3A683100
    assert run_seed(7, "x", 300) == 0xF777915E43628B7D


def test_neighbours_have_nothing_in_common() -> None:
    seeds = [
        run_seed(campaign, label, index)
        for campaign in range(3)
        for label in ("002.flawed", "002.right", "003.flawed")
        for index in (*range(20), BLOCK - 1, BLOCK, BLOCK + 1, 100 * BLOCK)
    ]
    assert len(set(seeds)) == len(seeds)
    ones = [sum(bin(a ^ b).count("1") for b in seeds[:40]) for a in seeds[:40]]
    assert all(abs(n - 39 * 32) < 39 * 6 for n in ones)


def test_a_block_is_not_needed_in_order() -> None:
    later_first = [run_seed(77, "a", i) for i in range(3 * BLOCK - 1, -1, -1)]
    assert later_first[::-1] == [run_seed(77, "a", i) for i in range(3 * BLOCK)]


def test_streams_of_one_run_are_independent() -> None:
    draws = {
        purpose: [stream(5, purpose).random() for _ in range(2)]
        for purpose in ("policy", "setup", "fair", "cpu0", "cpu1", "cpu10")
    }
    assert all(a == b for a, b in draws.values())  # a stream begins anew
    assert len({a for a, _ in draws.values()}) == len(draws)
    for one, other in combinations(draws, 2):
        a, b = stream(5, one), stream(5, other)
        equal = sum((a.random() < 0.5) == (b.random() < 0.5) for _ in range(1000))
        assert 400 < equal < 600, (one, other)  # 6.3 sigma: fixed seeds, cannot flicker


def test_a_draw_for_one_purpose_moves_no_other() -> None:
    policy = stream(9, "policy")
    before = [policy.random() for _ in range(5)]
    policy = stream(9, "policy")
    machine = Machine(1, seed=9)
    after = []
    for _ in range(5):
        machine.rng.random()
        stream(9, "cpu3").random()
        after.append(policy.random())
    assert after == before


def test_set_up_randomness_is_the_runs_own() -> None:
    draws = [Machine(1, seed=seed).rng.random() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
