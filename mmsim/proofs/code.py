# SPDX-License-Identifier: GPL-2.0-only
"""A hash of the program that an exploration runs, which words about the program do not change.

To explore everything again takes minutes, and most edits are to docstrings and comments.  So these,
and empty lines, are left out; everything else that ``code_hash`` looks at counts, the search itself
included, since a proof is worth no more than the search that made it.  No code of a mail thread's
``claims.py`` runs in a run.
"""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

from mmsim.run import code_files

CLAIMS = "claims.py"


@lru_cache(maxsize=32)
def program_hash(scenario_file: str) -> str:
    """Eight hex digits over the statements of everything that decides how a scenario runs."""
    digest = hashlib.sha1(usedforsecurity=False)
    for file in code_files(scenario_file):
        if file.name != CLAIMS:
            digest.update(_statements(file))
    return digest.hexdigest()[:8]


@lru_cache(maxsize=512)
def _statements(file: Path) -> bytes:
    return statements(file.read_text(encoding="utf-8")).encode()


def statements(source: str) -> str:
    """The source without docstrings, lines of comment and empty lines."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            and node.end_lineno is not None
        ):
            for number in range(node.lineno, node.end_lineno + 1):
                lines[number - 1] = ""
    kept = (line.rstrip() for line in lines)
    return "\n".join(line for line in kept if line and not line.lstrip().startswith("#"))
