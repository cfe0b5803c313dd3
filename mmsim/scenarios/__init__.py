# SPDX-License-Identifier: GPL-2.0-only
"""The mail threads, as races one can run.

``api`` says what a scenario is, ``registry`` finds them.
"""
