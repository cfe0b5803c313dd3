# SPDX-License-Identifier: GPL-2.0-only
"""The formats that are made from a story: each is read back by rules of its own."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from html.parser import HTMLParser
from typing import Any

import pytest

from mmsim.report.ftrace import ftrace
from mmsim.report.locksets import lockset_rows, lockset_table
from mmsim.report.page import Cover, Entry, index, page, story_data
from mmsim.report.perfetto import LOCKS, MACHINE, perfetto
from tests.report.told import told

VARIANTS = ("002.flawed", "000.get-from-zero", "002.base2417-irq")


# -- Perfetto -------------------------------------------------------------------------------------


def slices(trace: dict[str, Any]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """Those of each thread, in the order of the file."""
    lanes = defaultdict(list)
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            lanes[event["pid"], event["tid"]].append(event)
    return lanes


@pytest.mark.parametrize("variant", VARIANTS)
def test_slices_nest(variant: str) -> None:
    """A slice ends no later than every slice that was open when it began."""
    deepest = 0
    for lane in slices(perfetto(told(variant)[0], variant)).values():
        open_until: list[int] = []
        for event in lane:
            begin, end = event["ts"], event["ts"] + event["dur"]
            assert begin < end
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            assert all(end <= outer for outer in open_until), event
            open_until.append(end)
            deepest = max(deepest, len(open_until))
    assert deepest > 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_metadata_first_then_by_time(variant: str) -> None:
    events = perfetto(told(variant)[0], variant)["traceEvents"]
    kinds = [event["ph"] == "M" for event in events]
    assert kinds == sorted(kinds, reverse=True)
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times == sorted(times)


def test_a_lane_a_cpu_and_a_lane_a_lock() -> None:
    story, _, _ = told("002.flawed")
    trace = perfetto(story, "002.flawed")
    names = {
        (e["pid"], e["tid"]): e["args"]["name"]
        for e in trace["traceEvents"]
        if e["name"] == "thread_name"
    }
    assert {names[MACHINE, 100 + cpu] for cpu in range(8)} == {f"CPU{cpu}" for cpu in range(8)}
    locks = {name for (pid, _), name in names.items() if pid == LOCKS}
    assert {"pagemap_lru_lock", "&zone->lock"} <= locks
    assert {pid for pid, _ in slices(trace)} == {MACHINE, LOCKS}


def test_an_arrow_has_two_ends_on_slices() -> None:
    trace = perfetto(told("000.get-from-zero")[0], "x")
    ends = defaultdict(list)
    for event in trace["traceEvents"]:
        if event["ph"] in "sf":
            ends[event["id"]].append(event)
    assert ends
    lanes = slices(trace)
    for pair in ends.values():
        assert [event["ph"] for event in pair] == ["s", "f"]
        for event in pair:
            on = lanes[event["pid"], event["tid"]]
            assert any(s["ts"] <= event["ts"] <= s["ts"] + s["dur"] for s in on)


def test_counters_are_the_pages_counts() -> None:
    story, _, _ = told("002.flawed")
    trace = perfetto(story, "x")
    values = [
        e["args"]["value"]
        for e in trace["traceEvents"]
        if e["ph"] == "C" and e["name"] == f"count({story.focus})"
    ]
    assert values[0] == 2
    assert 0 in values


# -- ftrace ---------------------------------------------------------------------------------------

LINE = re.compile(
    r"^ *(?P<comm>.{1,16}?)-(?P<pid>\d+) +\[(?P<cpu>\d{3})\] (?P<irq>[.dDb])(?P<resched>[.NnpBbLl])"
    r"(?P<context>[.hHsZz])(?P<depth>[.0-9a-f])(?P<migrate>[.0-9a-f]) +"
    r"(?P<sec>\d+)\.(?P<usec>\d{6}): (?P<event>\w+): (?P<fields>.*)$"
)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_line_is_one_of_the_format(variant: str) -> None:
    story, _, _ = told(variant)
    lines = ftrace(story).splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert head == lines[: len(head)]
    assert lines[len(head) - 2].split() == [
        "#",
        "TASK-PID",
        "CPU#",
        "|||||",
        "TIMESTAMP",
        "FUNCTION",
    ]
    before = 0
    for line in lines[len(head) :]:
        found = LINE.match(line)
        assert found, line
        now = int(found["sec"]) * 1_000_000 + int(found["usec"])
        assert now >= before
        before = now


def test_references_are_page_ref_events_that_add_up() -> None:
    story, _, _ = told("002.flawed")
    counts = {int(t.name[4:], 16): int(dict(t.fields)["count"]) for t in story.first if t.page}
    pattern = re.compile(r"page_ref_mod\w*: pfn=0x(\w+) flags=\S* count=(-?\d+) .* val=(-?\d+)")
    seen = 0
    for pfn, count, change in pattern.findall(ftrace(story)):
        frame = int(pfn, 16)
        counts[frame] += int(change)
        assert counts[frame] == int(count)
        seen += 1
    assert seen >= 3


def test_interrupt_lines_say_so() -> None:
    text = ftrace(told("002.base2417-irq")[0])
    assert "irq_handler_entry: irq=" in text
    assert "contention_begin: " in text
    entry = LINE.match(next(line for line in text.splitlines() if "irq_handler_entry" in line))
    assert entry
    assert (entry["irq"], entry["context"]) == ("d", "h")


# -- the page -------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Scripts by id, and everything that would make a browser load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.loads: list[str] = []
        self._in: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [v for k in ("src", "href") if (v := given.get(k)) and v != "data:,"]
        self._in = given.get("id") or "code" if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._in is not None:
            self.scripts[self._in] = self.scripts.get(self._in, "") + data


def cover(**text: str) -> Cover:
    return Cover(**{"variant": "002.flawed", "summary": "s", "title": "t", **text})


def test_the_page_is_one_file_with_the_story_in_it() -> None:
    story, _, line = told("002.flawed")
    text = page(story, cover(report="BUG <&>", reproduce=f"replay {line}"))
    found = Reader(text)
    assert found.loads == []
    assert "{{" not in text
    assert "BUG &lt;&amp;&gt;" in text
    data = json.loads(found.scripts["story"])
    assert data == json.loads(json.dumps(story_data(story)))
    assert len(data["steps"]["n"]) == len(story.steps)
    assert "shrink_cache" in {function["symbol"] for function in data["functions"]}
    assert "default-src &#x27;none&#x27;" in text


def test_nothing_in_a_story_can_end_the_script() -> None:
    """A task of a file of one's own may be called anything."""
    story, _, _ = told("002.flawed")
    evil = "</script><script>alert(1)</script>"
    text = page(story, cover(summary=evil, variant=evil, title=evil, report=evil, reproduce=evil))
    assert text.count("<script") == 2
    assert text.count("</script>") == 2


