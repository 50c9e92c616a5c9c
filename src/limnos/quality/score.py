"""Scores: one number for each dimension of quality, and one for a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from limnos.model.verdict import Dimension, Outcome, Verdict

_FLOOR = 0.01
_DIGITS = 6


def dimensions(verdicts: Sequence[Verdict]) -> Mapping[Dimension, float]:
    """Give the share of satisfied applications of rules, pooled for each dimension; what nobody knows is left out.

    Pooling the counts gives the same as judging all the data at once, however the rules and partitions were split.

    Examples:
        >>> from limnos.model.contract import Severity
        >>> seen = Verdict("not_null:id", "not_null", ("id",), "0a1b", Severity.BLOCK, Dimension.COMPLETENESS, Outcome.FAIL, 9, 10)
        >>> dimensions([seen])
        {<Dimension.COMPLETENESS: 'completeness'>: 0.9}
    """
    known = [verdict for verdict in verdicts if verdict.outcome in {Outcome.PASS, Outcome.FAIL}]
    scores: dict[Dimension, float] = {}
    for dimension in Dimension:
        pooled = [verdict for verdict in known if verdict.dimension is dimension]
        if applicable := sum(verdict.denominator for verdict in pooled):
            scores[dimension] = round(sum(verdict.numerator for verdict in pooled) / applicable, _DIGITS)
    return scores


def score(verdicts: Sequence[Verdict]) -> float | None:
    """Give the geometric mean of the known dimensions, each at least 0.01; None when none is known.

    So a dimension that has failed cannot hide behind five good ones, and an empty table has no score instead of a perfect one.

    Source: Heinrich et al., "Requirements for Data Quality Metrics", JDIQ 9(2), 2018: sound aggregation.
    """
    known = dimensions(verdicts).values()
    if not known:
        return None
    return round(math.exp(sum(math.log(max(value, _FLOOR)) for value in known) / len(known)), _DIGITS)
