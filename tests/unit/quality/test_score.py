from __future__ import annotations

import pytest

from limnos.model.contract import Severity
from limnos.model.verdict import Dimension, Outcome, Verdict
from limnos.quality.score import dimensions, score


def verdict(dimension: Dimension, numerator: int, denominator: int, outcome: Outcome = Outcome.FAIL) -> Verdict:
    return Verdict("rule", "sql", (), "0", Severity.WARN, dimension, outcome, numerator, denominator)


def test_nothing_known_is_no_score() -> None:
    assert score([]) is None
    assert score([verdict(Dimension.VALIDITY, 0, 0, Outcome.UNKNOWN), verdict(Dimension.VALIDITY, 0, 0, Outcome.ERROR)]) is None


def test_rules_of_a_dimension_are_pooled_by_their_counts() -> None:
    seen = [verdict(Dimension.VALIDITY, 1, 1, Outcome.PASS), verdict(Dimension.VALIDITY, 0, 3)]
    assert dimensions(seen) == {Dimension.VALIDITY: 0.25}


def test_splitting_the_rows_changes_no_dimension() -> None:
    whole = [verdict(Dimension.UNIQUENESS, 70, 90)]
    parts = [verdict(Dimension.UNIQUENESS, 30, 40), verdict(Dimension.UNIQUENESS, 40, 50)]
    assert dimensions(whole) == dimensions(parts)


def test_a_table_score_is_the_geometric_mean_of_its_dimensions() -> None:
    seen = [verdict(Dimension.VALIDITY, 1, 4), verdict(Dimension.UNIQUENESS, 1, 1, Outcome.PASS)]
    assert score(seen) == pytest.approx(0.5)


def test_one_failed_dimension_cannot_hide_behind_good_ones() -> None:
    good = [verdict(dimension, 1, 1, Outcome.PASS) for dimension in Dimension if dimension is not Dimension.VALIDITY]
    assert score(good) == 1
    assert score([*good, verdict(Dimension.VALIDITY, 0, 9)]) == pytest.approx(0.01 ** (1 / 6), abs=1e-6)


def test_what_did_not_run_counts_neither_way() -> None:
    seen = [verdict(Dimension.VALIDITY, 9, 10)]
    assert score(seen) == score([*seen, verdict(Dimension.VALIDITY, 0, 0, Outcome.ERROR)]) == 0.9
