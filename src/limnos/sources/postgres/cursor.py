"""Choose the rows above a cursor, and remember how far they went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from limnos.errors import ProjectInvalid, Unsupported
from limnos.model.changes import Window
from limnos.model.names import literal, quoted
from limnos.model.position import Position
from limnos.model.units import duration_s
from limnos.sources.postgres.columns import SourceColumn

Ask = Callable[[str], list[tuple[object, ...]]]

# With the type in which the lookback is subtracted.
_NUMBERS: Mapping[str, str] = {"int2": "int8", "int4": "int8", "int8": "int8", "numeric": "numeric"}
# What the lake holds of each type. Values beyond it are in no order with the others there, so they are read every time.
_RANGES: Mapping[str, tuple[str, str]] = {
    "numeric": ("-1e999", "1e999"),
    "date": ("0001-01-01", "9999-12-31"),
    "timestamp": ("0001-01-01", "9999-12-31 23:59:59.999999"),
    "timestamptz": ("0001-01-01 00:00+00", "9999-12-31 23:59:59.999999+00"),
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Hold the condition of the rows in a window, empty for all of them, how many there are, and how far they went."""

    where: str
    rows: int
    position: Position


def choose(ask: Ask, column: SourceColumn, relation: str, window: Window, subject: str) -> Chosen:
    """Find the window in one scan of the server.

    Raises:
        ProjectInvalid: If the lookback is not one of the cursor's type.
        Unsupported: If values of the cursor's type have no order that a position can be told in.
    """
    _check(column, subject)
    cursor, (first, last) = quoted(column.name), _RANGES.get(column.kind, ("", ""))
    low, where = "", ""
    inside = f"{cursor} BETWEEN {literal(first)} AND {literal(last)}" if first else "TRUE"
    if window.since:
        low = _low(ask, column, window, first, subject)
        where = f"({cursor} IS NULL OR {cursor} >= {literal(low)}::{_NUMBERS.get(column.kind, column.kind)}" + (
            f" OR {cursor} < {literal(first)})" if first else ")"
        )
    counted = f"count(*) FILTER (WHERE {where or 'TRUE'}), count(*)"
    ((greatest, rows, total),) = ask(f"SELECT (max({cursor}) FILTER (WHERE {inside}))::text, {counted} FROM {relation}")
    below = int(str(total)) - int(str(rows))
    return Chosen(where, int(str(rows)), Position("cursor", {"max": str(greatest or ""), "low": low, "below": below}))


def _check(column: SourceColumn, subject: str) -> None:
    if column.kind in {*_NUMBERS, *_RANGES} and not pa.types.is_string(column.type):
        return
    raise Unsupported(
        f"{column.name} cannot be a cursor",
        subject=subject,
        seen=f"a column of type {column.kind or 'of an extension or user'}{'' if column.kind != 'numeric' else ' without digits'}",
        expected="smallint, integer, bigint, numeric(p,s), date, timestamp or timestamptz: types whose order is the same here and there",
        hint="choose another `cursor` in limnos.yml, or `mode: full`",
    )


def _low(ask: Ask, column: SourceColumn, window: Window, first: str, subject: str) -> str:
    """Let the server subtract the lookback, in the cursor's own type."""
    kind = _NUMBERS.get(column.kind, column.kind)
    since = f"{literal(window.since)}::{kind}"
    if not window.lookback:
        sql = since
    elif column.kind in _NUMBERS:
        sql = f"{since} - {_number(column, window, subject)}"
    else:
        back = f"{since} - interval {literal(_interval(column, window, subject))}"
        sql = f"greatest({back}, {literal(first)})::{kind}"
    ((low,),) = ask(f"SELECT ({sql})::text")
    return str(low)


def _number(column: SourceColumn, window: Window, subject: str) -> int:
    if window.lookback.isascii() and window.lookback.isdigit():
        return int(window.lookback)
    raise _unfit(column, window, subject, "a whole number, such as 1000")


def _interval(column: SourceColumn, window: Window, subject: str) -> str:
    try:
        return f"{duration_s(window.lookback)} seconds"
    except ValueError:
        raise _unfit(column, window, subject, "a duration, such as 2d or 6h") from None


def _unfit(column: SourceColumn, window: Window, subject: str, expected: str) -> ProjectInvalid:
    return ProjectInvalid(
        f"{window.lookback!r} cannot be subtracted from {column.name}",
        subject=subject,
        seen=f"{window.lookback} before a {column.kind}",
        expected=expected,
        hint="correct `lookback` in limnos.yml",
    )
