# SPDX-License-Identifier: GPL-2.0-only
"""For all tests: the project's own pytest plugin, also in a bare checkout, and steady hypothesis.

Hypothesis tries the same examples every time and gives no example a time limit: a test that is red
on a busy machine and green on an idle one says nothing about the code.

A shell starts its background jobs deaf to Ctrl-C, and their children inherit it. Tests send SIGINT
to themselves and to what they start, so it has to be heard however the suite was started.
"""

import signal
from importlib.metadata import entry_points

from hypothesis import settings

from mmsim import native

PLUGIN = "mmsim.pytest_plugin"

native.leave()  # tests take apart what they test; that is not to be had of compiled code

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("mmsim", deadline=None, derandomize=True)
settings.load_profile("mmsim")

if all(point.value != PLUGIN for point in entry_points(group="pytest11")):
    pytest_plugins = [PLUGIN]
