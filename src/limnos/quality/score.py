"""One number for a table, from what its rules found.

Source: Heinrich et al., "Requirements for Data Quality Metrics", Journal of Data and Information Quality 9(2), 2018, for sound aggregation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from limnos.model.verdict import Dimension, Outcome, Verdict

_FLOOR = 0.01
_DIGITS = 6


def dimensions(verdicts: Sequence[Verdict]) -> Mapping[Dimension, float]:
    """Pool the verdicts of each dimension: all that satisfied over all that applied, so that parts add up to the whole.

    A dimension of which nothing is known (no rule, no applicable row, or only errors) is left out.
    """
    known = [verdict for verdict in verdicts if verdict.outcome in {Outcome.PASS, Outcome.FAIL} and verdict.denominator]
    pooled: dict[Dimension, float] = {}
    for dimension in Dimension:
        mine = [verdict for verdict in known if verdict.dimension is dimension]
        if mine:
            pooled[dimension] = sum(verdict.numerator for verdict in mine) / sum(verdict.denominator for verdict in mine)
    return pooled


def score(verdicts: Sequence[Verdict]) -> float | None:
    """Give the geometric mean of the known dimensions, from 0.01 to 1; None when nothing is known.

    No dimension counts as less than 0.01, and a zero cannot hide behind the others as it would in an arithmetic mean.

    Examples:
        >>> score([]) is None
        True
    """
    known = dimensions(verdicts).values()
    if not known:
        return None
    return round(math.exp(sum(math.log(max(one, _FLOOR)) for one in known) / len(known)), _DIGITS)
