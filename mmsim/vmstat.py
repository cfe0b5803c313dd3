# SPDX-License-Identifier: GPL-2.0-only
"""Event counters (mm/vmstat.c), and a few that the kernel does not have.

They become metrics of the run.  Counting is no shared access: it changes no interleaving.
"""

from mmsim.engine.door import door


def count_vm_event(name, n=1):
    """One more ``name``: pgmigrate_success, pgmigrate_fail ... in lower case."""
    door.machine.count(name, n)
