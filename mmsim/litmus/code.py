# SPDX-License-Identifier: GPL-2.0-only
"""The C of one process, made into operations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from mmsim.errors import nearest
from mmsim.litmus.primitives import (
    PRIMITIVES,
    TYPES,
    UNSUPPORTED,
    Argument,
    Comparing,
    Fencing,
    Loading,
    Special,
    Storing,
    Updating,
)
from mmsim.litmus.program import (
    AddUnless,
    Assign,
    Barrier,
    Binary,
    Branch,
    CompareExchange,
    Constant,
    Expression,
    IsLocked,
    Jump,
    Load,
    Lock,
    Operation,
    Register,
    Rmw,
    Store,
    Thread,
    Unary,
    Unlock,
    Value,
)
from mmsim.litmus.stream import Stream, integer

PRECEDENCE = {
    operator: level
    for level, operators in enumerate(
        ("||", "&&", "|", "^", "&", "== !=", "< > <= >=", "<< >>", "+ -", "* / %"), start=1
    )
    for operator in operators.split()
}
NOTHING = Constant(0)
OUTSIDE = frozenset({"exists", "forall", "locations", "filter"})
_PROCESS = re.compile(r"P\d+")


class Code:
    """Reads the statements of process ``number``; ``shared`` are its parameters."""

    def __init__(
        self,
        stream: Stream,
        number: int,
        shared: frozenset[str],
        initial: Mapping[str, Value],
    ) -> None:
        self.stream = stream
        self.number = number
        self.shared = shared
        self.names: list[str] = list(initial)
        self.numbers = {name: number for number, name in enumerate(self.names)}
        self.initial = initial
        self.operations: list[Operation] = []
        self.lines: list[int] = []
        self.plain = 0

    def thread(self) -> Thread:
        """The body, braces and all."""
        self.block()
        initial = tuple(self.initial.get(name, 0) for name in self.names)
        return Thread(tuple(self.names), tuple(self.operations), tuple(self.lines), initial)

    # Statements.

    def block(self) -> None:
        opening = self.stream.expect("{")
        while not self.stream.skip("}"):
            word = self.stream.peek()
            if word.kind == "end" or word.text in OUTSIDE or _PROCESS.fullmatch(word.text):
                self.stream.fail("this '{' has no '}'", opening.line)
            self.statement()

    def statement(self) -> None:
        stream = self.stream
        token = stream.peek()
        if token.text == "{":
            self.block()
        elif stream.skip(";"):
            pass
        elif token.text in UNSUPPORTED:
            stream.fail(UNSUPPORTED[token.text])
        elif stream.skip("if"):
            self.branch()
        elif token.kind == "name" and token.text in TYPES:
            self.declaration()
        else:
            self.simple()
            stream.expect(";", after="a statement")

    def branch(self) -> None:
        stream = self.stream
        stream.expect("(", after="if")
        condition = self.expression()
        stream.expect(")", after="a condition")
        fork = self.emit(Jump(-1))
        self.statement()
        if stream.skip("else"):
            end = self.emit(Jump(-1))
            self.operations[fork] = Branch(condition, len(self.operations))
            self.statement()
            self.operations[end] = Jump(len(self.operations))
        else:
            self.operations[fork] = Branch(condition, len(self.operations))

    def declaration(self) -> None:
        stream = self.stream
        stream.type()
        while True:
            stream.stars()
            name = stream.name("the name of a local variable")
            if name.text in self.shared:
                stream.fail(f"{name.text} is a parameter of P{self.number} already", name.line)
            if stream.sees("["):
                stream.fail("arrays are not supported; use a variable for each element")
            target = self.local(name.text)
            if stream.skip("="):
                self.assign(target, self.expression())
            if not stream.skip(","):
                break
        stream.expect(";", after="a declaration")

    def simple(self) -> None:
        """An assignment or a call."""
        stream = self.stream
        token = stream.peek()
        if stream.skip("*"):
            address = self.unary()
            stream.expect("=", after="what to store to")
            self.plain += 1
            self.emit(Store(address, self.expression()), token.line)
            return
        if token.kind == "name" and stream.peek(1).text == "=":
            stream.at += 2
            if token.text in self.shared:
                stream.fail(
                    f"{token.text} is an address; to store there, write *{token.text}", token.line
                )
            # The right side first: it may be what the name is declared for.
            value = self.expression()
            self.assign(self.local(token.text), value)
            return
        if token.kind == "name" and stream.peek(1).text in (
            "++",
            "--",
            "+=",
            "-=",
            "&=",
            "|=",
            "^=",
        ):
            stream.fail(
                f"{stream.peek(1).text} is not supported; write {token.text} = {token.text} ..."
            )
        if token.kind == "name" and stream.peek(1).text in ("[", "->", "."):
            stream.fail("arrays and structures are not supported; use a variable for each part")
        if token.text == "(" and stream.peek(1).text == "void":
            stream.cast()
            token = stream.peek()
        if token.kind == "name" and stream.peek(1).text == "(":
            self.call()
            return
        stream.fail(f"expected a statement, found {token}")

    def assign(self, target: int, value: Expression) -> None:
        last = self.operations[-1] if self.operations else None
        if (
            isinstance(last, Load)
            and value == Register(last.target)
            and self.names[last.target].startswith("$")
        ):  # `r0 = READ_ONCE(*x)` needs no register between
            self.operations[-1] = Load(target, last.address, last.order, last.dereference)
        else:
            self.emit(Assign(target, value))

    # Expressions. An access in one becomes an operation before it, and its value a register.

    def expression(self, above: int = 0) -> Expression:
        left = self.unary()
        while True:
            operator = self.stream.peek()
            if operator.text == "?":
                self.stream.fail("?: is not supported; use if and else")
            level = PRECEDENCE.get(operator.text, 0)
            if operator.kind != "mark" or level <= above:
                return left
            self.stream.next()
            if operator.text in ("&&", "||"):
                left = self.short_circuit(operator.text, left, level)
            else:
                left = Binary(operator.text, left, self.expression(level))

    def short_circuit(self, operator: str, left: Expression, level: int) -> Expression:
        """A right side that accesses memory does so only if it is asked: a branch."""
        before = self.stream.at, len(self.operations), len(self.names)
        right = self.expression(level)
        if len(self.operations) == before[1]:
            return Binary(operator, left, right)
        self.stream.at = before[0]
        del self.operations[before[1] :], self.lines[before[1] :], self.names[before[2] :]
        self.numbers = {name: number for number, name in enumerate(self.names)}
        result = self.temporary()
        self.emit(Assign(result, Binary("!=", left, NOTHING)))
        fork = self.emit(Jump(-1))
        self.emit(Assign(result, Binary("!=", self.expression(level), NOTHING)))
        asked: Expression = Register(result)
        if operator == "||":
            asked = Unary("!", asked)
        self.operations[fork] = Branch(asked, len(self.operations))
        return Register(result)

    def unary(self) -> Expression:
        stream = self.stream
        stream.cast()
        token = stream.peek()
        if token.text in ("!", "~", "-") and token.kind == "mark":
            stream.next()
            return Unary(token.text, self.unary())
        if stream.skip("*"):
            address = self.unary()
            self.plain += 1
            return self.load(address, token.line)
        if stream.skip("&"):
            if stream.skip("*"):
                return self.unary()
            name = stream.name("a variable after &")
            stream.fail(
                f"&{name.text}: a shared variable is its own address here; write {name.text}"
            )
        if stream.skip("("):
            inner = self.expression()
            stream.expect(")")
            return inner
        if token.kind == "number":
            return Constant(integer(stream.next().text))
        if token.kind == "name":
            if token.text in UNSUPPORTED:
                stream.fail(UNSUPPORTED[token.text])
            if stream.peek(1).text == "(":
                return self.call()
            if stream.peek(1).text in ("[", "->", "."):
                stream.fail("arrays and structures are not supported; use a variable for each part")
            stream.next()
            return self.variable(token.text, token.line)
        return stream.fail(f"expected a value, found {token}")

    def variable(self, name: str, line: int) -> Expression:
        if name in self.shared:
            return Constant(name)
        if name == "NULL":
            return NOTHING
        if name not in self.numbers:
            self.stream.fail(
                f"{name} is neither a parameter nor a local variable of P{self.number}"
                f"{nearest(name, [*self.shared, *self.visible()])}",
                line,
            )
        return Register(self.numbers[name])

    def call(self) -> Expression:
        stream = self.stream
        token = stream.next()
        primitive = PRIMITIVES.get(token.text)
        if primitive is None:
            what = UNSUPPORTED.get(token.text, f"there is no {token.text}()")
            hint = "" if token.text in UNSUPPORTED else _functions_like(token.text)
            stream.fail(f"{what}{hint}", token.line)
        given = self.arguments(token.text, primitive.takes)
        line = token.line
        if isinstance(primitive, Loading):
            return self.load(given[0], line, primitive)
        if isinstance(primitive, Storing):
            if primitive.order == "full":
                self.emit(Store(given[0], given[1]), line)
                self.emit(Barrier("mb"), line)
            else:
                self.emit(Store(given[0], given[1], primitive.order), line)
            return NOTHING
        if isinstance(primitive, Fencing):
            if primitive.fence is not None:
                self.emit(Barrier(primitive.fence), line)
            return NOTHING
        target = self.temporary()
        result = Register(target)
        if isinstance(primitive, Updating):
            return self.update(primitive, given, target, line)
        if isinstance(primitive, Comparing):
            self.emit(CompareExchange(target, given[0], given[1], given[2], primitive.order), line)
            return result
        return self.special(primitive, given, target, line)

    def update(
        self, primitive: Updating, given: list[Expression], target: int, line: int
    ) -> Expression:
        kinds = dict(zip(primitive.takes, given, strict=True))
        operand = kinds.get("value", Constant(1))
        old = primitive.gives in ("old", "nothing")
        self.emit(
            Rmw(
                target,
                kinds["pointer"],
                primitive.operator,
                operand,
                primitive.order,
                "old" if old else "new",
            ),
            line,
        )
        if primitive.gives == "test":
            return Binary("==", Register(target), NOTHING)
        if primitive.gives == "negative":
            return Binary("<", Register(target), NOTHING)
        return Register(target)

    def special(
        self, primitive: Special, given: list[Expression], target: int, line: int
    ) -> Expression:
        match primitive.what:
            case "lock":
                self.emit(Lock(given[0]), line)
            case "unlock":
                self.emit(Unlock(given[0]), line)
            case "trylock":
                self.emit(Lock(given[0], target), line)
            case "is-locked":
                self.emit(IsLocked(target, given[0]), line)
            case "add-unless":
                self.emit(AddUnless(target, given[0], given[1], given[2]), line)
        return Register(target)

    def arguments(self, function: str, takes: tuple[Argument, ...]) -> list[Expression]:
        stream = self.stream
        stream.expect("(")
        given: list[Expression] = []
        for kind in takes:
            if given:
                stream.expect(",", after=f"an argument of {function}(), which takes {len(takes)}")
            if kind == "object":
                if not stream.skip("*"):
                    stream.fail(
                        f"{function}() takes an object as in {function}(*x), not an address"
                    )
                given.append(self.unary())
            else:
                given.append(self.expression())
        stream.expect(")", after=f"the {len(takes)} argument(s) of {function}()")
        return given

    # Registers and operations.

    def load(
        self,
        address: Expression,
        line: int,
        how: Loading = Loading(("pointer",)),  # noqa: B008
    ) -> Expression:
        target = self.temporary()
        self.emit(Load(target, address, how.order, how.dereference), line)
        return Register(target)

    def local(self, name: str) -> int:
        if name not in self.numbers:
            self.numbers[name] = len(self.names)
            self.names.append(name)
        return self.numbers[name]

    def temporary(self) -> int:
        return self.local(f"${len(self.names)}")

    def visible(self) -> list[str]:
        return [name for name in self.names if not name.startswith("$")]

    def emit(self, operation: Operation, line: int | None = None) -> int:
        self.operations.append(operation)
        self.lines.append(self.stream.peek().line if line is None else line)
        return len(self.operations) - 1


def _functions_like(name: str) -> str:
    """The functions that may have been meant; upper and lower case count as the same."""
    known = {function.lower(): function for function in PRIMITIVES}
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)
    return f" (nearest: {', '.join(known[word] for word in close)})" if close else ""
