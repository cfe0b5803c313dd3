# SPDX-License-Identifier: GPL-2.0-only
"""Every hunk of every gate makes a difference, or is named here with the reason why not.

A few are tried on every run of the suite, one of each thread; all of them by `make slow`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mmsim.ablation.compare import differences
from mmsim.ablation.measure import Plan, search
from mmsim.ablation.places import Place, places
from mmsim.ablation.source import Change, Changed
from mmsim.stress.source import find_variant
from mmsim.stress.tally import Block, Tally
from mmsim.stress.worker import Setting, run_block

RUNS = 60
"""Seeds are fixed; each difference below shows in a third of the runs, or in a metric."""


def tallies(changes: Sequence[Change], runs: int = RUNS) -> list[Tally]:
    """Each change and, before it, the variant it was made from; in this process."""
    source = Changed(tuple(changes))
    setting = Setting(source=source, cpus=8, seed=1, engine="green", policy="mix")
    out = []
    for id in [id for c in changes for id in (c.variant, c.id)]:
        tally = Tally(find_variant(source, id))
        tally.take(run_block(setting, Block(id, 0, 0, runs), lambda beat: None))
        out.append(tally)
    return out


TELLING = (
    Change(
        "000.isolate-noref",
        Place("isolate-plain-get", "vmscan_isolate.py", "__isolate_lru_page"),
        on=True,
    ),
    Change("001.v1-opencoded", Place("v1-opencode", "compaction.py", "_pinned_v4_19"), on=True),
    Change(
        "002.pagelocked",
        Place("hugh-2002-02-12", "v2_4/swapfile.py", "free_swap_and_cache"),
        on=True,
    ),
    Change("003.base", Place("unlock-first", "migrate.py", "_unmap_and_move_locked")),
    Change("004.merged", Place("vlastimil-2014-01-07", "v3_13/rmap.py", "_mlock_found"), on=True),
)


@pytest.mark.parametrize("change", TELLING, ids=lambda c: c.id)
def test_a_hunk_of_each_thread(change: Change) -> None:
    base, changed = tallies([change])
    assert change.place in places()
    assert differences(base, changed)


def test_where_a_run_never_comes_nothing_changes_at_all() -> None:
    place = Place("hugh-2002-02-12", "v2_4/vmscan.py", "shrink_cache")
    assert place in places()
    base, changed = tallies([Change("003.unlock-first", place)], runs=40)
    assert base.findings == changed.findings > 0
    schedules = [[k.sample.schedule for k in tally.kinds.values()] for tally in (base, changed)]
    assert schedules[0] == schedules[1]


WITHOUT_EFFECT = {
    # `gate@function` of hunks that make no difference in any variant, and why that is so
    "akpm-2.5.32@lru_cache_del": "no variant with the gate comes to it: in 2.5.32 the last put "
    "takes a page off the list itself",
    "andrea-2002-02-14@do_wp_page": "leaves one page more to reclaim in a run of twenty, which "
    "3,000 runs do not tell from chance",
    "isolate-movable-skips-slab@__free_slab": "two stores in the other order: the walker has to "
    "look three times and take a lock between them",
    "isolate-movable-skips-slab@alloc_slab_page": "a barrier and nothing else",
    "migrate-mapped@__unmap_and_move": "shows that the test is not what protects: the reference "
    "count still says no",
    "release-lock-first@__page_cache_release_v5_4": "not seen in 3,000 runs: nearly every last put "
    "of these variants comes through release_pages()",
    "wanpeng-2013-12-17@_mlock_found": "an assertion of what is so: check_page comes locked",
}


@pytest.mark.slow
def test_every_hunk_of_every_gate() -> None:
    settled = dict(search(Plan(runs=200, cpus=8, seed=1), places()))
    assert settled.keys() == set(places())
    idle = {str(p) for p, tried in settled.items() if not tried or not tried[-1].differences}
    assert idle == WITHOUT_EFFECT.keys()
