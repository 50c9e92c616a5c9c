"""Rows of a query laid out for people."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import pyarrow as pa

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
