# SPDX-License-Identifier: GPL-2.0-only
"""The search, compiled: the same executions in two thirds of the time.

Half of what an execution costs is the search's, and all of that is ordinary typed Python.  mypyc
makes C of it, and `python -m mmsim compile` builds that for the Python it is called with.  The
engine, policies and kernel code stay as they are: they are what people read, break and replace.

Nothing needs it.  What was built is used if it is of the very sources that are here: the folder has
their hash in its name, so that who edits the search never runs an older one.  The variable
MMSIM_NATIVE says otherwise: ``0`` for never, or a folder to be used instead, right or wrong.

Compiled code is not always what the interpreter makes of it: a tuple of fixed length has no
identity, a constant string is a copy unless it is interned, and an attribute of a class has one
value for all its children.  So a test compiles the search and compares the executions of every
planned small cast, and of random programs.
"""

from __future__ import annotations

import os
import sys
from typing import Final

VARIABLE: Final = "MMSIM_NATIVE"
BUILT: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "built")


def use() -> None:
    """From now on import what was built, if there is something.

    Every process asks: so what is needed to answer is only imported where there may be a yes.
    """
    wish = os.environ.get(VARIABLE, "")
    if wish != "0" and (wish or os.path.isdir(BUILT)):
        from mmsim.native.finder import install

        install(wish)


def leave() -> None:
    """Import what was built no more, here and in processes that are started from here."""
    os.environ[VARIABLE] = "0"
    if "mmsim.native.finder" in sys.modules:
        from mmsim.native.finder import remove

        remove()


def used() -> bool:
    """Is the search that runs here compiled?"""
    module = sys.modules.get("mmsim.engine.explore.dpor")
    return module is not None and not str(module.__file__).endswith(".py")
