"""The ladder of questions between two relations of the engine, against the obvious way in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limnos.engines.duckdb import DuckEngine
from limnos.model.comparison import Kind
from limnos.model.digest import Ask, Blocks, Question
from limnos.ports import Session
from limnos.quality.comparison import Found, Matter, compare, verdicts
from limnos.quality.comparison_sides import EngineSide, typed_rows

SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("a", pa.string()), pa.field("b", pa.string())])
Row = tuple[int, str | None, str | None]
_VALUES = st.none() | st.sampled_from(["", "|", "1|", "a", "1|a", "|1|a"])
_ROWS = st.lists(st.tuples(st.integers(-3, 200), _VALUES, _VALUES), max_size=12)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with DuckEngine().session() as opened:
        yield opened


def _compared(session: Session, source: list[Row], lake: list[Row], *, key: tuple[str, ...]) -> Found:
    for name in ("source", "lake", "aside"):
        for table in (name, *(f"{name}_{part}" for part in ("buckets", "numbers", "rows"))):
            session.run(f"DROP TABLE IF EXISTS {table}")
    session.run("DROP TABLE IF EXISTS differing")
    for name, rows in (("source", source), ("lake", lake)):
        given = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)
        session.run(f"CREATE TEMP TABLE {name} AS SELECT * FROM given", given=given)
    sides = [EngineSide(typed_rows(f'"{name}"', SCHEMA)) for name in ("source", "lake")]
    return compare(session, sides[0], sides[1], Matter(SCHEMA, key, tuple(SCHEMA.names), len(source), limit=100))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=_ROWS, lake=_ROWS)
def test_without_a_key_rows_are_compared_as_multisets(session: Session, source: list[Row], lake: list[Row]) -> None:
    found = _compared(session, source, lake, key=())
    assert (found.source_rows, found.lake_rows) == (len(source), len(lake))
    assert found.missing == (Counter(source) - Counter(lake)).total()
    assert found.extra == (Counter(lake) - Counter(source)).total()
    assert found.changed == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=_ROWS, lake=_ROWS)
def test_by_key_each_row_is_missing_extra_or_changed(session: Session, source: list[Row], lake: list[Row]) -> None:
    theirs, ours = ({row[0]: row for row in rows} for rows in (source, lake))
    found = _compared(session, list(theirs.values()), list(ours.values()), key=("id",))
    expected = {(Kind.MISSING, str(one)) for one in theirs.keys() - ours.keys()} | {
        (Kind.EXTRA, str(one)) for one in ours.keys() - theirs.keys()
    }
    differing = {one for one in theirs.keys() & ours.keys() if theirs[one] != ours[one]}
    assert {(each.kind, each.key["id"]) for each in found.differences} == expected | {(Kind.CHANGED, str(one)) for one in differing}
    for each in found.differences:
        if each.kind is Kind.CHANGED:
            number = int(str(each.key["id"]))
            sides = dict(zip(SCHEMA.names, zip(theirs[number], ours[number], strict=True), strict=True))
            assert each.values == {name: pair for name, pair in sides.items() if pair[0] != pair[1]}


def test_verdicts_count_rows_and_do_not_hold_quarantine_against_the_lake() -> None:
    completeness, accuracy = verdicts(Found(110, 101, quarantined=10, missing=1, extra=2, changed=3), ("a",))
    assert (completeness.numerator, completeness.denominator, completeness.outcome) == (99, 100, "fail")
    assert (accuracy.numerator, accuracy.denominator) == (96, 101)
    assert verdicts(Found(0, 0), ())[0].outcome == "unknown"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    low=st.integers(-(2**62), 2**62),
    more=st.integers(0, 1999),
    width=st.integers(1, 40),
    buckets=st.sampled_from([1, 7, 61]),
    data=st.data(),
)
def test_the_ranges_of_buckets_hold_just_the_values_that_the_engine_puts_into_them(
    session: Session, low: int, more: int, width: int, buckets: int, data: st.DataObject
) -> None:
    low = data.draw(st.sampled_from([low, low % 4000 - 2000]))
    high = low + more
    within = tuple(data.draw(st.sets(st.integers(1 - buckets, buckets - 1), min_size=1, max_size=4)))
    blocks = Blocks("id", width, low, high)
    question = Question(Ask.NUMBERS, ("id",), (), buckets, by_value=True, within=within, blocks=blocks)
    rows = typed_rows(f"(SELECT unnest(range({low}, {high} + 1)) AS id)", SCHEMA)
    chosen = session.run(f"SELECT id FROM {rows.relation} WHERE {rows.near(question)} ORDER BY id").column(0).to_pylist()
    ranges = blocks.ranges(within, buckets)
    assert sorted(one for first, last in ranges for one in range(max(first, low), min(last, high) + 1)) == chosen
    assert session.run(f"SELECT count(*) FROM ({rows.select(question)})").column(0).to_pylist() == [len(chosen)]


def test_too_many_ranges_are_not_listed() -> None:
    assert Blocks("id", 1, 0, 10**9).ranges((1, 2, 3), 7) == ()
    assert len(Blocks("id", 1, 0, 2_000).ranges(tuple(range(7)), 7)) == 0
    assert len(Blocks("id", 4, 0, 2_000).ranges(tuple(range(7)), 7)) == 501
