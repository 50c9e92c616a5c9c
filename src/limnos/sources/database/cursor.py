"""Choose the rows above a cursor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from limnos.errors import ProjectInvalid, Unsupported
from limnos.model.changes import Window
from limnos.model.position import Position
from limnos.model.types import type_name
from limnos.model.units import duration_s
from limnos.sources.database.columns import SourceColumn, identifier, text

_Ordered = int | Decimal | date | str
_READERS: Mapping[str, tuple[Callable[[str], _Ordered], sa.types.TypeEngine[Any]]] = {
    "long": (int, sa.BigInteger()),
    "decimal": (Decimal, sa.Numeric()),
    "date": (date.fromisoformat, sa.Date()),
    "timestamp": (datetime.fromisoformat, sa.DateTime()),
    "timestamptz": (datetime.fromisoformat, sa.DateTime(timezone=True)),
    "string": (str, sa.String()),
}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Bound a column from below; without `low`, by nothing."""

    sql: sa.ColumnClause[Any]
    cast: bool
    read: Callable[[str], _Ordered]
    low: _Ordered | None

    @classmethod
    def of(cls, column: SourceColumn, window: Window, dialect: sa.Dialect, where: str) -> Cursor:
        """Read the window's texts as values of the column's type.

        Raises:
            Unsupported: If the column's values have no order that can be told in a position.
            ProjectInvalid: If `lookback` is not one of this type.
        """
        name = "decimal" if pa.types.is_decimal(column.type) else type_name(column.type)
        # SQLite keeps times as texts, and one time has several of them.
        loose = (dialect.name == "sqlite" and column.timed) or (column.cast and not column.timed)
        if name not in _READERS or loose:
            raise Unsupported(
                f"{window.cursor} cannot be a cursor",
                subject=where,
                seen=f"values of the type {name}" + (f" in {dialect.name}" if loose else ""),
                expected="whole numbers, decimals, dates, timestamps or texts",
                hint="choose another `cursor` in limnos.yml, or `mode: full`",
            )
        read, kind = _READERS[name]
        try:
            low = _before(read(window.since), window.lookback) if window.since else None
        except (ValueError, InvalidOperation, OverflowError):
            raise ProjectInvalid(
                f"The lookback of {where} cannot be subtracted from its cursor",
                subject=where,
                seen=f"{window.lookback or 'none'}, from {window.since}",
                expected="a duration such as 2d for dates and timestamps, a whole number for numbers, none for texts",
                hint="correct `lookback` in limnos.yml",
            ) from None
        return cls(sa.column(identifier(column.name, dialect), kind), column.cast, read, low)

    def narrowed(self, select: sa.Select[Any]) -> sa.Select[Any]:
        """Leave out the rows under the bound; null is under none."""
        return select if self.low is None else select.where(sa.or_(self.sql.is_(None), self.sql >= self.low))

    def position(self, connection: sa.Connection, table: sa.TableClause) -> Position:
        """Say how far the whole table goes, and how many of its rows are under the bound."""
        most: sa.ColumnElement[Any] = sa.func.max(self.sql, type_=sa.types.NULLTYPE)
        greatest = connection.execute(sa.select(sa.cast(most, sa.Text()) if self.cast else most).select_from(table)).scalar()
        below = 0
        if self.low is not None:
            below = connection.execute(sa.select(sa.func.count()).select_from(table).where(self.sql < self.low)).scalar_one()
        return Position("cursor", {"max": self._readable(greatest), "low": "" if self.low is None else text(self.low), "below": below})

    def _readable(self, greatest: object) -> str:
        """Write the greatest value; nothing where it is none that can be read back, such as infinity, so that all rows are read again."""
        said = "" if greatest is None else text(greatest)
        try:
            self.read(said)
        except (ValueError, InvalidOperation):
            return ""
        return said


def _before(since: _Ordered, lookback: str) -> _Ordered:
    """Subtract a lookback.

    Examples:
        >>> _before(date(2024, 3, 1), "1d"), _before(10, "3"), _before("b", "")
        (datetime.date(2024, 2, 29), 7, 'b')
    """
    if not lookback:
        return since
    if isinstance(since, date):
        span = timedelta(seconds=duration_s(lookback))
        # A date less some hours is on the day before, and the bound may only be too low.
        return since - span if isinstance(since, datetime) else since - timedelta(days=-(-span // timedelta(days=1)))
    if not isinstance(since, str):
        return since - int(lookback)
    raise ValueError(lookback)
