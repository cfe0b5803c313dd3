# SPDX-License-Identifier: GPL-2.0-only
"""What makes Python a kernel: structs and their words, eras and versions, gates, citations."""
