"""The two sides of a comparison: what the embedded engine holds, and what a source answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from limnos.model.casts import Casts
from limnos.model.conversion import as_text
from limnos.model.digest import Cell, Digestible, Hash, Question, form
from limnos.model.names import quoted
from limnos.model.types import sql_type, type_name
from limnos.ports import Session
from limnos.quality.comparison_compiled import FUNCTION

_HEX_DIGITS = {"float": 8, "double": 16}
_NAN = {"float": "7fc00000", "double": "7ff8000000000000"}


@dataclass(frozen=True, slots=True)
class EngineSide:
    """Answer questions of rows that the engine reads."""

    rows: Digestible

    def keep(self, session: Session, question: Question, name: str) -> None:
        """Put the answer into a temporary table."""
        columns = [f"_{at}" for at in range(len(question.schema))]
        typed = ", ".join(
            f"CAST({column} AS {sql_type(kind.type)}) AS {quoted(kind.name)}" for column, kind in zip(columns, question.schema, strict=True)
        )
        session.run(
            f"CREATE TEMP TABLE {quoted(name)} AS SELECT {typed} FROM ({self.rows.select(question)}) AS answer({', '.join(columns)})"
        )


@dataclass(frozen=True, slots=True)
class SourceSide:
    """Pass questions on to a source."""

    ask: Callable[[Question], Iterator[pa.RecordBatch]]

    def keep(self, session: Session, question: Question, name: str) -> None:
        """Put the answer into a temporary table."""
        answer = pa.RecordBatchReader.from_batches(question.schema, self.ask(question))
        session.run(f"CREATE TEMP TABLE {quoted(name)} AS SELECT * FROM answer", answer=answer)


def typed_rows(relation: str, schema: pa.Schema, digits: Collection[str] = ()) -> Digestible:
    """Write rows of the lake; columns of floating point among `digits` by their digits and not by their bits."""
    cells = {
        kind.name: Cell(
            quoted(kind.name) if pa.types.is_integer(kind.type) else canonical(quoted(kind.name), kind.type, digits=kind.name in digits),
            form(kind.type),
            quoted(kind.name),
        )
        for kind in schema
    }
    return _digestible(relation, cells)


def written_rows(relation: str, schema: pa.Schema) -> Digestible:
    """Write rows that stand as canonical texts, as `written` gives them, in a relation; `schema` says of which types they are."""
    cells: dict[str, Cell] = {}
    for kind in schema:
        name = quoted(kind.name)
        cells[kind.name] = Cell(f"TRY_CAST({name} AS BIGINT)" if pa.types.is_integer(kind.type) else name, form(kind.type), name)
    return _digestible(relation, cells)


def written(casts: Casts, raw: pa.Schema, digits: Collection[str] = ()) -> str:
    """List the contract's columns, made of raw ones, as canonical texts; a value that does not fit stands as its source wrote it."""
    types = {kind.name: kind.type for kind in raw}
    return ", ".join(_written(casts, column.name, types, digits=column.name in digits) for column in casts.contract.columns)


def canonical(expression: str, kind: pa.DataType, *, digits: bool = False) -> str:
    r"""Write a value as its canonical text.

    Examples:
        >>> canonical("d", pa.date32())
        'CAST(d AS VARCHAR)'
    """
    name = type_name(kind)
    if name in _HEX_DIGITS and digits:
        return _digits(f"CAST(CAST({expression} AS DOUBLE) AS VARCHAR)")
    if name in _HEX_DIGITS:
        size = _HEX_DIGITS[name]
        bits = f"to_hex(CAST(CAST({expression} AS BIT) AS {'BIGINT' if size == 16 else 'INTEGER'}))"
        # Only bits are the same text everywhere; there are many bit patterns of what is not a number.
        return f"CASE WHEN isnan({expression}) THEN '\\x{_NAN[name]}' ELSE '\\x' || right(lpad(lower({bits}), 16, '0'), {size}) END"
    if pa.types.is_decimal(kind) and kind.precision == kind.scale:
        # Where no digit stands before the point, the engine writes none.
        return f"regexp_replace({as_text(expression, kind)}, '^(-?)[.]', '\\10.')"
    if name == "timestamptz":
        return f"CAST(timezone('UTC', {expression}) AS VARCHAR) || '+00'"
    return as_text(expression, kind)


def _digits(text: str) -> str:
    """Write the digits of a double as MariaDB does, which has other bounds between the two notations: 1e15 and 0.000000000000001."""
    sign, small = f"CASE WHEN starts_with({text}, '-') THEN '-' ELSE '' END", f"split_part(ltrim({text}, '-'), 'e-', 1)"
    power = f"TRY_CAST(split_part({text}, 'e-', 2) AS INTEGER)"
    bare = f"rtrim(replace(ltrim({text}, '-'), '.', ''), '0')"
    return (
        f"CASE WHEN contains({text}, 'e+') THEN replace({text}, 'e+', 'e') "
        f"WHEN {power} <= 15 THEN {sign} || '0.' || repeat('0', {power} - 1) || replace({small}, '.', '') "
        f"WHEN NOT ends_with({text}, '.0') THEN {text} "
        f"WHEN strlen(ltrim({text}, '-')) = 18 THEN {sign} || rtrim({bare}[1] || '.' || {bare}[2:], '.') || 'e15' "
        f"ELSE {text}[:-3] END"
    )


def _written(casts: Casts, name: str, raw: Mapping[str, pa.DataType], *, digits: bool) -> str:
    text = canonical(casts.columns[name].value, casts.contract.column(name).type, digits=digits)
    return f"coalesce({text}, {as_text(quoted(name), raw[name])}) AS {quoted(name)}" if name in raw else f"NULL::VARCHAR AS {quoted(name)}"


def _joined(parts: Sequence[str]) -> str:
    return "concat(" + ", '|', ".join(parts) + ")"


def _digestible(relation: str, cells: Mapping[str, Cell]) -> Digestible:
    return Digestible(
        relation,
        cells,
        join=_joined,
        join_with_nulls=_joined,
        size=lambda text: f"strlen({text})",
        numbers={
            Hash.MD5: lambda text: f"CAST('0x' || substr(md5({text}), 1, 15) AS BIGINT)",
            Hash.LOOKUP3: lambda text: f"{FUNCTION}({text})",
        },
        text=lambda sql: f"CAST({sql} AS VARCHAR)",
        divide="//",
    )
