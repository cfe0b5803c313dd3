# SPDX-License-Identifier: GPL-2.0-only
"""The subcommands of `python -m mmsim`, one module each."""
