"""Rows of a query on standard output: a table for people, JSON, CSV, Parquet and Arrow for programs."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from io import IOBase
from itertools import islice
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from limnos.apps.cli.terminal import columns

MOST_SHOWN = 1_000


def table(rows: pa.RecordBatchReader) -> tuple[list[str], bool]:
    """Lay out at most 1,000 rows for people; tells whether there were more."""
    found = list(islice(_tuples(rows), MOST_SHOWN + 1))
    numbers = {at for at, field in enumerate(rows.schema) if _is_number(field.type)}
    return columns(found[:MOST_SHOWN], rows.schema.names, right=numbers), len(found) > MOST_SHOWN


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _tuples(rows: pa.RecordBatchReader) -> Iterable[tuple[object, ...]]:
    for batch in rows:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def write(rows: pa.RecordBatchReader, form: str, to: BinaryIO) -> None:
    """Write all rows in bounded memory; `form` is json, csv, parquet or arrow."""
    match form:
        case "json":
            _write_json(rows, to)
        case "csv":
            _write_csv(rows, to)
        case "parquet":
            with pq.ParquetWriter(to, rows.schema, compression="zstd") as writer:
                for batch in rows:
                    writer.write_batch(batch)
        case _:
            # The stubs ask for IOBase; at run time any binary stream serves.
            with pa.ipc.new_stream(cast("IOBase", to), rows.schema) as writer:
                for batch in rows:
                    writer.write_batch(batch)


def _write_json(rows: pa.RecordBatchReader, to: BinaryIO) -> None:
    names = [json.dumps(name, ensure_ascii=False) for name in rows.schema.names]
    before = b"["
    for values in _tuples(rows):
        fields = ", ".join(f"{name}: {encoded(value)}" for name, value in zip(names, values, strict=True))
        to.write(before + f"\n{{{fields}}}".encode())
        before = b","
    to.write(b"[]\n" if before == b"[" else b"\n]\n")


def _write_csv(rows: pa.RecordBatchReader, to: BinaryIO) -> None:
    nested = [pa.types.is_nested(field.type) or pa.types.is_binary(field.type) for field in rows.schema]
    schema = pa.schema([pa.field(field.name, pa.string() if text else field.type) for field, text in zip(rows.schema, nested, strict=True)])
    with pa_csv.CSVWriter(to, schema) as writer:
        for batch in rows:
            flat = [_as_text(column) if text else column for column, text in zip(batch.columns, nested, strict=True)]
            writer.write_batch(pa.record_batch(flat, schema=schema))


def _as_text(column: pa.Array[Any]) -> pa.Array[Any]:
    return pa.array([None if value is None else encoded(value).strip('"') for value in column.to_pylist()], pa.string())


def encoded(value: object) -> str:
    """Write one value as JSON without losing a digit.

    Integers and decimals are JSON numbers with all their digits (a reader that parses them as doubles may round); NaN and the infinities,
    which JSON cannot say, are the strings "NaN", "Infinity" and "-Infinity"; dates and times are ISO 8601; bytes are base64 (RFC 4648).

    Examples:
        >>> encoded(Decimal("12.30")), encoded(float("nan")), encoded(date(2013, 1, 31))
        ('12.30', '"NaN"', '"2013-01-31"')
        >>> encoded({"a": [1, None, b"x"]})
        '{"a": [1, null, "eA=="]}'
    """
    match value:
        case None | bool() | int() | str():
            return json.dumps(value, ensure_ascii=False)
        case float():
            return repr(value) if math.isfinite(value) else json.dumps(_NOT_FINITE[str(value)])
        case Decimal():
            return format(value, "f")
        case datetime() | date() | time():
            return json.dumps(value.isoformat())
        case bytes():
            return json.dumps(base64.b64encode(value).decode())
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(str(key), ensure_ascii=False)}: {encoded(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(encoded, value)) + "]"
        case _:
            return json.dumps(str(value), ensure_ascii=False)


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
