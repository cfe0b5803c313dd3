# SPDX-License-Identifier: GPL-2.0-only
"""Lab 1 in a real browser: the double free of 7 February, by clicks and by keys."""

from __future__ import annotations

import shlex
from typing import Any

from mmsim.cli import main
from tests.browser.conftest import Opens


def settle(page: Any) -> None:
    """Wait for the answer to the last move."""
    page.wait_for_selector("body:not([aria-busy])")


def text(page: Any, selector: str) -> str:
    return str(page.inner_text(selector)).strip()


def won(page: Any, capsys: Any) -> None:
    """The page says so, explains it, and its line replays on the command line."""
    page.wait_for_selector("#explained:not([hidden])")
    assert "double free" in text(page, "#outcome")
    assert "2 preemptions" in text(page, "#explained")
    assert "last put" in text(page, "#explained")
    command = shlex.split(text(page, "#reproduce"))
    assert command[:4] == ["python", "-m", "mmsim", "replay"]
    assert main(command[3:]) == 0
    assert "double free: the page has another owner" in capsys.readouterr().out


def test_by_clicks_alone_with_undo_in_the_middle(opens: Opens, game: str, capsys: Any) -> None:
    page = opens(game)

    def click(name: str, exact: bool = False) -> None:
        page.get_by_role("button", name=name, exact=exact).first.click()
        settle(page)

    click("Deliver softirq ksoftirqd on CPU0")
    click("Run ksoftirqd on CPU0 until it is blocked")
    click("Deliver softirq ksoftirqd on CPU0")
    for _ in range(3):
        click("Step ksoftirqd on CPU0")
    assert "count 1 → 0" in text(page, "#all") or "buffers" in text(page, "#sentence")
    for _ in range(23):
        click("Step kswapd on CPU1")
    assert "clears PG_lru" in text(page, "#sentence")
    for _ in range(3):
        click("Undo")
    assert "clears PG_lru" not in text(page, "#sentence")
    for _ in range(2):
        click("Redo")
    click("Step kswapd on CPU1")
    assert "clears PG_lru" in text(page, "#sentence")
    click("Run ksoftirqd on CPU0 until it is blocked")
    won(page, capsys)


def test_by_keys_alone(opens: Opens, game: str, capsys: Any) -> None:
    page = opens(game)
    keys = ["Shift+Digit0", "Digit0", "b", "Shift+Digit0", *["Digit0"] * 4]
    keys += ["u", *["Digit1"] * 22, "u", "u", "r", "r", "Digit1", "Digit0", "b"]
    for key in keys:
        page.keyboard.press(key)
        settle(page)
    won(page, capsys)


def test_a_key_that_means_nothing_here_says_why(opens: Opens, game: str) -> None:
    page = opens(game)
    page.keyboard.press("Digit0")
    assert text(page, "#outcome") == "On CPU0 nobody can go on."


def test_giving_up_shows_the_moves(opens: Opens, game: str) -> None:
    page = opens(game)
    page.keyboard.press("g")
    settle(page)
    assert "Nothing has happened yet" in text(page, "#sentence")
    moves = 0
    while page.locator("#redo").is_enabled():
        page.keyboard.press("r")
        settle(page)
        moves += 1
    assert moves > 30
    assert page.locator("#explained").is_visible()
    page.keyboard.press("x")
    settle(page)
    assert not page.locator("#explained").is_visible()


def test_a_blocked_cpu_is_grey_with_the_reason(opens: Opens, game: str) -> None:
    page = opens(game)
    for key in ("Digit1", "Shift+Digit0", "Digit0", "b", "Shift+Digit0", "Digit1"):
        page.keyboard.press(key)
        settle(page)
    page.keyboard.press("e")
    settle(page)
    assert "nothing is wrong" in text(page, "#outcome")
    assert page.locator("#end").is_disabled()
