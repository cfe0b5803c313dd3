# SPDX-License-Identifier: GPL-2.0-only
"""Imports run one way.

    stress, cli, claims, exploration -> run -> scenarios -> kernel files -> linux -> engine
                        '-> report -> detect -> engine.events

A layer may use what stands in its row and nothing else of mmsim. The rows are as narrow as the code
allows: whoever needs a wider one changes this table, in sight of everybody, and not the code alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mmsim"

ERRORS = "mmsim.errors"
FINDING = "mmsim.detect.finding"
VERSION = "mmsim.__version__"
KERNEL = "kernel"
"""Stands for every kernel file: the flat ones and those of 2.4 and 3.13."""

TOP = ("mmsim.stress", "mmsim.cli", "mmsim.claims", "mmsim.ablation", "mmsim.exploration")
ALLOWED: dict[str, tuple[str, ...]] = {
    "mmsim.errors": (),
    "mmsim.engine": ("mmsim.engine",),
    "mmsim.detect": ("mmsim.detect", "mmsim.engine.events"),
    "mmsim.model": ("mmsim.model", "mmsim.engine"),
    "mmsim.native": ("mmsim.native", ERRORS),
    "mmsim.linux": ("mmsim.linux", "mmsim.model", "mmsim.engine", FINDING),
    KERNEL: (KERNEL, "mmsim.linux", "mmsim.model", "mmsim.engine", FINDING),
    "mmsim.scenarios": (
        "mmsim.scenarios",
        KERNEL,
        "mmsim.linux",
        "mmsim.model",
        "mmsim.engine",
        ERRORS,
    ),
    "mmsim.litmus": ("mmsim.litmus", "mmsim.engine.memory", ERRORS),
    "mmsim.report": ("mmsim.report", FINDING, "mmsim.engine.events", VERSION),
    "mmsim.report.record": (  # it listens to a run, and makes of it the values that the rest reads
        "mmsim.report",
        "mmsim.engine",
        "mmsim.model.cite",
        FINDING,
    ),
    "mmsim.report.sentence": (  # what a context is about to do is an operation, and no event yet
        "mmsim.report",
        "mmsim.engine.events",
        "mmsim.engine.op",
    ),
    "mmsim.play": (
        "mmsim.play",
        "mmsim.report",
        "mmsim.run",
        "mmsim.scenarios",
        "mmsim.engine",
        FINDING,
        ERRORS,
    ),
    "mmsim.run": (
        "mmsim.scenarios.api",
        "mmsim.linux",
        "mmsim.model",
        "mmsim.engine",
        "mmsim.detect",
        ERRORS,
    ),
    "mmsim.proofs": ("mmsim.proofs", "mmsim.run", "mmsim.scenarios", "mmsim.engine", ERRORS),
    "mmsim.stress": (
        "mmsim.stress",
        "mmsim.proofs",
        "mmsim.run",
        "mmsim.scenarios",
        "mmsim.report",
        "mmsim.engine.door",
        "mmsim.engine.explore.shrink",
        "mmsim.engine.memory.weak",
        "mmsim.engine.policy",
        "mmsim.engine.schedule",
        FINDING,
        ERRORS,
        "mmsim",
        VERSION,
    ),
    "mmsim.claims": (
        "mmsim.claims",
        "mmsim.stress",
        "mmsim.run",
        "mmsim.scenarios",
        "mmsim.engine.policy",
        FINDING,
        ERRORS,
    ),
    "mmsim.exploration": (
        "mmsim.exploration",
        "mmsim.stress.source",
        "mmsim.run",
        "mmsim.scenarios",
        "mmsim.engine",
        ERRORS,
    ),
    "mmsim.rare": (
        "mmsim.rare",
        "mmsim.stress.source",
        "mmsim.run",
        "mmsim.scenarios",
        "mmsim.model.cite",
        "mmsim.engine",
        FINDING,
        ERRORS,
    ),
    "mmsim.scenarios.*.claims": ("mmsim.claims.model",),
    "mmsim.scenarios.*.levels": ("mmsim.rare.levels",),
    "mmsim.ablation": (
        "mmsim.ablation",
        "mmsim.exploration",
        "mmsim.proofs",
        "mmsim.stress",
        "mmsim.run",
        "mmsim.scenarios",
        "mmsim.model.gate",
        "mmsim.engine.door",
        "mmsim.engine.instruments",
        "mmsim.engine.policy",
        ERRORS,
        "mmsim",
    ),
    # A student's kernel may use what a kernel file may, and the kit.
    "mmsim.labs": (
        "mmsim.labs",
        "mmsim.litmus",
        "mmsim.run",
        "mmsim.scenarios",
        KERNEL,
        "mmsim.linux",
        "mmsim.model",
        "mmsim.engine",
        FINDING,
        ERRORS,
        "mmsim",
    ),
    "mmsim.cli": (
        *TOP,
        "mmsim.proofs",
        "mmsim.rare",
        "mmsim.labs",
        "mmsim.litmus",
        "mmsim.native",
        "mmsim.play",
        "mmsim.run",
        "mmsim.scenarios",
        "mmsim.linux",
        "mmsim.model",
        "mmsim.engine",
        "mmsim.report",
        FINDING,
        ERRORS,
        "mmsim",
    ),
    "mmsim.__main__": ("mmsim.cli", "mmsim.stress"),
    "mmsim.pytest_plugin": (*TOP, "mmsim.scenarios", "mmsim.report", "mmsim.run", FINDING, ERRORS),
    "mmsim.__init__": ("mmsim.native",),  # before anything else is imported
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 2:
            parts = parts[:-1]
        yield ".".join(parts), path


def layer(module: str) -> str:
    """The row of the table a module belongs to.

    A mail thread's claims stand in its folder, and stand on the runs: nothing there imports them.
    So do its levels.
    """
    if module in ALLOWED:
        return module
    for name in ("claims", "levels"):
        if module.startswith("mmsim.scenarios.s") and module.endswith(f".{name}"):
            return f"mmsim.scenarios.*.{name}"
    head = ".".join(module.split(".")[:2])
    return head if head in ALLOWED else KERNEL


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module of mmsim that a file names, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "mmsim":
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            module = node.module or ""
            if module == "mmsim":
                yield from ((node.lineno, f"mmsim.{alias.name}") for alias in node.names)
            elif module.startswith("mmsim."):
                yield node.lineno, module


def allowed(module: str, imported: str) -> bool:
    for entry in ALLOWED[layer(module)]:
        if entry == KERNEL and layer(imported) == KERNEL and imported != VERSION:
            return True
        if imported == entry or (entry != "mmsim" and imported.startswith(f"{entry}.")):
            return True
    return False


def crossings(module: str, text: str) -> list[str]:
    return [
        f"{module}:{line} imports {imported}, which {layer(module)} may not know"
        for line, imported in imports(ast.parse(text))
        if not allowed(module, imported)
    ]


def test_imports_run_one_way() -> None:
    found = [line for module, path in modules() for line in crossings(module, path.read_text())]
    assert not found, "\n".join(found)


def test_every_package_has_a_row() -> None:
    packages = {f"mmsim.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")}
    assert packages - {"mmsim.v2_4", "mmsim.v3_13"} <= ALLOWED.keys()


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("mmsim.engine.door", "from mmsim.linux.bug import report"),
        ("mmsim.engine.door", "import mmsim.page"),
        ("mmsim.linux.list", "from mmsim import page"),
        ("mmsim.linux.list", "from mmsim.report import render"),
        ("mmsim.detect.finding", "from mmsim.engine.machine import Machine"),
        ("mmsim.report.oops", "from mmsim.linux.list import list_del"),
        ("mmsim.vmscan", "def f():\n    from mmsim.scenarios.api import Variant"),
        ("mmsim.v2_4.vmscan", "from mmsim.stress.plan import cut"),
        ("mmsim.scenarios.s002_double_free_2002", "from mmsim.run import Runner"),
        ("mmsim.run", "from mmsim.stress.plan import cut"),
        ("mmsim.stress.plan", "from mmsim.cli import main"),
    ],
)
def test_the_test_notices(module: str, line: str) -> None:
    assert crossings(module, line)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("mmsim.vmscan", "from mmsim.page_alloc import free_hot_cold_page"),
        ("mmsim.vmscan", "from mmsim.v2_4 import page"),
        ("mmsim.v2_4.vmscan", "from mmsim.linux.spinlock import spin_lock"),
        ("mmsim.scenarios.s000_lock_swap", "from mmsim import lru"),
        ("mmsim.stress.store", "import mmsim"),
    ],
)
def test_and_lets_pass_what_is_right(module: str, line: str) -> None:
    assert not crossings(module, line)


def test_kernel_files_import_at_the_top_and_nowhere_else() -> None:
    """A late import hides a cycle; those of the C are broken in one place, in sight."""
    found = []
    for module, path in modules():
        if layer(module) not in (KERNEL, "mmsim.linux", "mmsim.engine"):
            continue
        tree = ast.parse(path.read_text())
        top = {id(node) for node in tree.body}
        for node in tree.body:  # `if TYPE_CHECKING:` is for readers and checkers only
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                top |= {id(inner) for inner in node.body}
        found += [
            f"{module}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in top
        ]
    assert not found, f"imports inside functions: {found}"
