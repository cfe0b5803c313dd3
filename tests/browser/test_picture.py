# SPDX-License-Identifier: GPL-2.0-only
"""The picture in README.md is of the page as it looks today.

`make picture` takes it.  In the file is a hash of everything that makes the page's looks, which a
test without a browser compares (tests/docs/test_picture.py).
"""

from __future__ import annotations

import io
import os

import pytest

from tests.browser.conftest import Opens
from tests.docs.picture import FILE, MOST_BYTES, looks, marked


def few_colours(png: bytes) -> bytes:
    """The same with a palette, which is a third of the size."""
    image = pytest.importorskip("PIL.Image")
    small = io.BytesIO()
    image.open(io.BytesIO(png)).convert("RGB").quantize(96).save(small, "PNG", optimize=True)
    return small.getvalue()


@pytest.mark.skipif("MMSIM_PICTURE" not in os.environ, reason="taken by `make picture`")
def test_take_it(opens: Opens, game: str) -> None:
    page = opens(game, color_scheme="light", reduced_motion="reduce")
    page.keyboard.press("g")
    page.wait_for_selector("body:not([aria-busy])")
    for _ in range(33):
        page.keyboard.press("r")
        page.wait_for_selector("body:not([aria-busy])")
    data = marked(few_colours(page.screenshot()), looks())
    assert len(data) < MOST_BYTES
    FILE.write_bytes(data)
