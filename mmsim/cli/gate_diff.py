# SPDX-License-Identifier: GPL-2.0-only
"""A gate as a diff: the function without it and with it, made from the code that runs.

A patch is written down once, as `if patched("name"):` with both sides adjacent, and a function may
have several patches in it. So each function is printed twice, with every `patched()` answered as
the variant answers it, once without and once with the gate; the difference is the patch as
somebody reads it who has the kernel of that variant before him. Nothing has to be kept up to date.

What is only counted, for the metrics, is no part of a patch and left out.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CONTEXT = 2
INDENT = "    "
_COUNTED = re.compile(r"(?:\w+\.)*count\(['\"]")


@dataclass(frozen=True)
class Hunk:
    """One place where a gate makes a difference."""

    file: Path
    line: int
    function: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Line:
    text: str
    number: int


def hunks(gate: str, files: Iterable[Path], gates: Collection[str] = ()) -> Iterator[Hunk]:
    """Every place in ``files`` where the gate decides something, beside the variant's ``gates``."""
    without = frozenset(gates) - {gate}
    for file in files:
        text = file.read_text(encoding="utf-8")
        if f'"{gate}"' not in text and f"'{gate}'" not in text:
            continue
        source = text.splitlines()
        for function in _functions(ast.parse(text)):
            off = list(_Printer(source, without).body(function.body, 0, function.lineno))
            on = list(_Printer(source, without | {gate}).body(function.body, 0, function.lineno))
            for line, changed in _difference(off, on):
                yield Hunk(file, line, function.name, changed)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node)


def _difference(off: Sequence[_Line], on: Sequence[_Line]) -> Iterator[tuple[int, tuple[str, ...]]]:
    matcher = difflib.SequenceMatcher(
        None, [line.text for line in off], [line.text for line in on], autojunk=False
    )
    for group in matcher.get_grouped_opcodes(CONTEXT):
        lines: list[str] = []
        first = 0
        for what, i1, i2, j1, j2 in group:
            if what == "equal":
                lines += (f" {line.text}" for line in off[i1:i2])
                continue
            lines += (f"-{line.text}" for line in off[i1:i2])
            lines += (f"+{line.text}" for line in on[j1:j2])
            first = first or (on[j1:j2] or off[i1:i2])[0].number
        margin = min(len(line[1:]) - len(line[1:].lstrip()) for line in lines)
        yield first, tuple(line[0] + line[1 + margin :] for line in lines)


class _Answer(ast.NodeTransformer):
    """Put in the answers, and leave out what they decide."""

    def __init__(self, gates: frozenset[str]) -> None:
        self.gates = gates

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "patched":
            asked = node.args[0]
            return ast.Constant(isinstance(asked, ast.Constant) and asked.value in self.gates)
        return self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        known = _known(node.operand)
        if known is None or not isinstance(node.op, ast.Not):
            return node
        return ast.Constant(not known)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        decisive = isinstance(node.op, ast.Or)  # True decides an or, False an and
        if any(_known(value) is decisive for value in node.values):
            return ast.Constant(decisive)
        open_ = [value for value in node.values if _known(value) is None]
        if not open_:
            return ast.Constant(not decisive)
        return open_[0] if len(open_) == 1 else ast.BoolOp(node.op, open_)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        known = _known(node.test)
        return node if known is None else node.body if known else node.orelse


def _known(node: ast.AST) -> bool | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return node.value
    return None


class _Printer:
    """A function's statements as lines, for one set of gates."""

    def __init__(self, source: list[str], gates: frozenset[str]) -> None:
        self.source = source
        self.gates = gates

    def body(self, statements: Sequence[ast.stmt], depth: int, after: int) -> Iterator[_Line]:
        """``after`` is the line before which no comment belongs to the first statement."""
        for place, statement in enumerate(statements):
            shown = [] if _left_out(statement, place) else list(self._statement(statement, depth))
            if shown:
                yield from self._comments(after, statement.lineno, depth)
                yield from shown
            after = statement.end_lineno or statement.lineno

    def _statement(self, node: ast.stmt, depth: int) -> Iterator[_Line]:
        if isinstance(node, ast.If):
            yield from self._chain(node, depth)
        elif isinstance(node, ast.For | ast.While | ast.With):
            head = node.body[0].lineno - 1
            while self.source[head - 1].lstrip().startswith("#"):
                head -= 1
            yield from self._raw(node, head, depth)
            yield from self.body(node.body, depth + 1, head)
        elif "patched(" in ast.unparse(node):
            answered = _Answer(self.gates).visit(ast.parse(ast.unparse(node)).body[0])
            for line in ast.unparse(answered).splitlines():
                yield _Line(INDENT * depth + line, node.lineno)
        else:
            yield from self._raw(node, node.end_lineno or node.lineno, depth)

    def _chain(self, node: ast.If, depth: int) -> Iterator[_Line]:
        """if, elif, else: what is never so is left out, and what is always so ends the chain."""
        branches = list(self._open(node))
        if branches and branches[0][0] is None:
            yield from self.body(branches[0][1], depth, branches[0][2])
            return
        printed = [list(self.body(body, depth + 1, line)) for _, body, line in branches]
        while printed and not printed[-1]:
            printed.pop()
        for place, inside in enumerate(printed):
            test, _, line = branches[place]
            word = "elif" if place else "if"
            head = "else:" if test is None else f"{word} {ast.unparse(test)}:"
            yield _Line(INDENT * depth + head, line)
            yield from inside or [_Line(f"{INDENT * (depth + 1)}pass", line)]

    def _open(self, node: ast.If) -> Iterator[tuple[ast.expr | None, list[ast.stmt], int]]:
        """The branches that can be taken, each with what it still depends on."""
        asked = ast.parse(ast.unparse(node.test), mode="eval").body
        test = _Answer(self.gates).visit(asked)
        line = node.test.end_lineno or node.lineno
        known = _known(test)
        if known is not False:
            yield None if known else test, node.body, line
        if known:
            return
        if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            yield from self._open(node.orelse[0])
        elif node.orelse:
            yield None, node.orelse, node.orelse[0].lineno - 1

    def _raw(self, node: ast.stmt, last: int, depth: int) -> Iterator[_Line]:
        for number in range(node.lineno, last + 1):
            line = self.source[number - 1]
            kept = line[node.col_offset :] if number > node.lineno else line.lstrip()
            yield _Line(f"{INDENT * depth}{kept}".rstrip(), number)

    def _comments(self, after: int, before: int, depth: int) -> Iterator[_Line]:
        for number in range(after + 1, before):
            line = self.source[number - 1].strip()
            if line.startswith("#"):
                yield _Line(INDENT * depth + line, number)


def _left_out(statement: ast.stmt, place: int) -> bool:
    """The docstring, what is there for Python, and what is only counted."""
    if isinstance(statement, ast.Pass):
        return True
    if not isinstance(statement, ast.Expr):
        return False
    if isinstance(statement.value, ast.Constant):
        return place == 0
    return _COUNTED.match(ast.unparse(statement)) is not None
