"""Write and hash rows in PostgreSQL's SQL, in forms that other systems write too.

Source: PostgreSQL documentation, "String Functions and Operators" and "Binary String Functions".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pyarrow as pa

from limnos.model.digest import Ask, Cell, Comparable, Digestible, Hash, Question, form
from limnos.model.names import literal, quoted
from limnos.sources.postgres.columns import SourceColumn

_BATCH_ROWS = 20_000
_PROBE, _PROBED = "Limnology is the science of measuring lakes.", 6435678215249880982
_PLAIN_TEXT = frozenset({"text", "varchar", "bpchar"})
_NAN = {"float4": "\\x7fc00000", "float8": "\\x7ff8000000000000"}
# The planner does not know what hashing costs: left alone it keeps one process busy, sorts, and compiles for longer than it runs.
_PLAN = ("parallel_setup_cost = 0", "parallel_tuple_cost = 0", "enable_sort = off", "jit = off", "work_mem = '64MB'")


def comparable(connection: psycopg.Connection[Any], columns: Sequence[SourceColumn]) -> Comparable:
    """Say in which form each column is written; there is none that cannot be."""
    forms = {column.name: form(column.type) for column in columns}
    return Comparable(forms, hashes=(Hash.LOOKUP3, Hash.MD5) if _hashes_bytes(connection) else (Hash.MD5,))


def _hashes_bytes(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the server hashes the bytes of UTF-8, and has the hash that it has where words are little-endian."""
    if not _is_utf8(connection):
        return False
    try:
        with connection.transaction():
            return connection.execute(f"SELECT {_lookup3(literal(_PROBE))}".encode()).fetchone() == (_PROBED,)
    except psycopg.errors.UndefinedFunction:
        return False


def _is_utf8(connection: psycopg.Connection[Any]) -> bool:
    return connection.info.parameter_status("server_encoding") == "UTF8"


def _lookup3(text: str) -> str:
    # What is made of columns of several collations has none of its own.
    return f'hashtextextended(({text}) COLLATE "C", 0)'


def answer(
    connection: psycopg.Connection[Any], relation: str, columns: Sequence[SourceColumn], question: Question
) -> Iterator[pa.RecordBatch]:
    """Run the SELECT of a question inside the open transaction, and take its settings back."""
    select = _digestible(relation, columns, utf8=_is_utf8(connection)).select(question)
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        for setting in _PLAN if question.ask is Ask.BUCKETS else _PLAN[:2]:
            cursor.execute(f"SET LOCAL {setting}".encode())
        cursor.execute(select.encode())
        while rows := cursor.fetchmany(_BATCH_ROWS):
            yield _batch(rows, question.schema)


def _batch(rows: Sequence[Sequence[object]], schema: pa.Schema) -> pa.RecordBatch:
    values = zip(*rows, strict=True)
    arrays = [
        pa.array([str(value) if value is not None and pa.types.is_string(kind.type) else value for value in column], kind.type)
        for column, kind in zip(values, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _digestible(relation: str, columns: Sequence[SourceColumn], *, utf8: bool) -> Digestible:
    def encoded(text: str) -> str:
        return text if utf8 else f"convert_to({text}, 'UTF8')"

    return Digestible(
        relation,
        {column.name: _cell(column) for column in columns},
        join=lambda parts: f"concat_ws('|', {', '.join(parts)})",
        join_with_nulls=lambda parts: "concat(" + ", '|', ".join(parts) + ")",
        size=lambda text: f"octet_length({encoded(text)})",
        numbers={Hash.MD5: lambda text: f"('x' || md5({encoded(text)}))::bit(60)::bigint", Hash.LOOKUP3: _lookup3},
        text=_text,
    )


def _cell(column: SourceColumn) -> Cell:
    name = quoted(column.name)
    kind = form(column.type)
    if column.kind in _NAN:
        # Only bits are the same text everywhere; there are many bit patterns of what is not a number.
        bits = f"CASE WHEN {name} = 'NaN' THEN '{_NAN[column.kind]}' ELSE {column.kind}send({name})::text END"
        return Cell(bits, kind, name)
    # A boolean as such is printed `t`; a cast to text prints `true`.
    cast = kind == "boolean" or (kind == "string" and column.kind not in _PLAIN_TEXT)
    sql = f"{name}::text" if cast else name
    return Cell(sql, kind, name)


def _text(sql: str) -> str:
    # A cast to text would cut the blanks at the end of a char(n).
    return f"CASE WHEN {sql} IS NOT NULL THEN concat({sql}) END"
