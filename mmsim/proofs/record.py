# SPDX-License-Identifier: GPL-2.0-only
"""What explorations came to, kept in ``proofs.json``: one line a pair, so that a diff can be read.

A proof is of the code that was explored.  When that has changed, what it says is *stale* until the
pair is explored again (``python -m mmsim prove --write``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from mmsim.proofs.code import program_hash
from mmsim.proofs.prove import BOUNDED, EXHAUSTIVE, FOUND, Pair, Proof, pairs_of
from mmsim.scenarios.api import Scenario, Variant, Verdict

FILE = Path(__file__).with_name("proofs.json")
Key = tuple[str, str, int | None]

STALE = "stale"
NOTHING = "-"


def read(file: Path = FILE) -> dict[Key, Proof]:
    """All proofs on record, by their keys; empty without a file."""
    if not file.is_file():
        return {}
    proofs = [Proof(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    return {proof.key: proof for proof in proofs}


def write(proofs: Iterable[Proof], file: Path = FILE) -> None:
    """Put them on record, in the order given, in place of what was there."""
    rows = [json.dumps(asdict(proof), sort_keys=True) for proof in proofs]
    text = "[\n" + ",\n".join(rows) + "\n]\n"
    beside = file.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


def planned(pairs: Iterable[Pair], record: Mapping[Key, Proof]) -> list[Proof]:
    """What is on record of these pairs, in their order; of others nothing is kept."""
    return [record[pair.key] for pair in pairs if pair.key in record]


def stale(proof: Proof, scenario: Scenario) -> bool:
    """Has the code changed since?"""
    return proof.code != program_hash(scenario.file)


@lru_cache(maxsize=1)
def _on_record() -> dict[Key, Proof]:
    return read()


def proved(variant: Variant) -> str:
    """What is proved of a variant, in a word or two: a cell of a table.

    ``k casts`` were exhausted; ``k casts, n to 2`` more with at most two preemptions; ``found`` in
    the n-th execution; ``stale`` if the code has changed since; a dash if nothing is on record.
    """
    pairs = pairs_of(variant)
    on_record = planned(pairs, _on_record())
    if not on_record:
        return NOTHING
    if any(stale(proof, variant.scenario) for proof in on_record):
        return STALE
    return settled(variant, on_record, len(pairs))


def settled(variant: Variant, on_record: Sequence[Proof], wanted: int) -> str:
    """The same of proofs that are known not to be stale."""
    found = [proof for proof in on_record if proof.verdict == FOUND]
    if variant.expect is not Verdict.NEVER:
        firsts = [proof.first for proof in found if proof.first is not None]
        return f"found in {min(firsts)}" if firsts else "not found"
    if found:
        return "BROKEN"
    whole = sum(proof.verdict == EXHAUSTIVE for proof in on_record)
    bounds = [proof.bound for proof in on_record if proof.verdict == BOUNDED and proof.bound]
    words = [f"{whole} cast{'s' * (whole != 1)}"] if whole else []
    if bounds:
        words.append(f"{len(bounds)} to {min(bounds)}")
    if whole + len(bounds) < wanted:
        words.append("open")
    return ", ".join(words)
