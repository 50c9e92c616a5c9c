from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.errors import MalformedFile, SchemaDrift, Unsupported
from limnos.model.names import literal
from limnos.model.types import canonical


def put(files, name: str, **columns: pa.Array) -> Path:
    path = files.write(name, b"")
    pq.write_table(pa.table(columns), path)
    return path


def test_types_come_from_the_footer_and_are_the_ones_limnos_carries(files) -> None:
    at = datetime(2024, 2, 29, 12, tzinfo=UTC)
    put(
        files,
        "t.parquet",
        u64=pa.array([2**64 - 1], pa.uint64()),
        i8=pa.array([-1], pa.int8()),
        word=pa.array(["x"]).dictionary_encode(),
        large=pa.array(["y"], pa.large_string()),
        money=pa.array([Decimal("0.10")], pa.decimal128(12, 2)),
        at=pa.array([at], pa.timestamp("ms", tz="Europe/Paris")),
        many=pa.array([[1, None]], pa.list_(pa.int32())),
        one=pa.array([{"a": 1, "b c": "z"}]),
        half=pa.array([0.5], pa.float16()),
    )
    with files.open("t.parquet") as opened:
        assert opened.types == {
            "u64": "decimal(20,0)",
            "i8": "int",
            "word": "string",
            "large": "string",
            "money": "decimal(12,2)",
            "at": "timestamptz",
            "many": "list<int>",
            "one": "struct<a:long,b c:string>",
            "half": "float",
        }
        schema = opened.extract.schema
        assert schema.types == [canonical(kind) for kind in schema.types]
        (row,) = opened.rows
        assert row["u64"] == Decimal(2**64 - 1)
        assert (row["money"], row["at"], row["many"], row["one"]) == (Decimal("0.10"), at, [1, None], {"a": 1, "b c": "z"})


def test_nanoseconds_are_not_cut_unseen(files) -> None:
    put(files, "t.parquet", at=pa.array([1_000_000_001], pa.timestamp("ns")))
    with files.open("t.parquet") as opened:
        assert opened.extract.schema.types == [pa.timestamp("ns")]
        assert opened.types == {"at": "timestamp"}


@pytest.mark.parametrize(
    ("kind", "options"),
    [(pa.timestamp("ns", tz="UTC"), {}), (pa.time64("ns"), {}), (pa.timestamp("ns"), {"use_deprecated_int96_timestamps": True})],
)
def test_nanoseconds_that_the_engine_would_cut_are_refused(files, kind: pa.DataType, options: dict[str, bool]) -> None:
    for name, value in (("fine.parquet", 1_000_000_000), ("finer.parquet", 1_000_000_001)):
        pq.write_table(pa.table({"n": [1], "at": pa.array([value], kind)}), files.write(name, b""), **options)
    with files.open("fine.parquet") as opened:
        assert len(opened.rows) == 1
    with files.open("finer.parquet") as opened, pytest.raises(Unsupported) as raised:
        _ = opened.extract
    assert raised.value.subject == "finer.parquet"


def test_rows_and_origins_are_counted_from_the_footers(files) -> None:
    put(files, "a.parquet", n=pa.array([1, 2]))
    put(files, "b.parquet", n=pa.array([], pa.int64()))
    put(files, "c.parquet", n=pa.array([3]))
    with files.open("*.parquet") as opened:
        assert opened.extract.rows == 3
        assert [row["n"] for row in opened.rows] == [1, 2, 3]
        assert opened.origins([2, 0]) == ["c.parquet row 1", "a.parquet row 1"]


def test_columns_added_or_dropped_between_files_are_null_where_they_are_missing(files) -> None:
    put(files, "a.parquet", n=pa.array([1]), old=pa.array(["x"]))
    put(files, "b.parquet", new=pa.array([True]), n=pa.array([2]))
    with files.open("*.parquet") as opened:
        assert opened.rows == [{"n": 1, "old": "x", "new": None}, {"n": 2, "old": None, "new": True}]


def test_types_that_widen_without_loss_are_widened(files) -> None:
    put(files, "a.parquet", n=pa.array([1], pa.int32()), f=pa.array([0.5], pa.float32()), d=pa.array([Decimal("1.5")], pa.decimal128(5, 1)))
    put(files, "b.parquet", n=pa.array([2**40]), f=pa.array([0.1]), d=pa.array([Decimal("0.125")], pa.decimal128(5, 3)))
    with files.open("*.parquet") as opened:
        assert opened.types == {"n": "long", "f": "double", "d": "decimal(7,3)"}
        assert opened.rows == [{"n": 1, "f": 0.5, "d": Decimal("1.500")}, {"n": 2**40, "f": 0.1, "d": Decimal("0.125")}]


@pytest.mark.parametrize("other", [pa.array(["x"]), pa.array([0.5])])
def test_types_that_do_not_widen_are_drift_that_names_both_files(files, other: pa.Array) -> None:
    put(files, "a.parquet", n=pa.array([1]))
    put(files, "b.parquet", n=other)
    with files.open("*.parquet") as opened, pytest.raises(SchemaDrift) as raised:
        _ = opened.extract
    assert "a.parquet" in raised.value.what
    assert "b.parquet" in raised.value.what


def test_columns_that_differ_by_case_only_are_drift(files) -> None:
    put(files, "a.parquet", n=pa.array([1]))
    put(files, "b.parquet", N=pa.array([1]))
    with files.open("*.parquet") as opened, pytest.raises(SchemaDrift):
        _ = opened.extract


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_cut_off_is_an_error_that_names_it(files, share: float) -> None:
    put(files, "a.parquet", n=pa.array(range(1000)))
    path = put(files, "b.parquet", n=pa.array(range(1000)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with files.open("*.parquet") as opened, pytest.raises(MalformedFile) as raised:
        _ = opened.extract
    assert raised.value.subject == "b.parquet"
    assert f"{int(len(content) * share)} bytes" in raised.value.seen


def test_a_type_that_iceberg_has_not_is_refused(files) -> None:
    with DuckEngine().session() as session:
        session.run(f"COPY (SELECT INTERVAL 1 DAY AS n) TO {literal(str(files.root / 't.parquet'))} (FORMAT parquet)")
    with files.open("t.parquet") as opened, pytest.raises(Unsupported) as raised:
        _ = opened.extract
    assert raised.value.what == "Column n has a type that an Iceberg table has not"


def test_the_names_of_directories_are_no_columns(files) -> None:
    put(files, "year=2024/t.parquet", year=pa.array([1999]))
    with files.open("**/*.parquet") as opened:
        assert opened.rows == [{"year": 1999}]


def test_a_name_that_looks_like_a_pattern_is_that_file_only(files) -> None:
    put(files, "a*.parquet", n=pa.array([1]))
    put(files, "ab.parquet", n=pa.array([2]))
    with files.open("a*.parquet") as opened:
        assert opened.rows == [{"n": 1}]
