# SPDX-License-Identifier: GPL-2.0-only
"""What several estimates of one chance come to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Summary(NamedTuple):
    """``mean`` is unbiased, ``error`` its standard error, None of a single estimate.

    ``low`` and ``high`` are the quartiles.  ``spread`` is the geometric standard deviation: two
    thirds of the estimates lie within the median times or divided by so much, were they lognormal.
    It is None where an estimate is 0, or where there is only one.
    """

    mean: float
    error: float | None
    median: float
    low: float
    high: float
    least: float
    most: float
    spread: float | None
    zeros: int


def summary(estimates: Sequence[float]) -> Summary:
    """Raises ValueError if there is no estimate."""
    if not estimates:
        raise ValueError("there is no estimate")
    n = len(estimates)
    low, median, high = (
        statistics.quantiles(estimates, n=4, method="inclusive") if n > 1 else [estimates[0]] * 3
    )
    spread = None
    if n > 1 and min(estimates) > 0:
        spread = math.exp(statistics.stdev(math.log(estimate) for estimate in estimates))
    return Summary(
        statistics.fmean(estimates),
        statistics.stdev(estimates) / math.sqrt(n) if n > 1 else None,
        median,
        low,
        high,
        min(estimates),
        max(estimates),
        spread,
        sum(estimate == 0 for estimate in estimates),
    )
