"""SQLite, which runs the query of a rule a second time."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from limnos.model.names import TableName, quoted

Row = Mapping[str, Any]
_PLACE = ("_file", "_row")


def returned(sql: str, tables: Mapping[TableName, Sequence[Row]], columns: Sequence[str]) -> tuple[Row, ...]:
    """Run a query over tables of these columns; the place of a row in its table is `_row`."""
    with closing(sqlite3.connect(":memory:")) as database:
        for table, rows in tables.items():
            _load(database, table, rows, (*columns, *_PLACE))
        found = database.execute(sql)
        names = [column[0] for column in found.description]
        return tuple(dict(zip(names, values, strict=True)) for values in found)


def _load(database: sqlite3.Connection, table: TableName, rows: Sequence[Row], names: Sequence[str]) -> None:
    if table.namespace not in {row[1] for row in database.execute("PRAGMA database_list")}:
        database.execute(f"ATTACH ':memory:' AS {quoted(table.namespace)}")
    database.execute(f"CREATE TABLE {table.sql} ({', '.join(quoted(name) for name in names)})")
    marks = ", ".join("?" * len(names))
    for place, row in enumerate(rows):
        database.execute(f"INSERT INTO {table.sql} VALUES ({marks})", [*map(_plain, row.values()), "", place])


def _plain(value: Any) -> Any:  # noqa: ANN401 a value of a row
    return value if value is None or isinstance(value, int | float | str | bytes) else str(value)
