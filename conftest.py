# SPDX-License-Identifier: GPL-2.0-only
"""For all tests: the project's own pytest plugin, also in a bare checkout, and steady hypothesis.

Hypothesis tries the same examples every time and gives no example a time limit: a test that is red
on a busy machine and green on an idle one says nothing about the code.
"""

from importlib.metadata import entry_points

from hypothesis import settings

PLUGIN = "mmsim.pytest_plugin"

settings.register_profile("mmsim", deadline=None, derandomize=True)
settings.load_profile("mmsim")

if all(point.value != PLUGIN for point in entry_points(group="pytest11")):
    pytest_plugins = [PLUGIN]
