"""Each format keeps every value, in its own way."""

from __future__ import annotations

import csv
import io
import json
import resource
from collections.abc import Generator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.errors import StorageFailed, Unsupported
from limnos.sinks.files import FileSink
from limnos.sinks.rows import FORMATS, as_json, write_rows
from limnos.testing.sink import ROWS, SCHEMA, batches


def written(rows: pa.RecordBatchReader | pa.Table, form: str) -> bytes:
    to = io.BytesIO()
    write_rows(rows.to_reader() if isinstance(rows, pa.Table) else rows, to, form)
    return to.getvalue()


def test_parquet_and_arrow_keep_rows_and_schema() -> None:
    parquet = pq.read_table(io.BytesIO(written(batches(), "parquet")))
    arrow = pa.ipc.open_stream(written(batches(), "arrow")).read_all()
    assert parquet.to_pylist() == arrow.to_pylist() == ROWS
    assert parquet.schema.equals(SCHEMA)
    assert arrow.schema.equals(SCHEMA)


def test_json_keeps_every_digit() -> None:
    rows = json.loads(written(batches(), "json"), parse_float=Decimal)
    assert [row["id"] for row in rows] == [row["id"] for row in ROWS]
    assert [row["amount"] for row in rows] == [row["amount"] for row in ROWS]
    assert rows[0]["at"] == "2026-11-22T09:15:00.123456+00:00"
    assert [json.loads(line, parse_float=Decimal) for line in written(batches(), "ndjson").splitlines()] == rows


def test_csv_tells_null_from_the_empty_text() -> None:
    text = written(batches(), "csv").decode()
    assert text.splitlines()[0] == '"id","name","amount","day","at","ok"'
    assert ',"",' in text
    assert ",,,0001-01-01," in text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["name"] for row in rows] == [row["name"] or "" for row in ROWS]
    assert [row["amount"] for row in rows] == ["-0.01", "9" * 36 + ".99", "", "0.00"]


def test_nested_and_binary_values_are_json_in_csv() -> None:
    table = pa.table({"l": [[1, None]], "s": [{"a": "x"}], "b": [b"\x00\xff"], "n": pa.array([None], pa.list_(pa.int32()))})
    assert written(table, "csv").decode().splitlines()[1] == '"[1, null]","{""a"": ""x""}","AP8=",'


def test_intervals_and_durations_can_be_written_as_text() -> None:
    table = pa.table({"i": pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "d": pa.array([timedelta(seconds=1)], pa.duration("us"))})
    for form in ("csv", "json", "ndjson"):
        assert b"1" in written(table, form)


@given(st.floats() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.decimals(allow_nan=False, allow_infinity=False))
def test_a_json_value_reads_back(value: float | str | Decimal) -> None:
    read = json.loads(as_json(value), parse_float=Decimal if isinstance(value, Decimal) else float)
    names = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
    assert str(float(names.get(read, read))) == str(value) if isinstance(value, float) else read == value


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(Unsupported) as caught:
        written(batches(), "xlsx")
    assert caught.value.expected == "parquet, arrow, csv, json, ndjson"


@pytest.fixture
def narrow() -> Generator[None]:
    """Refuse files beyond 4 KB, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("form", FORMATS)
def test_a_disk_without_room_leaves_nothing_of_the_file(tmp_path: Path, form: str) -> None:
    (tmp_path / f"rows.{form}").write_text("kept")
    rows = pa.table({"n": [str(hash(str(n))) for n in range(5_000)]})
    with pytest.raises(StorageFailed, match="File too large"):
        FileSink(tmp_path / f"rows.{form}", form).write(rows.to_reader(1000))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(f"rows.{form}", "kept")]
