# SPDX-License-Identifier: GPL-2.0-only
"""Rare windows: how likely is a run in which everything goes wrong in the right order?

What happens once in a million runs cannot be counted in ten thousand.  But a window is not gone
through in one leap: somebody looks, is held up, another frees the page, a third gets it, and the
first one goes on.  Each of these steps is likely enough once the steps before are taken.  So runs
that have come as far as a step are gone on with, many times each, and the shares that come one
step further are multiplied (importance splitting).

**Which estimator.**  Fixed effort: at every level the same number of runs (``splitting.py``).  The
product of the shares is unbiased, whatever the levels are: bad ones cost precision and not truth.
The usual alternatives are a fixed number of heirs for each run, which dies out or explodes where
the shares are not as foreseen, and levels chosen as one goes, which is biased.  The shares of one
estimate depend on each other, since the runs of a level are heirs of the same few, and an interval
made of them as if they were independent is far too narrow.  So estimates are repeated with
random numbers of their own, and what is told is how far they lie apart.  They lie skewed: many a
little too low, a few much too high.  Their mean is unbiased, their median is not.

**What it assumes.**  That a run can be gone on with from where it stood.  No process is copied: the
simulator gives the same run for the same numbers, so the run is begun anew, its policy draws the
numbers that it drew before, and from the level on new ones (``policies.Draws``).  Segments of a
schedule would not do: they tell who performed which effect, and not who spins already, nor which
interrupt has come in and done nothing yet, on which the next choice depends.  And it assumes that
the policy draws as it goes (``policies.py``).

**What it does not assume.**  That the finding comes about by these levels only.  Runs that fail
before the next level are counted with the weight of their stage, so the chance of any finding is
unbiased as well, and plain sampling can be compared with it.

**What it says.**  A chance for each run under the policy.  No hardware draws lots at every access.
"""

from mmsim.rare.levels import Level, Levels

__all__ = ["Level", "Levels"]
