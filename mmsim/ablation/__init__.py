# SPDX-License-Identifier: GPL-2.0-only
"""Is every hunk of a patch needed?

A gate stands for a patch, and a patch touches several functions.  Here each of them is taken
alone: the gate is turned over in that one function, off where it was on and on where it was off,
and stays as it is everywhere else.  The same seeds are run with and without.  If a verdict, a kind
of finding or a metric differs, the hunk does something; if nothing differs in any variant, either
it is not needed or our variants do not see why.

The kernel code knows nothing of it: `patched("name")` asks a set, and the set looks who asks.
"""
