# SPDX-License-Identifier: GPL-2.0-only
"""Loads the project's own pytest plugin where it is not installed (a bare checkout)."""

from importlib.metadata import entry_points

PLUGIN = "mmsim.pytest_plugin"

if all(point.value != PLUGIN for point in entry_points(group="pytest11")):
    pytest_plugins = [PLUGIN]
