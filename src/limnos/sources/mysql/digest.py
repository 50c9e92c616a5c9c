"""Write and hash rows in the SQL of MySQL and MariaDB, in forms that other systems write too.

Source: MySQL Reference Manual, "String Functions and Operators" and "Cast Functions and Operators"; MariaDB Knowledge Base, the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from limnos.model.digest import DIGITS, Cell, Comparable, Digestible, Hash, Question, form
from limnos.model.names import quoted
from limnos.sources.mysql.address import literal
from limnos.sources.mysql.columns import SourceColumn

_BATCH_ROWS = 20_000


def comparable(columns: Sequence[SourceColumn]) -> Comparable:
    """Say in which form each column is written; no function of these servers tells the bits of floating point."""
    return Comparable({column.name: _form(column) for column in columns})


def select(relation: str, columns: Sequence[SourceColumn], question: Question) -> str:
    """Write the SELECT that answers a question."""
    return Digestible(
        relation,
        {column.name: _cell(column) for column in columns},
        join=lambda parts: f"concat_ws('|', {', '.join(parts)})",
        join_with_nulls=lambda parts: "concat_ws('|', " + ", ".join(f"coalesce({part}, '')" for part in parts) + ")",
        size=lambda text: f"length({text})",
        numbers={Hash.MD5: lambda text: f"CAST(conv(left(md5({text}), 15), 16, 10) AS SIGNED)"},
        text=lambda sql: f"CAST({sql} AS CHAR)",
        literal=literal,
        divide="DIV",
    ).select(question)


def batches(rows: Sequence[Sequence[Any]], question: Question) -> Iterator[pa.RecordBatch]:
    """Give the rows of an answer as batches of the question's schema."""
    schema = question.schema
    for start in range(0, len(rows), _BATCH_ROWS):
        columns = zip(*rows[start : start + _BATCH_ROWS], strict=True)
        arrays = [
            pa.array(
                [None if value is None else str(value) if pa.types.is_string(kind.type) else int(value) for value in column], kind.type
            )
            for column, kind in zip(columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _form(column: SourceColumn) -> str:
    return DIGITS if pa.types.is_floating(column.type) else form(column.type)


def _cell(column: SourceColumn) -> Cell:
    sql, kind = _sql(column), _form(column)
    plain = kind in {"integer", "string", "date"} and column.kind != "bit"
    return Cell(sql, kind, quoted(column.name) if plain else sql)


def _sql(column: SourceColumn) -> str:
    name, kind = quoted(column.name), _form(column)
    if kind == DIGITS:
        # A float is written with six digits, but as a double with all; times one keeps the sign of zero.
        return f"CAST({name} * 1e0 AS CHAR)"
    if column.kind == "bit":
        return f"CAST({name} AS UNSIGNED)"
    if kind == "integer" or kind.startswith("decimal"):
        return f"({name} + 0)" if "zerofill" in column.spelled or column.kind == "year" else name
    if kind == "binary":
        return f"concat('\\\\x', lower(hex({name})))"
    if kind == "string":
        return f"CONVERT({name} USING utf8mb4)"
    text = f"CAST({name} AS CHAR)"
    if "(" in column.spelled and kind in {"timestamp", "timestamptz"}:
        text = f"trim(TRAILING '.' FROM trim(TRAILING '0' FROM {text}))"
    return f"concat({text}, '+00')" if kind == "timestamptz" else text
