"""Every number of a profile is what a naive count of the same rows gives."""

from __future__ import annotations

import math
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from limnos.discovery.distribution import MOST_SHOWN, PERCENTS, distribute, read
from limnos.discovery.inclusions import Parents
from limnos.discovery.keys import find_keys
from limnos.discovery.profile import Limits, profile_columns
from limnos.engines.duckdb import DuckEngine
from limnos.model.profile import ColumnProfile
from limnos.model.types import parse_type
from limnos.ports import Session

_KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-3, 3) | st.sampled_from([-(2**31), 2**31 - 1]),
    "long": st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1, 2**53 + 1]),
    "double": st.sampled_from([0.0, -0.0, 1.5, -2.25, 1e-300, 5e-324, 1e300, math.nan, math.inf, -math.inf]) | st.floats(-1e6, 1e6),
    "float": st.sampled_from([0.0, 1.5, -2.25, math.nan, math.inf, -math.inf]),
    "decimal(38,4)": st.sampled_from(
        [Decimal("99999999999999999999999999999999.9999"), Decimal("-0.0001"), Decimal("0.0000"), Decimal("1.5000")]
    ),
    "date": st.dates(date(1, 1, 1), date(9999, 12, 31)),
    "time": st.times(),
    "timestamp": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),  # noqa: DTZ001 a column without a zone
    "timestamptz": st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()).map(lambda at: at.astimezone(UTC)),  # noqa: DTZ001 hypothesis adds it
    "boolean": st.booleans(),
    "string": st.sampled_from(["", "a", "LH-0441", "LH-0442", "é", "e\u0301", "ß", "\U0001f9ed", "\u0663", "ǅ", "a" * 300])
    | st.text(max_size=4),
    "binary": st.binary(max_size=3),
    "uuid": st.uuids().map(lambda one: one.bytes),
}
_GENERATED = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with DuckEngine().session() as opened:
        yield opened


def profiled(session: Session, kind: str, rows: Sequence[Any]) -> ColumnProfile:
    arrow = parse_type(kind)
    table = pa.table({"c": pa.array(rows, arrow.storage_type if kind == "uuid" else arrow)})
    if kind == "uuid":
        table = pa.table({"c": pa.ExtensionArray.from_storage(arrow, table.column("c").combine_chunks())})
    session.run("CREATE OR REPLACE TEMP TABLE given AS SELECT * FROM input", input=table)
    distribute(session, "given", "c")
    return read(session, pa.field("c", arrow))


def key_of(value: Any) -> Any:
    """Equal where the engine takes values for equal: all NaN are one, and so are both zeros."""
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def form(text: str) -> str:
    def one(char: str) -> str:
        category = unicodedata.category(char)
        return "A" if category in ("Lu", "Lt") else "a" if category[0] in "LM" else "9" if category == "Nd" else char

    return "".join(map(one, text))


@pytest.mark.parametrize("kind", _KINDS)
def test_counts_ranges_and_moments_are_those_of_the_rows(session, kind) -> None:
    @_GENERATED
    @example([])
    @example([None])
    @example([None, None])
    @given(st.lists(st.none() | _KINDS[kind], max_size=30))
    def check(rows: list[Any]) -> None:
        found = profiled(session, kind, rows)
        filled = [value for value in rows if value is not None]
        counts = Counter(map(key_of, filled))
        assert (found.rows, found.nulls, found.distinct) == (len(rows), len(rows) - len(filled), len(counts))
        assert found.single == sum(count == 1 for count in counts.values())
        assert found.unique == (0 < len(rows) == len(counts))
        assert not found.approximate
        if kind != "binary":
            most = sorted(counts.values(), reverse=True)[:MOST_SHOWN] if max(counts.values(), default=0) > 1 else []
            assert [one.rows for one in found.top] == most
        numbers = [value for value in filled if key_of(value) != "NaN"]
        if kind in ("int", "long", "double", "float", "decimal(38,4)"):
            check_numbers(found, filled, numbers)
        if kind in ("string", "binary"):
            check_lengths(found, filled)
        if kind in ("int", "long", "date", "time", "timestamp", "timestamptz"):
            ranked = sorted(numbers)
            said = {percent: ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)] for percent in PERCENTS} if ranked else {}
            assert {percent: read_back(kind, text) for percent, text in found.quantiles.items()} == said
            assert (read_back(kind, found.minimum), read_back(kind, found.maximum)) == ((ranked[0], ranked[-1]) if ranked else (None, None))

    check()


def check_numbers(found: ColumnProfile, filled: list[Any], numbers: list[Any]) -> None:
    assert found.nan == len(filled) - len(numbers)
    assert found.negative == sum(value < 0 for value in numbers)
    assert found.zero == sum(value == 0 for value in numbers)
    assert found.infinite == sum(math.isinf(value) for value in numbers)
    bounds = tuple(None if text is None else type(numbers[0])(text) for text in (found.minimum, found.maximum))
    assert bounds == ((min(numbers), max(numbers)) if numbers else (None, None))
    finite = [float(value) for value in numbers if not math.isinf(value)]
    if finite and max(map(abs, finite)) < 1e20:
        mean = Fraction(sum(numbers), len(numbers)) if found.type in ("int", "long") else math.fsum(finite) / len(finite)
        assert found.mean == pytest.approx(float(mean), rel=1e-9, abs=1e-9)
        if len(finite) > 1:
            # The square of less than that is nothing in a double.
            least = max(1e-150, 1e-6 * max(map(abs, finite)))
            assert found.stddev == pytest.approx(statistics.stdev(finite), rel=1e-6, abs=least)
        else:
            assert found.stddev is None
    elif not finite:
        assert found.mean is None