def test_paths_of_this_machine_stay_here() -> None:
    text = page(told("000.get-from-zero")[0], cover())
    paths = {f["path"] for f in json.loads(Reader(text).scripts["story"])["functions"]}
    assert all(path.startswith("mmsim/") for path in paths)


def test_an_index_links_what_there_is() -> None:
    text = index(
        "2 kinds", [Entry("a.b", "<x>", "f", "1 of 2", 3, "f.html"), Entry("a", "y", "", "", 1, "")]
    )
    assert Reader(text).loads == ["f.html"]
    assert "&lt;x&gt;" in text


@pytest.mark.slow
def test_the_largest_page_is_small_enough_to_mail() -> None:
    """A livelock that takes all of its 160,000 steps: shown from the last ones on."""
    story, _, _ = told("003.rmap-miss-no-bug", runs=50)
    assert len(story.steps) > 100_000
    assert len(page(story, cover()).encode()) < 1_500_000


# -- locksets -------------------------------------------------------------------------------------


def test_what_the_12_february_mail_says_of_the_count() -> None:
    """shrink_cache looks at count and PG_lru under the lock, a last put under none."""
    story, _, _ = told("002.flawed")
    rows = {row.label: row for row in lockset_rows(story)}
    locks = {way.locks for way in rows["count"].ways}
    assert {(), ("pagemap_lru_lock",)} <= locks
    assert rows["count"].common == ()
    assert rows["flags:lru"].common == ()
    table = lockset_table(story)
    assert "in common: NONE" in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_field_under_one_lock_has_it_in_common() -> None:
    story, _, _ = told("000.get-from-zero")
    rows = lockset_rows(story, whole=True)
    assert any(row.common for row in rows)
    for row in rows:
        assert all(set(row.common) <= set(way.locks) for way in row.ways)
