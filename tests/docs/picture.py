# SPDX-License-Identifier: GPL-2.0-only
"""A picture that knows what it is of: a PNG with a hash of the page's parts in a text chunk."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "page.png"
PARTS = ROOT / "mmsim" / "report" / "web"
MOST_BYTES = 150_000
KEY = b"mmsim looks"


def looks() -> str:
    """A hash of template, style and scripts."""
    digest = hashlib.sha1(usedforsecurity=False)
    for part in sorted(PARTS.iterdir()):
        digest.update(part.read_bytes())
    return digest.hexdigest()


def marked(png: bytes, text: str) -> bytes:
    """The picture with a text chunk before its end."""
    body = b"tEXt" + KEY + b"\0" + text.encode("latin-1")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:-12] + chunk + png[-12:]


def mark_of(png: bytes) -> str:
    """The text in it, "" if there is none."""
    _, found, rest = png.partition(b"tEXt" + KEY + b"\0")
    return rest[:40].decode("latin-1") if found else ""
