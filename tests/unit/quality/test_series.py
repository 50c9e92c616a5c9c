from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.model.contract import Severity
from limnos.model.names import TableName
from limnos.model.score import Judge, Observation, Scope, Score
from limnos.model.verdict import Dimension, Outcome, Verdict
from limnos.quality.series import COMPARISON, LOWEST_TENTH, series

ORDERS, LOG = TableName("shop", "orders"), TableName("web", "log")
START = datetime(2026, 1, 1, tzinfo=UTC)


def verdict(
    rule: str, numerator: int, denominator: int, dimension: Dimension = Dimension.VALIDITY, *, version: str = "1", columns: str = ""
) -> Verdict:
    outcome = Outcome.UNKNOWN if not denominator else Outcome.PASS if numerator == denominator else Outcome.FAIL
    kind = COMPARISON if rule.startswith("verify:") else "accepted_values" if rule == "a" else "zebra"
    return Verdict(rule, kind, tuple(columns), version, Severity.WARN, dimension, outcome, numerator, denominator)


def seen(
    minute: int,
    verdicts: Sequence[Verdict],
    *,
    table: TableName = ORDERS,
    snapshot: int = 1,
    anew: bool = True,
    judge: Judge = Judge.RUN,
) -> Observation:
    return Observation(START + timedelta(minutes=minute), f"r{minute}", judge, table, snapshot, tuple(verdicts), anew)


def only(
    scores: Sequence[Score], scope: Scope, *, subject: str = "", dimension: Dimension | None = None, table: TableName | None = ORDERS
) -> list[Score]:
    wanted = (scope, subject, dimension, None if scope is Scope.LAKE else table)
    return [one for one in scores if (one.scope, one.subject, one.dimension, one.table) == wanted]


def test_a_table_is_scored_after_every_observation_with_its_counts() -> None:
    found = list(series([seen(0, [verdict("a", 9, 10), verdict("b", 1, 10)]), seen(1, [verdict("a", 10, 10), verdict("b", 5, 10)])]))
    pooled = only(found, Scope.TABLE, dimension=Dimension.VALIDITY)
    assert [(one.numerator, one.denominator, one.value) for one in pooled] == [(10, 20, 0.5), (15, 20, 0.75)]
    assert [(one.numerator, one.denominator) for one in only(found, Scope.RULE, subject="b", dimension=Dimension.VALIDITY)] == [
        (1, 10),
        (5, 10),
    ]


def test_a_column_is_scored_by_the_rules_that_name_it() -> None:
    rules = [verdict("a", 1, 2, columns="x"), verdict("b", 0, 2, columns="y"), verdict("c", 1, 4, Dimension.CONSISTENCY, columns="xy")]
    found = list(series([seen(0, rules)]))
    assert [one.value for one in only(found, Scope.COLUMN, subject="x", dimension=Dimension.VALIDITY)] == [0.5]
    assert [one.value for one in only(found, Scope.COLUMN, subject="y", dimension=Dimension.CONSISTENCY)] == [0.25]
    (whole,) = only(found, Scope.COLUMN, subject="x")
    assert whole.value == pytest.approx(math.sqrt(0.5 * 0.25), abs=1e-6)


def test_coverage_counts_the_dimensions_that_are_known() -> None:
    found = list(
        series([seen(0, [verdict("a", 1, 1), verdict("b", 0, 0, Dimension.TIMELINESS), verdict("c", 0, 1, Dimension.UNIQUENESS)])])
    )
    (whole,) = only(found, Scope.TABLE)
    assert (whole.measured, whole.coverage) == ((Dimension.UNIQUENESS, Dimension.VALIDITY), 2 / 6)
    (unknown,) = only(found, Scope.TABLE, dimension=Dimension.TIMELINESS)
    assert (unknown.value, unknown.denominator, unknown.coverage) == (None, 0, 0)


def test_another_set_of_rules_breaks_the_series_once() -> None:
    first, other = verdict("a", 1, 1), verdict("a", 1, 1, version="2")
    found = list(series([seen(0, [first]), seen(1, [first]), seen(2, [other]), seen(3, [other]), seen(4, [other, verdict("b", 1, 1)])]))
    assert [one.breaks for one in only(found, Scope.TABLE)] == [False, False, True, False, True]
    assert len({one.rule_set for one in only(found, Scope.TABLE)}) == 3


def test_a_comparison_adds_its_dimensions_and_breaks_nothing() -> None:
    compared = [verdict("verify:accuracy", 8, 10, Dimension.ACCURACY)]
    found = list(series([seen(0, [verdict("a", 1, 1)]), seen(1, compared, anew=False)]))
    last = only(found, Scope.TABLE)[-1]
    assert (last.measured, last.breaks) == ((Dimension.ACCURACY, Dimension.VALIDITY), False)
    assert [one.value for one in only(found, Scope.TABLE, dimension=Dimension.ACCURACY)] == [0.8]


