# SPDX-License-Identifier: GPL-2.0-only
"""The picture in README.md: small, there, and of the page as it looks today."""

from __future__ import annotations

from tests.docs.picture import FILE, MOST_BYTES, ROOT, looks, mark_of


def test_it_is_current() -> None:
    """If this fails, look at the page, and take the picture anew: `make picture`."""
    assert mark_of(FILE.read_bytes()) == looks()


def test_it_is_small_and_shown() -> None:
    assert FILE.stat().st_size < MOST_BYTES
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"]({FILE.relative_to(ROOT).as_posix()})" in readme
