"""Rows as bytes: Parquet, Arrow, CSV, JSON and newline-delimited JSON, in bounded memory."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from io import IOBase
from typing import Any, BinaryIO, cast

import pyarrow as pa

from limnos.errors import Unsupported

FORMATS = ("parquet", "arrow", "csv", "json", "ndjson")

_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def write_rows(rows: pa.RecordBatchReader, to: BinaryIO, form: str) -> int:
    """Write all rows to an open stream; gives how many.

    `parquet` (zstd), `arrow` (the IPC stream format), `csv` (with a header; null is empty, an empty text is `""`; nested and binary
    values are JSON), `json` (one array of objects), `ndjson` (one object a line; see `as_json` for values).

    Raises:
        Unsupported: If there is no such format, or it has no place for a column's type.

    Source: RFC 4180 for CSV, with lines ended by LF alone; RFC 8259 for JSON.
    """
    write = {"parquet": _parquet, "arrow": _arrow, "csv": _csv, "json": _json, "ndjson": _ndjson}.get(form)
    if write is None:
        raise _unsupported(f"No format is called {form}", form)
    count = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in rows:
            count += batch.num_rows
            yield batch

    try:
        write(rows.schema, counted(), to)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise _unsupported(f"{form} has no place for a column's type", str(error)) from error
    return count


def as_json(value: object) -> str:
    """Write one value as JSON without losing a digit.

    Integers and decimals are numbers with all their digits (a reader that parses them as doubles may round); NaN and the infinities,
    which JSON cannot say, are the texts "NaN", "Infinity" and "-Infinity"; dates and times are ISO 8601; bytes are base64.

    Examples:
        >>> as_json(Decimal("12.30")), as_json(float("nan")), as_json(date(2013, 1, 31))
        ('12.30', '"NaN"', '"2013-01-31"')
        >>> as_json({"a": [1, None, b"x"]})
        '{"a": [1, null, "eA=="]}'

    Source: RFC 4648 section 4 for base64.
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
            return "{" + ", ".join(f"{json.dumps(str(key), ensure_ascii=False)}: {as_json(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(as_json, value)) + "]"
        case _:
            return json.dumps(str(value), ensure_ascii=False)


def _unsupported(what: str, seen: str) -> Unsupported:
    return Unsupported(what, subject="rows", seen=seen, expected=", ".join(FORMATS), hint="limnos query SQL --format parquet")


def _parquet(schema: pa.Schema, batches: Iterator[pa.RecordBatch], to: BinaryIO) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 start-up time: loaded only where Parquet is written

    with pq.ParquetWriter(to, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _arrow(schema: pa.Schema, batches: Iterator[pa.RecordBatch], to: BinaryIO) -> None:
    # The stubs ask for IOBase; at run time any binary stream serves.
    with pa.ipc.new_stream(cast("IOBase", to), schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _csv(schema: pa.Schema, batches: Iterator[pa.RecordBatch], to: BinaryIO) -> None:
    import pyarrow.csv as pa_csv  # noqa: PLC0415 start-up time: loaded only where CSV is written

    texts = [_needs_text(field.type) for field in schema]
    flat = pa.schema([pa.field(field.name, pa.string() if text else field.type) for field, text in zip(schema, texts, strict=True)])
    with pa_csv.CSVWriter(to, flat) as writer:
        for batch in batches:
            columns = [_as_text(column) if text else column for column, text in zip(batch.columns, texts, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=flat))


def _needs_text(kind: pa.DataType) -> bool:
    return pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_interval(kind)


def _as_text(column: pa.Array[Any]) -> pa.Array[Any]:
    texts = (None if value is None else as_json(value) for value in column.to_pylist())
    return pa.array([text[1:-1] if text is not None and text.startswith('"') else text for text in texts], pa.string())


def _json(schema: pa.Schema, batches: Iterator[pa.RecordBatch], to: BinaryIO) -> None:
    before = b"[\n"
    for row in _objects(schema, batches):
        to.write(before + row)
        before = b",\n"
    to.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _ndjson(schema: pa.Schema, batches: Iterator[pa.RecordBatch], to: BinaryIO) -> None:
    to.writelines(row + b"\n" for row in _objects(schema, batches))


def _objects(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    names = [json.dumps(name, ensure_ascii=False) for name in schema.names]
    for batch in batches:
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            fields = ", ".join(f"{name}: {as_json(value)}" for name, value in zip(names, values, strict=True))
            yield f"{{{fields}}}".encode()
