# SPDX-License-Identifier: GPL-2.0-only
"""A gate as a diff: the two sides of a patch, cut out of the code that runs.

A patch is written down once, as `if patched("name"):` with both sides adjacent. So the diff need
not be kept anywhere: the lines of the side that is off are the ones with a minus, those of the side
that is on have a plus. A condition that is more than the gate alone is shown as it stands.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Hunk:
    """One place where a gate makes a difference."""

    file: Path
    line: int
    function: str
    lines: tuple[str, ...]


def hunks(gate: str, files: Iterable[Path]) -> Iterator[Hunk]:
    """Every place in `files` where the gate decides something."""
    for file in files:
        text = file.read_text(encoding="utf-8")
        if f'"{gate}"' not in text and f"'{gate}'" not in text:
            continue
        source = text.splitlines()
        for function, node in _conditions(ast.parse(text)):
            if any(_is_call(call, gate) for call in ast.walk(node.test)):
                yield Hunk(file, node.lineno, function, tuple(_sides(node, gate, source)))


def _conditions(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.If | ast.IfExp]]:
    for node in ast.iter_child_nodes(tree):
        name = node.name if isinstance(node, ast.FunctionDef) else function
        if isinstance(node, ast.If | ast.IfExp):
            yield name, node
        yield from _conditions(node, name)


def _is_call(node: ast.AST, gate: str) -> bool:
    """Is this `patched("gate")`?"""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "patched"
        and any(isinstance(arg, ast.Constant) and arg.value == gate for arg in node.args)
    )


def _sides(node: ast.If | ast.IfExp, gate: str, source: list[str]) -> Iterator[str]:
    test, inverted = node.test, False
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, inverted = test.operand, True
    if not _is_call(test, gate) or isinstance(node, ast.IfExp):
        end = node.end_lineno or node.lineno
        yield from (f" {line}" for line in _dedent(source[node.lineno - 1 : end]))
        return
    on, off = (node.orelse, node.body) if inverted else (node.body, node.orelse)
    for sign, body in (("-", off), ("+", on)):
        if body:
            first, last = body[0].lineno, body[-1].end_lineno or body[-1].lineno
            yield from (f"{sign}{line}" for line in _dedent(source[first - 1 : last]))


def _dedent(lines: list[str]) -> list[str]:
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[indent:] for line in lines]
