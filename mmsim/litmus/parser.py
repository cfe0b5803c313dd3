# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's litmus format: name, initial state, processes, what to show, condition.

Source: tools/memory-model/Documentation/litmus-tests.txt. Where herd7 takes a doubtful name for
something new (a variable missing among the parameters becomes a local one, a register that does not
exist is 0), this parser complains.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from mmsim.errors import UsageError, nearest
from mmsim.litmus.code import Code
from mmsim.litmus.lexer import tokens, without_comments
from mmsim.litmus.program import (
    And,
    Equal,
    Litmus,
    LitmusError,
    Not,
    Or,
    Place,
    Proposition,
    Quantifier,
    RegisterName,
    Thread,
    Value,
    Variable,
    Verdict,
    places,
)
from mmsim.litmus.stream import Stream

_HEADER = re.compile(r"\s*(\S+)[ \t]+(\S+)[^\n]*")
_EXPECTED = re.compile(r"\bResult:\s*(Never|Sometimes|Always)\b")
_PROCESS = re.compile(r"P(\d+)")


def read(file: str) -> Litmus:
    """Parse a file. Raises UsageError: what was wrong and what is allowed."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {file!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: this is not text in UTF-8") from error
    return parse(text, file)


def parse(text: str, file: str = "litmus test") -> Litmus:
    """Parse a text; ``file`` is how messages call it."""
    expected = _EXPECTED.search(text)
    clean = without_comments(text, file)
    header = _HEADER.match(clean)
    if header is None:
        raise LitmusError(file, 1, "expected 'C' and the name of the test in the first line")
    line = clean.count("\n", 0, header.start(1)) + 1
    if header[1] != "C":
        raise LitmusError(
            file, line, f"{header[1]!r} is no kind of test known here; allowed: C, the kernel's"
        )
    start = clean.find("{", header.end())
    if start < 0:
        raise LitmusError(file, line, "no initial state; an empty one is {}")
    stream = Stream(tokens(clean[start:], file, clean.count("\n", 0, start) + 1), file)
    return _Parser(stream, header[2], expected[1] if expected else None).litmus()


class _Parser:
    def __init__(self, stream: Stream, name: str, expected: str | None) -> None:
        self.stream = stream
        self.name = name
        self.expected = cast("Verdict | None", expected)
        self.shared: dict[str, Value] = {}
        self.preset: dict[int, dict[str, Value]] = {}
        self.pointers: list[tuple[str, int]] = []
        """Names whose address was taken, with lines: to become variables."""
        self.threads: list[Thread] = []
        self.observed: list[Place] = []
        self.filter: Proposition | None = None
        self.plain = 0

    def litmus(self) -> Litmus:
        self.initial_state()
        while self.stream.peek().kind == "name" and _PROCESS.fullmatch(self.stream.peek().text):
            self.process()
        if not self.threads:
            self.stream.fail(f"expected a process, P0(...), found {self.stream.peek()}")
        for number in self.preset:
            if number >= len(self.threads):
                self.stream.fail(f"the initial state speaks of P{number}, which does not exist")
        try:
            quantifier, condition = self.rest()
            self.observed += places(condition)
        except RecursionError:
            self.stream.fail("the condition is nested too deeply")
        return Litmus(
            file=self.stream.file,
            name=self.name,
            initial=dict(self.shared),
            threads=tuple(self.threads),
            quantifier=quantifier,
            condition=condition,
            filter=self.filter,
            observed=tuple(sorted(set(self.observed), key=_order)),
            expected=self.expected,
            plain=self.plain,
        )

    # { x=1; int *y=&x; 0:r1=x; }

    def initial_state(self) -> None:
        stream = self.stream
        stream.expect("{")
        while not stream.skip("}"):
            if stream.skip(";"):
                continue
            if stream.peek().kind == "number" and stream.peek(1).text == ":":
                thread = stream.number()
                stream.next()
                stream.type()
                stream.stars()
                register = stream.name("a register")
                stream.expect("=", after="a register")
                self.preset.setdefault(thread, {})[register.text] = self.initial_value()
            else:
                self.initial_variable()
            if not stream.sees("}"):
                stream.expect(";", "}", after="an initial value")
        for name, _ in self.pointers:
            self.shared.setdefault(name, 0)

    def initial_variable(self) -> None:
        stream = self.stream
        stream.type()
        stream.stars()
        bracket = stream.skip("[")
        name = stream.name("a variable, or a register as in 0:r1")
        if bracket:
            stream.expect("]")
        elif stream.sees("["):
            stream.fail("arrays are not supported; use a variable for each element")
        self.shared[name.text] = self.initial_value() if stream.skip("=") else 0

    def initial_value(self) -> Value:
        if self.stream.sees("{"):
            self.stream.fail(
                "arrays and structures are not supported; use a variable for each part"
            )
        value, token = self.stream.constant()
        if isinstance(value, str):
            self.pointers.append((value, token.line))
        return value

    # P0(int *x, int *y) { ... }

    def process(self) -> None:
        stream = self.stream
        token = stream.next()
        number = len(self.threads)
        if token.text != f"P{number}":
            stream.fail(f"expected P{number}, found {token}: they count from 0", token.line)
        stream.expect("(")
        parameters: list[str] = []
        preset = self.preset.get(number, {})
        while not stream.skip(")"):
            stream.type()
            stars = stream.stars()
            stream.type()
            name = stream.name("a parameter")
            if not stars and name.text not in preset:
                stream.fail(
                    f"{name.text}: a process takes addresses of shared variables, int *{name.text}",
                    name.line,
                )
            if name.text not in preset:
                parameters.append(name.text)
                self.shared.setdefault(name.text, 0)
            if not stream.sees(")"):
                stream.expect(",", ")", after="a parameter")
        code = Code(stream, number, frozenset(parameters), preset)
        try:
            self.threads.append(code.thread())
        except RecursionError:
            stream.fail("the code is nested too deeply")
        self.plain += code.plain

    # locations [x; 0:r1] filter (...) exists (...)

    def rest(self) -> tuple[Quantifier, Proposition]:
        stream = self.stream
        while True:
            token = stream.peek()
            if stream.skip("locations"):
                self.locations()
            elif stream.skip("filter"):
                self.filter = self.disjunction()
            elif token.text in ("exists", "forall") or stream.sees("~", "exists"):
                break
            elif token.kind == "end":
                stream.fail("no condition; allowed: exists, ~exists, forall")
            else:
                allowed = (
                    f"a process P{len(self.threads)}, locations, filter, exists, ~exists, forall"
                )
                stream.fail(f"expected one of {allowed}; found {token}")
        negated = stream.skip("~")
        word = stream.next().text
        condition = self.disjunction()
        if stream.peek().kind != "end":
            stream.fail(f"expected the end of the file after the condition, found {stream.peek()}")
        return cast("Quantifier", f"~{word}" if negated else word), condition

    def locations(self) -> None:
        stream = self.stream
        stream.expect("[", after="locations")
        while not stream.skip("]"):
            stream.skip("*")
            self.observed.append(self.place())
            if not stream.sees("]"):
                stream.expect(";", "]", after="a location")

    def disjunction(self) -> Proposition:
        parts = [self.conjunction()]
        while self.stream.skip("\\/"):
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def conjunction(self) -> Proposition:
        parts = [self.atom()]
        while self.stream.skip("/\\"):
            parts.append(self.atom())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def atom(self) -> Proposition:
        stream = self.stream
        if stream.skip("("):
            inner = self.disjunction()
            stream.expect(")", after="a condition")
            return inner
        if stream.skip("~") or stream.skip("not"):
            return Not(self.atom())
        if stream.sees("true") or stream.sees("false"):
            return And(()) if stream.next().text == "true" else Or(())
        left = self.place()
        operator = stream.expect("=", "==", "!=", after=str(left)).text
        right: Value | Place
        if stream.peek().kind == "number" and stream.peek(1).text == ":":
            right = self.place()
        else:
            right, token = stream.constant()
            if isinstance(right, str) and right not in self.shared:
                self.unknown(right, token.line)
        return Not(Equal(left, right)) if operator == "!=" else Equal(left, right)

    def place(self) -> Place:
        stream = self.stream
        if stream.peek().kind == "number":
            line = stream.peek().line
            thread = stream.number()
            stream.expect(":", after="the number of a process")
            if thread >= len(self.threads):
                stream.fail(f"there is no P{thread}; the last is P{len(self.threads) - 1}", line)
            register = stream.name("a register")
            if register.text not in self.threads[thread].registers:
                known = [name for name in self.threads[thread].registers if name[0] != "$"]
                stream.fail(
                    f"P{thread} has no local variable {register.text}"
                    f"{nearest(register.text, known)}",
                    register.line,
                )
            return RegisterName(thread, register.text)
        bracket = stream.skip("[")
        name = stream.name("a variable, or a register as in 0:r1")
        if bracket:
            stream.expect("]")
        elif stream.sees("["):
            stream.fail("arrays are not supported; use a variable for each element")
        if name.text not in self.shared:
            self.unknown(name.text, name.line)
        return Variable(name.text)

    def unknown(self, name: str, line: int) -> None:
        self.stream.fail(f"no shared variable {name}{nearest(name, self.shared)}", line)


def _order(place: Place) -> tuple[int, int, str]:
    """Registers by process and name, then variables by name."""
    if isinstance(place, RegisterName):
        return 0, place.thread, place.name
    return 1, 0, place.name
