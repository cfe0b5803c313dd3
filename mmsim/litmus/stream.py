# SPDX-License-Identifier: GPL-2.0-only
"""Tokens one after the other, and complaints that say where."""

from __future__ import annotations

from typing import NoReturn

from mmsim.litmus.lexer import Token
from mmsim.litmus.primitives import TYPES, UNSUPPORTED
from mmsim.litmus.program import LitmusError, Value


class Stream:
    def __init__(self, tokens: list[Token], file: str) -> None:
        self.tokens, self.file, self.at = tokens, file, 0

    def fail(self, message: str, line: int | None = None) -> NoReturn:
        raise LitmusError(self.file, self.peek().line if line is None else line, message)

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def sees(self, *texts: str) -> bool:
        """Whether these words come next."""
        return all(self.peek(ahead).text == text for ahead, text in enumerate(texts))

    def skip(self, text: str) -> bool:
        """Take this word if it comes next."""
        if self.sees(text) and self.peek().kind != "end":
            self.at += 1
            return True
        return False

    def expect(self, *texts: str, after: str = "") -> Token:
        token = self.peek()
        if token.kind == "end" or token.text not in texts:
            wanted = " or ".join(repr(text) for text in texts)
            self.fail(f"expected {wanted}{f' after {after}' if after else ''}, found {token}")
        return self.next()

    def name(self, what: str) -> Token:
        token = self.peek()
        if token.kind != "name":
            self.fail(f"expected {what}, found {token}")
        if token.text in UNSUPPORTED:
            self.fail(UNSUPPORTED[token.text])
        return self.next()

    def number(self) -> int:
        token = self.peek()
        if token.kind != "number":
            self.fail(f"expected a number, found {token}")
        return integer(self.next().text)

    def type(self) -> bool:
        """Skip the words of a type, without its stars. Returns whether there were any."""
        found = False
        while self.peek().kind == "name":
            if self.peek().text in ("struct", "union"):
                self.fail(UNSUPPORTED["struct"])
            if self.peek().text not in TYPES:
                break
            self.next()
            found = True
        return found

    def stars(self) -> int:
        count = 0
        while self.skip("*"):
            count += 1
        return count

    def cast(self) -> None:
        """Skip `(int *)` if it comes next."""
        if self.sees("(") and self.peek(1).text in TYPES:
            self.next()
            self.type()
            self.stars()
            self.expect(")")

    def constant(self) -> tuple[Value, Token]:
        """A number, or the address of a variable: `x` or `&x`."""
        self.cast()
        first = self.peek()
        if self.skip("-"):
            return -self.number(), first
        if first.kind == "number":
            return self.number(), first
        self.skip("&")
        name = self.name("a number or a variable")
        if name.text == "NULL":
            return 0, first
        if name.text == "ATOMIC_INIT":
            self.expect("(")
            value = -self.number() if self.skip("-") else self.number()
            self.expect(")")
            return value, first
        return name.text, first


def integer(text: str) -> int:
    """A number as C has it; a leading 0 makes it octal."""
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    if len(text) > 1 and text[0] == "0" and set(text) <= set("01234567"):
        return int(text, 8)
    return int(text)
