# SPDX-License-Identifier: GPL-2.0-only
"""A litmus test as words with their lines.

Comments are `/* */` and `//` in the code and `(* *)`, which nest, around it. The two kinds do not
know of each other in herd7; here both are taken everywhere, but `(*x)` is no comment: one begins
with `(*` and a space, a star or the end of the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mmsim.litmus.program import LitmusError

Kind = Literal["name", "number", "string", "mark", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    line: int

    def __str__(self) -> str:
        return "the end of the file" if self.kind == "end" else repr(self.text)


_COMMENTS = {"/*": "*/", "(*": "*)", "//": "\n"}
_OPENS = re.compile(r"/\*|//|\(\*(?=[\s*]|$)")
_WORD = re.compile(
    r"""(?P<name>[A-Za-z_]\w*)
      | (?P<number>0[xX][0-9a-fA-F]+ | \d+) [uUlL]*
      | (?P<string>"[^"\n]*")
      | (?P<mark>-> | <= | >= | == | != | && | \|\| | /\\ | \\/ | << | >>
               | \+\+ | -- | [-+*/%&|^~!<>]=
               | [-+*/%&|^~!<>=(){}\[\];,?:.])
    """,
    re.VERBOSE,
)


def without_comments(text: str, file: str) -> str:
    """The text with spaces where comments were, so that lines stay lines."""
    kept: list[str] = []
    at = 0
    while (opening := _OPENS.search(text, at)) is not None:
        kept.append(text[at : opening.start()])
        at = _end(text, opening, file)
        kept.append(re.sub(r"[^\n]", " ", text[opening.start() : at]))
    kept.append(text[at:])
    return "".join(kept)


def _end(text: str, opening: re.Match[str], file: str) -> int:
    """Where the comment that begins here ends."""
    kind = opening[0]
    closing = _COMMENTS[kind]
    if kind == "//":
        end = text.find(closing, opening.end())
        return len(text) if end < 0 else end
    depth, at = 1, opening.end()
    if kind == "(*":
        at -= 0 if text[at : at + 1] != ")" else 1
    while depth:
        end = text.find(closing, at)
        if end < 0:
            line = text.count("\n", 0, opening.start()) + 1
            raise LitmusError(file, line, f"the comment that begins here has no {closing}")
        inner = text.find(kind, at) if kind == "(*" else -1
        if 0 <= inner < end:
            depth, at = depth + 1, inner + 2
        else:
            depth, at = depth - 1, end + 2
    return at


def tokens(text: str, file: str, line: int = 1) -> list[Token]:
    """All words of a text without comments, and one that says it is over."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            line += text[at] == "\n"
            at += 1
            continue
        match = _WORD.match(text, at)
        if match is None:
            raise LitmusError(file, line, f"{text[at]!r} has no meaning in a litmus test")
        kind = match.lastgroup
        assert kind in ("name", "number", "string", "mark")
        found.append(Token(kind, match[kind], line))  # type: ignore[arg-type]
        at = match.end()
    found.append(Token("end", "", line))
    return found
