# SPDX-License-Identifier: GPL-2.0-only
"""The queries in docs/store.md run, and the tables are the ones that it describes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsim.stress.stored.file import Store
from mmsim.stress.stored.schema import TABLES
from tests.stress.store_driver import begin, finish, work

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "store.md").read_text()
QUERIES = re.findall(r"^```sql\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("store") / "s.sqlite"
    with Store(path, write=True) as written:
        campaign = begin(written)
        work(campaign)
        finish(campaign)
    with Store(path) as read:
        yield read


def test_there_are_ten() -> None:
    assert len(QUERIES) == 10


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_runs_and_answers(query: str, store: Store) -> None:
    assert store.rows(query)


def test_every_table_and_column_is_described(store: Store) -> None:
    described = {
        row[0]: set(re.findall(r"`(\w+)`", row[1]))
        for row in re.findall(r"^\| `(\w+)` \| [^|]*\| (.*) \|$", TEXT, re.MULTILINE)
    }
    assert set(described) == set(TABLES)
    for table in TABLES:
        columns = {row["name"] for row in store.rows(f"PRAGMA table_info({table})")}
        assert columns - {"id"} <= described[table]
        assert described[table] <= columns
