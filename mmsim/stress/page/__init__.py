# SPDX-License-Identifier: GPL-2.0-only
"""A campaign to look at: one page, a summary for CI, a result file for CI systems.

facts     what is to be shown, read from a store: values and no layout
survival  how many runs one waits for a finding
figures   matplotlib: values in, SVG out
html      the page: one file, no network
plain     the same as Markdown, and as JUnit's XML
"""
