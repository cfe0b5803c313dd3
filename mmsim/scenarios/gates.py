# SPDX-License-Identifier: GPL-2.0-only
"""Every gate of the mail threads.  Importing this module declares them all.

A gate is declared in its thread's folder (``gates.py`` there), once.
"""

import importlib
import pkgutil

import mmsim.scenarios

for _info in pkgutil.iter_modules(mmsim.scenarios.__path__):
    if _info.ispkg:
        importlib.import_module(f"mmsim.scenarios.{_info.name}.gates")
