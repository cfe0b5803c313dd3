# SPDX-License-Identifier: GPL-2.0-only
"""Every gate of the five threads, declared once; importing this package declares them all."""

import importlib
import pkgutil

for _module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")
