# SPDX-License-Identifier: GPL-2.0-only
"""The page: one file that opens anywhere, with no network and no script.

The parts are in `web/`. Everything that comes from a store is text and is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from mmsim.stress.changes import Change, changes
from mmsim.stress.page import figures
from mmsim.stress.page.facts import Facts, Night, Thread

MOST_PANELS = 60
"""Of survival curves in a thread."""
MOST_NIGHTS = 40
"""The last ones are shown."""


def page(facts: Facts, pages: Mapping[str, str] | None = None) -> str:
    """The whole page. ``pages`` are links to pages of single runs, by fingerprint.

    Raises UsageError if matplotlib or jinja2 is not installed.
    """
    figures.available()
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = lambda n: f"{n:,}"
    environment.filters["clock"] = clock
    environment.filters["minute"] = lambda time: (time or "")[:16].replace("T", " ")
    nights = facts.nights[-MOST_NIGHTS:]
    changed = _changed(nights)
    return environment.get_template("page.html").render(
        facts=facts,
        row=facts.counted.row,
        settings=facts.counted.settings,
        style=_part("style.css"),
        forests={thread.id: figures.forest(thread) for thread in facts.threads if thread.lines},
        survivals={t.id: figures.survival(t, _panels(t)) for t in facts.threads if t.curves},
        policies=_policies(facts),
        nights=nights,
        over_time=_over_time(facts, nights, changed),
        changed=changed,
        pages=pages or {},
    )


def _part(name: str) -> str:
    return (resources.files("mmsim.stress.page") / "web" / name).read_text(encoding="utf-8")


def _panels(thread: Thread) -> Any:
    return thread.curves[:MOST_PANELS]


def _policies(facts: Facts) -> list[tuple[str, str]]:
    """The policies that decided, each with its colour."""
    names = {
        curve.policy for thread in facts.threads for _, curves in thread.curves for curve in curves
    }
    return [
        (name, figures.NAMES[figures.POLICY_COLOURS.get(name, figures.FOUR)])
        for name in sorted(names)
    ]


def _changed(nights: tuple[Night, ...]) -> list[Change]:
    """What the last campaign says otherwise than the one before it, luck set aside."""
    if len(nights) < 2:
        return []
    before, after = nights[-2:]
    if (before.policy, before.cpus) != (after.policy, after.cpus):
        return []
    return [change for change in changes(before.outcomes, after.outcomes) if change.significant]


def _over_time(facts: Facts, nights: tuple[Night, ...], changed: list[Change]) -> list[str]:
    if len(nights) < 2:
        return []
    names = {change.variant for change in changed}
    return [
        figures.nights(nights, t, {name for name in names if name.startswith(f"{t.id}.")})
        for t in facts.threads
        if any(name.startswith(f"{t.id}.") for night in nights for name in night.rates)
    ]


def clock(seconds: float) -> str:
    """`3 h 05 min`, `2 min 10 s`, `4.1 s`."""
    if seconds >= 3600:
        return f"{int(seconds) // 3600} h {int(seconds) // 60 % 60:02} min"
    if seconds >= 60:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
    return f"{seconds:.1f} s"