def check_lengths(found: ColumnProfile, filled: list[Any]) -> None:
    sizes = list(map(len, filled))
    assert found.empty == sizes.count(0)
    if sizes:
        assert found.lengths is not None
        assert (found.lengths.least, found.lengths.most) == (min(sizes), max(sizes))
        assert found.lengths.mean == pytest.approx(sum(sizes) / len(sizes))
    else:
        assert found.lengths is None


def read_back(kind: str, text: str | None) -> Any:
    if text is None or kind in ("int", "long"):
        return text and int(text)
    if kind == "time":
        return time.fromisoformat(text)
    if kind == "date":
        return date.fromisoformat(text)
    return datetime.fromisoformat(text)


@_GENERATED
@given(
    st.lists(st.none() | st.sampled_from(["LH-0441", "LH-1", "AA-0001", "é", "Éa1", "ß9", "", "x y", "10+", "\u0663", "漢字"]), max_size=30)
)
def test_patterns_count_the_forms_of_the_rows(session, rows) -> None:
    found = profiled(session, "string", rows)
    counted = Counter(form(text) for text in rows if text is not None)
    assert found.pattern_rows == sum(counted.values())
    assert {one.value: one.rows for one in found.patterns} == dict(counted)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("list<string>", [["a"], [], None, ["a"]]),
        ("struct<a:int,b:string>", [{"a": 1, "b": None}, {"a": 2, "b": "x"}, None, {"a": 1, "b": None}]),
        ("map<string,long>", [[("a", 1)], [], None, [("a", 1)]]),
    ],
)
def test_of_nested_values_nulls_and_different_ones_are_counted(session, kind, rows) -> None:
    found = profiled(session, kind, rows)
    assert (found.rows, found.nulls, found.distinct, found.single, found.top, found.minimum) == (4, 1, 2, 1, (), None)


@pytest.mark.parametrize("name", ["v", "n", "N", "rows", 'a "b"', "limnos_distribution", "select"])
def test_a_column_may_be_called_anything(session, name) -> None:
    session.run("CREATE OR REPLACE TEMP TABLE given AS SELECT * FROM input", input=pa.table({name: ["a", "a", None]}))
    schema = pa.schema([(name, pa.string())])
    for limits in (Limits(), Limits(rows=1, distinct=0)):
        ((found, _),) = profile_columns(session, "given", schema, 3, Parents.of(session, ()), limits=limits, told={})
        assert (found.name, found.rows, found.nulls, found.distinct, found.minimum) == (name, 3, 1, 1, "a")


def test_too_many_forms_are_told_without_repetitions(session) -> None:
    found = profiled(session, "string", ["a" * size + " " + "9" * (size % 7) for size in range(1, 60)])
    assert [(re.sub(r"\s", " ", one.value), one.rows) for one in found.patterns] == [("a+ 9+", 51), ("a+ ", 8)]


@_GENERATED
@given(st.lists(st.tuples(*[st.none() | st.integers(0, 3)] * 2, st.sampled_from("ab")), max_size=12))
def test_a_key_that_is_found_tells_all_rows_apart(session, rows) -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("c", pa.string())])
    table = pa.table(dict(zip("abc", zip(*rows, strict=True), strict=True)) if rows else {"a": [], "b": [], "c": []}, schema=schema)
    session.run("CREATE OR REPLACE TEMP TABLE given AS SELECT * FROM input", input=table)
    columns = [one for one, _ in profile_columns(session, "given", schema, len(rows), Parents.of(session, ()), limits=Limits(), told={})]
    found = find_keys(session, "given", columns, ())
    for key in found:
        chosen = [tuple(row["abc".index(name)] for name in key.columns) for row in rows]
        assert len(set(chosen)) == len(rows)
        assert not any(None in one for one in chosen)
    filled = [at for at in range(3) if all(row[at] is not None for row in rows)]
    if rows and any(len({row[at] for row in rows}) == len(rows) for at in filled):
        assert found


def test_what_is_estimated_says_so_and_what_is_not_is_exact(session) -> None:
    rows = [(number, number % 5, f"K-{number:05}") for number in range(30_000)]
    schema = pa.schema([("many", pa.int64()), ("few", pa.int64()), ("text", pa.string())])
    table = pa.table(dict(zip(schema.names, zip(*rows, strict=True), strict=True)), schema=schema)
    session.run("CREATE OR REPLACE TEMP TABLE given AS SELECT * FROM input", input=table)
    limits = Limits(rows=20_000, distinct=1_000)
    found = {
        one.name: one for one, _ in profile_columns(session, "given", schema, len(rows), Parents.of(session, ()), limits=limits, told={})
    }
    assert found["few"].approximate == ()
    assert (found["few"].distinct, found["few"].mean) == (5, 2.0)
    many = found["many"]
    assert set(many.approximate) == {"distinct", "single", "quantiles", "top", "patterns"}
    assert (many.rows, many.nulls, many.minimum, many.maximum, many.mean, many.zero) == (30_000, 0, "0", "29999", 14_999.5, 1)
    assert many.distinct == pytest.approx(30_000, rel=0.1)
    assert int(many.quantiles[50]) == pytest.approx(15_000, rel=0.1)
    assert not many.unique
    assert [(one.value, one.rows) for one in found["text"].patterns] == [("A-99999", found["text"].pattern_rows)]
    assert [key.columns for key in find_keys(session, "given", list(found.values()), ())] == [("many",), ("text",)]
