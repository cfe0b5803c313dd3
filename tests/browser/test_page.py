# SPDX-License-Identifier: GPL-2.0-only
"""The page of `replay --html`, from a disk, without network."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import Opens
from tests.report.told import told

# In one go, since every question costs a round trip: the acting CPU, its line, rows that changed.
SHOWN = """() => [
    [...document.querySelectorAll(".pane.acting .head b")].map(b => b.innerText),
    [...document.querySelectorAll(".pane.acting .here")].map(line => line.dataset.l),
    document.querySelectorAll("#memory tr.changed").length,
]"""


def text(page: Any, selector: str) -> str:
    return str(page.inner_text(selector)).strip()


def test_it_opens_at_the_finding(opens: Opens, drawn: str) -> None:
    page = opens(drawn)
    story, _, line = told("002.flawed")
    assert text(page, "#outcome") == f"✕ {story.findings[0].title}"
    assert f"step {story.findings[0].step} of" in text(page, "#sentence")
    assert line in text(page, "#reproduce")
    assert "---[ mmsim ]---" in text(page, "#report pre")
    assert page.locator(".lane").count() == 8


def test_everything_fits_a_small_screen(opens: Opens, drawn: str) -> None:
    page = opens(drawn)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    for part in ("#lanes", "#now", "#code", "#memory"):
        box = page.locator(part).bounding_box()
        assert box["y"] + min(box["height"], 200) <= 720, part


def test_keys_alone_lead_everywhere(opens: Opens, drawn: str) -> None:
    page = opens(drawn)
    story, _, _ = told("002.flawed")
    press = page.keyboard.press
    press("Home")
    assert "Before the first step" in text(page, "#sentence")
    press("ArrowRight")
    assert "step 1 of" in text(page, "#sentence")
    press("w")
    closed = story.steps[story.windows[0].closed]
    assert f"step {closed.number} of" in text(page, "#sentence")
    assert "Window." in text(page, "#note")
    press("ArrowLeft")
    before = text(page, "#sentence")
    press("s")
    press("S")
    assert text(page, "#sentence") != before or story.steps
    press("End")
    assert f"of {story.steps[-1].number}" in text(page, "#sentence")
    reached = set()
    press("Home")
    for _ in range(40):
        press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"at", "first", "back", "step", "next-switch", "next-window", "last", "copy"} <= reached


def test_the_scrubber_and_a_click_on_a_lane(opens: Opens, drawn: str) -> None:
    page = opens(drawn)
    page.locator("#at").fill("10")
    story, _, _ = told("002.flawed")
    assert f"step {story.steps[9].number} of" in text(page, "#sentence")
    page.locator("#lane1 svg").click(position={"x": 400, "y": 10})
    assert f"step {story.steps[9].number} of" not in text(page, "#sentence")


def test_code_pages_and_words_go_together(opens: Opens, drawn: str) -> None:
    """At each step the acting CPU shows the line, and the page table what it changed."""
    page = opens(drawn)
    story, _, _ = told("002.flawed")
    page.keyboard.press("Home")
    for step in story.steps:
        page.keyboard.press("ArrowRight")
        if not step.effect:
            continue
        heads, lines, changed = page.evaluate(SHOWN)
        assert heads == [f"CPU{step.event.cpu}"]
        assert lines == [str(step.stack[0].line)]
        assert changed >= sum(thing.page for thing in step.changed)


def test_every_step_in_words(opens: Opens, drawn: str) -> None:
    page = opens(drawn)
    page.locator("#all summary").click()
    page.wait_for_selector("#s1", state="attached")
    story, _, _ = told("002.flawed")
    assert page.locator("#all tbody tr").count() == len(story.steps)


def test_it_prints_with_every_step(opens: Opens, drawn: str) -> None:
    page = opens(drawn)
    page.emulate_media(media="print")
    assert not page.locator("#transport").is_visible()
    assert page.locator("#report pre").is_visible()
    assert len(page.pdf()) > 20_000


def test_without_script_there_is_the_report_and_the_columns(opens: Opens, drawn: str) -> None:
    page = opens(drawn, java_script_enabled=False)
    assert "---[ mmsim ]---" in text(page, "#report pre")
    assert "LOCK pagemap_lru_lock" in text(page, "noscript")


@pytest.mark.parametrize("variant", ["000.get-from-zero", "003.unlock-first", "002.base2417-irq"])
def test_other_runs(opens: Opens, variant: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    from mmsim.cli import main

    path = tmp_path_factory.mktemp("other") / "page.html"
    assert main(["replay", variant, told(variant)[2], "--html", str(path)]) == 0
    page = opens(path.as_uri(), color_scheme="dark")
    for key in ("Home", *["s"] * 20, "W", "w", "End"):
        page.keyboard.press(key)
    assert told(variant)[0].findings[0].title in text(page, "#outcome")