def test_a_comparison_of_an_earlier_version_says_nothing_of_this_one() -> None:
    compared = [verdict("verify:accuracy", 8, 10, Dimension.ACCURACY)]
    history = [
        seen(0, [verdict("a", 1, 1)]),
        seen(1, compared, anew=False),
        seen(2, [], anew=False),
        seen(3, [verdict("a", 1, 1)], snapshot=2),
    ]
    measured = [Dimension.ACCURACY in one.measured for one in only(list(series(history)), Scope.TABLE)]
    assert measured == [False, True, True, False]


def test_rows_as_they_arrived_and_as_they_are_published_are_two_series() -> None:
    found = list(series([seen(0, [verdict("a", 1, 2)]), seen(1, [verdict("a", 1, 1)], judge=Judge.CHECK), seen(2, [], anew=False)]))
    assert [(one.judge, one.value) for one in only(found, Scope.TABLE)] == [(Judge.RUN, 0.5), (Judge.CHECK, 1.0), (Judge.RUN, 0.5)]


def test_tables_weigh_the_same_in_the_lake_however_large_they_are() -> None:
    found = list(series([seen(0, [verdict("a", 0, 1)]), seen(0, [verdict("a", 10**9, 10**9)], table=LOG)]))
    assert [one.value for one in only(found, Scope.LAKE, dimension=Dimension.VALIDITY)] == [0.5]
    assert [one.value for one in only(found, Scope.LAKE)] == [pytest.approx((0.01 + 1) / 2)]
    assert [one.value for one in only(found, Scope.LAKE, subject=LOWEST_TENTH)] == [0.01]


def test_nine_tables_of_ten_reach_the_lowest_tenth() -> None:
    tables = [seen(0, [verdict("a", place, 30)], table=TableName("t", f"t{place}")) for place in range(1, 31)]
    (tenth,) = only(list(series(tables)), Scope.LAKE, subject=LOWEST_TENTH)
    assert tenth.value == 0.1


def test_the_lake_of_arriving_rows_and_of_published_rows_are_apart() -> None:
    found = list(series([seen(0, [verdict("a", 1, 2)]), seen(1, [verdict("a", 1, 1)], judge=Judge.CHECK, table=LOG)]))
    assert [(one.judge, one.value) for one in only(found, Scope.LAKE)] == [(Judge.RUN, 0.5), (Judge.CHECK, 1.0)]
    again = list(series([seen(0, [verdict("a", 1, 1)], judge=Judge.CHECK, table=LOG), seen(1, [verdict("a", 1, 2)])]))
    assert [(one.judge, one.value) for one in only(again, Scope.LAKE)] == [(Judge.CHECK, 1.0), (Judge.RUN, 0.5)]


def test_counts_are_pooled_within_a_dimension_and_a_rule_has_one_score() -> None:
    found = list(series([seen(0, [verdict("a", 1, 3), verdict("b", 2, 5, Dimension.ACCURACY), verdict("c", 4, 9, Dimension.UNIQUENESS)])]))
    counts = {one.dimension: (one.numerator, one.denominator) for one in found if one.scope is Scope.TABLE and one.dimension}
    assert counts == {Dimension.VALIDITY: (1, 3), Dimension.ACCURACY: (2, 5), Dimension.UNIQUENESS: (4, 9)}
    assert len([one for one in found if one.scope is Scope.RULE]) == 3
    assert {len(one.rule_set) for one in found if one.scope is Scope.TABLE} == {12}
    assert [one.value for one in found if one.scope is Scope.LAKE and one.dimension is Dimension.VALIDITY] == [round(1 / 3, 6)]


def test_nothing_known_is_no_score() -> None:
    found = list(series([seen(0, [verdict("a", 0, 0)])]))
    assert {one.value for one in found} == {None}
    assert not only(found, Scope.LAKE, subject=LOWEST_TENTH)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8))
def test_splitting_what_was_judged_over_rules_changes_no_dimension(parts: list[tuple[int, int]]) -> None:
    each = [verdict(f"r{place}", kept, kept + broken) for place, (kept, broken) in enumerate(parts)]
    together = [verdict("all", sum(kept for kept, _ in parts), sum(kept + broken for kept, broken in parts))]
    one, other = (only(list(series([seen(0, verdicts)])), Scope.TABLE, dimension=Dimension.VALIDITY)[0] for verdicts in (each, together))
    assert (one.numerator, one.denominator, one.value) == (other.numerator, other.denominator, other.value)
