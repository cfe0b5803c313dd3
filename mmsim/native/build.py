# SPDX-License-Identifier: GPL-2.0-only
"""Builds what the finder finds: mypyc, then the C compiler, in a folder of their own.

They work on a copy of the package, so that neither a configuration nor a cache of the checkout has
a part in it, and what they leave behind is gone with the copy.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from mmsim.errors import UsageError
from mmsim.native.finder import MODULES, PACKAGE, modules

SETUP = """\
import sys
from mypyc.build import mypycify
from setuptools import setup

out, *files = sys.argv[1:]
made = mypycify(files, opt_level="3")
print("mmsim: translated", flush=True)
setup(name="mmsim-native", packages=[], py_modules=[], ext_modules=made,
      script_args=["--quiet", "build_ext", "--build-lib", out])
"""
NEEDED = ("mypyc", "setuptools")
LAST = 20  # lines of what they said, if they fail


class BuildError(Exception):
    """mypyc or the C compiler has failed; the text is the end of what it said."""


def build(to: Path, tell: Callable[[str], None]) -> None:
    """Build into ``to``, which appears when all is done.  ``tell`` hears of each stage.

    Raises UsageError if a tool is missing or the folder cannot be written, BuildError if a tool
    fails.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"{' and '.join(missing)} missing: python -m pip install 'mmsim[fast]'")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{to.parent} cannot be written: {error.strerror}") from error
    with tempfile.TemporaryDirectory(prefix="mmsim-native-") as name:
        room = Path(name)
        shutil.copytree(
            PACKAGE, room / "mmsim", ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
        out = room / "out"
        files = [f"{module.replace('.', '/')}.py" for module in MODULES]
        tell(f"mypyc: {len(files)} files")
        command = [sys.executable, "-c", SETUP, str(out), *files]
        with subprocess.Popen(
            command, cwd=room, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("mmsim: translated"):
                    tell("C compiler")
        if process.returncode:
            raise BuildError("".join(said[-LAST:]).strip())
        if not set(MODULES) <= set(modules(out)):
            raise BuildError("the compiler said nothing, and what it made is not all")
        beside = to.with_name(f"new-{to.name}")  # to copy it there takes a while
        try:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.move(out, beside)
            shutil.rmtree(to, ignore_errors=True)
            beside.rename(to)
        except OSError as error:
            raise UsageError(f"{to} cannot be written: {error.strerror}") from error


def forget(built: Path, but: Path | None = None) -> list[Path]:
    """Delete what was built there; of what ``but``'s Python has, all others.  What was deleted."""
    pattern = "*" if but is None else f"{but.name.rpartition('-')[0]}-*"
    gone = [one for one in sorted(built.glob(pattern)) if one.is_dir() and one != but]
    for one in gone:
        shutil.rmtree(one, ignore_errors=True)
    return gone
