# SPDX-License-Identifier: GPL-2.0-only
"""What a student's kernel file may say.

It is kernel dialect: functions made of assignments, calls, ``if``, ``while``, ``for`` and
``return``, on structs of the kernel and with its primitives.  That is all a fix needs, and it is
looked at before anything of it is executed: whatever is not on the list is refused with its line.
So a file cannot leave the kernel it is in: no files, processes, sockets, clocks, frames, and no way
to the engine, to the seeds or to the bookkeeping that judges it.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import mmsim

ROOT = Path(mmsim.__file__).parent

BUILTINS = frozenset(
    (
        *("abs", "all", "any", "bool", "dict", "enumerate", "int", "len", "list", "max", "min"),
        *("print", "range", "reversed", "set", "sorted", "sum", "tuple", "zip"),
    )
)
NOT_KERNEL = frozenset(["spin_lock_init", "LIST_HEAD", "report", "lines", "ledger"])
"""What a fix has no business with: a lock, a list, findings of its own; who keeps the books."""

NO_ATTRIBUTE = frozenset(
    (
        *("machine", "findings", "metrics", "instruments", "gates", "execution", "rng"),
        *("cpu", "stack", "curr", "tasks", "contexts", "freed", "fresh", "history"),
        *("allocated", "allocated_local", "local", "making", "Lock", "slow", "left", "smp"),
    )
)
"""Fields of the engine and of the bookkeeping."""
MAKES_A_SCENARIO = "student_kernel"

ALLOWED = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.ImportFrom, ast.alias, ast.Expr,
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.If, ast.While, ast.For, ast.Return, ast.Break,
    ast.Continue, ast.Pass, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Store, ast.Attribute,
    ast.Constant, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.unaryop,
    ast.BinOp, ast.operator, ast.NamedExpr, ast.IfExp, ast.Tuple, ast.List, ast.Subscript,
    ast.Slice, ast.Lambda, ast.Starred, ast.Set, ast.Dict, ast.ListComp, ast.GeneratorExp,
    ast.comprehension, ast.JoinedStr, ast.FormattedValue,
)  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """``packages`` may be imported from; ``also`` are further names, as ``module.name``.
    ``fields`` are the packages, or modules, whose fields may be named, ``masks`` further ones.
    ``raw`` allows the ``v_`` fields, which a check may read and kernel code never."""

    packages: tuple[str, ...]
    fields: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    raw: bool = False
    longest: int = 20_000


def broken(source: str, rules: Rules) -> list[str]:
    """What the file may not say: ``line 3: ...``, one for each; empty if all is well."""
    if len(source) > rules.longest:
        return [f"the file has {len(source)} characters; at most {rules.longest} are read"]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        return [f"line {line or 1}: {type(error).__name__}: {getattr(error, 'msg', error)}"]
    return [f"line {line}: {what}" for line, what in sorted(set(_look(tree, rules)))]


def _look(tree: ast.Module, rules: Rules) -> Iterator[tuple[int, str]]:
    mine = {name for node in ast.walk(tree) for name in _bound(node)}
    attributes = _attributes(rules.fields) | set(rules.masks)
    for statement in tree.body:
        if not isinstance(statement, ast.ImportFrom | ast.FunctionDef | ast.Assign | ast.Expr):
            yield statement.lineno, "at the top stand imports, functions and constants only"
        if isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant):
            yield statement.lineno, "nothing may be called while the file is read"
        if isinstance(statement, ast.Assign) and not _constant(statement.value):
            yield statement.lineno, "nothing may be called while the file is read"
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        if not isinstance(node, ALLOWED):
            yield line, f"{_name(node)} does not belong in kernel code here"
        elif isinstance(node, ast.ImportFrom):
            yield from _imported(node, rules)
        elif isinstance(node, ast.FunctionDef) and node.decorator_list:
            yield line, "decorators are not needed"
        elif isinstance(node, ast.Name):
            yield from _named(node, mine)
        elif isinstance(node, ast.Attribute):
            yield from _attribute(node, attributes, rules)
        elif isinstance(node, ast.Constant) and len(str(node.value)) > 4000:
            yield line, "a constant of more than 4000 characters"


def _constant(value: ast.expr) -> bool:
    """A value without calls; or the one call that makes the file a scenario."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        names = all(isinstance(arg, ast.Name | ast.Constant) for arg in value.args)
        return value.func.id == MAKES_A_SCENARIO and names and not value.keywords
    return not any(isinstance(node, ast.Call | ast.Attribute) for node in ast.walk(value))


def _name(node: ast.AST) -> str:
    words = {"Import": "`import module`", "With": "`with`", "Try": "`try`", "ClassDef": "`class`"}
    kind = type(node).__name__
    return words.get(kind, f"`{kind.lower()}`")


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield node.asname or node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def _imported(node: ast.ImportFrom, rules: Rules) -> Iterator[tuple[int, str]]:
    module = node.module or ""
    for alias in node.names:
        if f"{module}.{alias.name}" in rules.also:
            continue
        if node.level or not any(module == p or module.startswith(p + ".") for p in rules.packages):
            allowed = ", ".join(rules.packages)
            yield node.lineno, f"`from {module} import`: allowed are {allowed}"
            return
        if alias.name not in _defined(module) or alias.name in NOT_KERNEL:
            yield node.lineno, f"{module} has no {alias.name!r} for a fix to use"
        if alias.asname and (alias.asname in BUILTINS or alias.asname.startswith("__mmsim")):
            yield node.lineno, f"`as {alias.asname}` hides what everybody knows by that name"


def _named(node: ast.Name, mine: set[str]) -> Iterator[tuple[int, str]]:
    if node.id in mine or node.id in BUILTINS:
        return
    if hasattr(builtins, node.id):
        yield node.lineno, f"{node.id!r} does not belong in kernel code here"


def _attribute(
    node: ast.Attribute, attributes: frozenset[str], rules: Rules
) -> Iterator[tuple[int, str]]:
    name = node.attr
    if name.startswith("v_"):
        if not rules.raw:
            yield node.lineno, f".{name} passes no point: kernel code says .{name[2:]}"
        elif not isinstance(node.ctx, ast.Load):
            yield node.lineno, f".{name} may be read, and not written"
    elif name in NO_ATTRIBUTE or name not in attributes or name.startswith("_"):
        yield node.lineno, f"no struct here has a field {name!r} for a fix to use"


@lru_cache(maxsize=64)
def _defined(module: str) -> frozenset[str]:
    """What a module itself defines at its top: functions and constants."""
    file = ROOT.parent / (module.replace(".", "/") + ".py")
    if not file.is_file():
        return frozenset()
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(name for name in names if not _private(name))


def _private(name: str) -> bool:
    """`_name` is; the kernel's `__name` is not, and Python's `__name__` is."""
    return name.startswith("_") and (not name.startswith("__") or name.endswith("__"))


@lru_cache(maxsize=16)
def _attributes(packages: tuple[str, ...]) -> frozenset[str]:
    """Every field that the kernel's own files of these packages name."""
    names = {"items", "values", "keys"}
    for package in packages:
        path = ROOT.parent / package.replace(".", "/")
        files = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and not node.attr.startswith("_"):
                    names.add(node.attr.removeprefix("v_"))
    return frozenset(names - NO_ATTRIBUTE)
