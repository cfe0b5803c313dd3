# SPDX-License-Identifier: GPL-2.0-only
"""axe-core finds nothing serious, in light and in dark, on the page and in the game."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest

from tests.browser.conftest import Opens
from tests.browser.test_game import settle

pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
EVERYTHING, CONTRAST = "{}", "{runOnly: ['color-contrast']}"
"""What axe is to look at: a colour scheme changes colours, and nothing else."""


def violations(page: Any, scheme: str, rules: str) -> list[str]:
    """What axe finds that is serious, in this colour scheme."""
    if not page.evaluate("'axe' in window"):
        axe = resources.files("axe_playwright_python") / "axe.min.js"
        page.evaluate(axe.read_text(encoding="utf-8"))
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    found = page.evaluate(f"axe.run({{resultTypes: ['violations'], ...{rules}}})")
    return [
        f"{scheme}: {v['id']}: {v['help']} ({v['nodes'][0]['html'][:120]})"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


def serious(page: Any) -> list[str]:
    """In both."""
    return violations(page, "light", EVERYTHING) + violations(page, "dark", CONTRAST)


def test_the_page(opens: Opens, drawn: str) -> None:
    page = opens(drawn, reduced_motion="reduce")
    page.keyboard.press("W")
    assert not serious(page)
    # and dark colours are what is looked at in the dark
    style = "#outcome { color: #808080 !important; background: #888 !important }"
    page.add_style_tag(content=f"@media (prefers-color-scheme: dark) {{ {style} }}")
    assert [text for text in violations(page, "dark", CONTRAST) if "color-contrast" in text]


def test_the_game(opens: Opens, game: str) -> None:
    page = opens(game, reduced_motion="reduce")
    for key in ("g", *["r"] * 12):
        page.keyboard.press(key)
        settle(page)
    assert not serious(page)
    while page.locator("#redo").is_enabled():
        page.keyboard.press("r")
        settle(page)
    assert not serious(page)
