"""Choose the rows above a cursor, and remember how far they went."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from limnos.errors import UnknownName, Unsupported
from limnos.model.changes import Window
from limnos.model.names import quoted
from limnos.model.position import Position
from limnos.sources.mysql.address import literal
from limnos.sources.mysql.columns import Order, SourceColumn

_LOOKBACK = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WHOLE = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Hold the condition of the chosen rows, and the position that holds once they are read."""

    where: str
    position: Position


def choose(
    run: Callable[[str], list[tuple[Any, ...]]], columns: Sequence[SourceColumn], table: str, window: Window, subject: str
) -> Chosen:
    """Write the window as SQL, and ask the server where it begins and ends.

    Raises:
        UnknownName: If there is no such column.
        Unsupported: If the values of the cursor have no order that a position can be told in.
    """
    found = next((column for column in columns if column.name == window.cursor), None)
    if found is None:
        raise UnknownName.among("column", window.cursor, [column.name for column in columns], hint="correct `cursor` in limnos.yml")
    name = quoted(found.name)
    low = _low(run, found, window, subject)
    ((greatest, below),) = run(f"SELECT CAST(max({name}) AS CHAR), {_below(run, name, table, low)} FROM {table}")
    where = f"WHERE {name} >= {low[1]} OR {name} IS NULL" if low[0] else ""
    return Chosen(where, Position("cursor", {"max": str(greatest or ""), "low": low[0], "below": int(below)}))


def _below(run: Callable[[str], list[tuple[Any, ...]]], name: str, table: str, low: tuple[str, str]) -> int:
    if not low[0]:
        return 0
    ((below,),) = run(f"SELECT count(*) FROM {table} WHERE {name} < {low[1]}")
    return int(below)


def _low(run: Callable[[str], list[tuple[Any, ...]]], column: SourceColumn, window: Window, subject: str) -> tuple[str, str]:
    """Give the bound in the server's own text and as SQL; both empty for none."""
    if column.order is Order.NONE:
        raise Unsupported(
            f"A column of type {column.kind} cannot be a cursor",
            subject=f"{subject}.{column.name}",
            seen=column.spelled,
            expected="whole numbers, decimals, doubles, days or instants",
            hint="choose another `cursor` in limnos.yml, or `mode: full`",
        )
    if not window.since:
        return "", ""
    since = literal(window.since)
    if column.order is Order.NUMBER:
        kind = "DOUBLE" if column.kind == "double" else f"DECIMAL(65, {column.scale})"
        typed = f"CAST({since} AS {kind})"
    else:
        typed = f"CAST({since} AS DATETIME(6))"
    if window.lookback:
        typed += _back(column, window.lookback, subject)
    ((text,),) = run(f"SELECT CAST({typed} AS CHAR)")
    return str(text), typed


def _back(column: SourceColumn, lookback: str, subject: str) -> str:
    if column.order is Order.NUMBER and _WHOLE.fullmatch(lookback):
        return f" - {lookback}"
    spelled = _LOOKBACK.fullmatch(lookback)
    if column.order is Order.INSTANT and spelled:
        return f" - INTERVAL {int(spelled[1]) * _SECONDS[spelled[2]]} SECOND"
    raise Unsupported(
        f"{lookback!r} is no lookback for a column of type {column.kind}",
        subject=f"{subject}.{column.name}",
        seen=lookback,
        expected="a whole number" if column.order is Order.NUMBER else "a duration such as 90m, 12h or 2d",
        hint="correct `lookback` in limnos.yml",
    )
