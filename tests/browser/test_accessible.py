# SPDX-License-Identifier: GPL-2.0-only
"""axe-core finds nothing serious, in light and in dark, on the page and in the game."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest

from tests.browser.conftest import Opens
from tests.browser.test_game import settle

pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
SCHEMES = ("light", "dark")


def serious(page: Any) -> list[str]:
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    return [
        f"{v['id']}: {v['help']} ({v['nodes'][0]['html'][:120]})"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page(opens: Opens, drawn: str, scheme: str) -> None:
    page = opens(drawn, color_scheme=scheme, reduced_motion="reduce")
    page.keyboard.press("W")
    assert not serious(page)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_game(opens: Opens, game: str, scheme: str) -> None:
    page = opens(game, color_scheme=scheme, reduced_motion="reduce")
    for key in ("g", *["r"] * 12):
        page.keyboard.press(key)
        settle(page)
    assert not serious(page)
    while page.locator("#redo").is_enabled():
        page.keyboard.press("r")
        settle(page)
    assert not serious(page)
