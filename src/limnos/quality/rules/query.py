"""A query that finds the failing rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import TableName, quoted
from limnos.model.subject import Subject
from limnos.model.verdict import Dimension
from limnos.ports import Session
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, SetRule
from limnos.quality.rules.typed import Value

_PLACE = ("_file", "_row")


@dataclass(frozen=True, slots=True)
class Query(SetRule):
    """Insist that a query returns no row: its result names rows of the table by `_file` and `_row`, which `*` includes, or by the key.

    The query passes the gate that users' queries pass: one SELECT over tables of the lake, with functions that only compute.
    """

    kind: ClassVar[str] = "query"
    dimension: ClassVar[Dimension] = Dimension.CONSISTENCY
    table: TableName
    key: tuple[str, ...]
    columns: tuple[str, ...]
    sql: str

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Query:
        """Build from `sql`; what it reads and calls is judged when it runs."""
        declaration = Declaration.read(spec, contract, "sql")
        declaration.no_columns()
        sql = spec.arguments.get("sql")
        if not isinstance(sql, str) or not sql.strip():
            raise declaration.invalid("sql is not a text", str(sql), "a SELECT that returns the failing rows")
        return cls(declaration.spec, contract.table, contract.key, contract.names, sql)

    def promise(self) -> str:
        """Say what must hold."""
        return f"must return nothing: {' '.join(self.sql.split())}"

    def prepare(self, session: Session, subject: Subject) -> bool | None:
        """Run the query, and keep which rows it returned; where its result names none, it is the table that fails.

        Raises:
            QueryInvalid: If the gate refuses it, or it does not run.
            UnknownName: If it names a table that has no version.
        """
        relations = {str(table): relation for table, relation in subject.parents.items()} | {str(self.table): subject.relation}
        for name in session.tables_of(self.sql, relations):
            table = TableName.parse(name)
            relation = relations.get(name) or subject.other(table)
            session.run(f"CREATE SCHEMA IF NOT EXISTS {quoted(table.namespace)}")
            session.run(f"CREATE OR REPLACE VIEW {table.sql} AS SELECT * FROM {relation}")
        query = f"({self.sql.strip().removesuffix(';')}\n)"
        returned = set(session.run(f"SELECT * FROM {query} LIMIT 0").schema.names)
        named = next((names for names in (_PLACE, self.key) if names and set(names) <= returned), ())
        same = " AND ".join(f"one.{quoted(name)} IS NOT DISTINCT FROM bad.{quoted(name)}" for name in named)
        found = f"SELECT one._file, one._row FROM {subject.relation} AS one SEMI JOIN {query} AS bad ON {same or 'FALSE'}"
        session.run(f"CREATE OR REPLACE TEMP TABLE {self._found} AS {found}")
        return None if named else session.run(f"SELECT * FROM {query} LIMIT 1").num_rows == 0

    def failing_rows(self, subject: Subject) -> str:
        """Find the rows that the query returned, among those to which the rule applies."""
        rows = f"(SELECT _file, _row FROM {subject.relation} WHERE {self.applies()})"
        same = "one._file = bad._file AND one._row = bad._row"
        return f"SELECT one._file, one._row FROM {rows} AS one SEMI JOIN {self._found} AS bad ON {same}"

    def oracle(self, rows: Sequence[Row], parents: Mapping[TableName, Sequence[Row]], now: datetime) -> set[int]:
        """Have another database run the query: SQLite. For that, `parents` holds the table itself as well."""
        with closing(sqlite3.connect(":memory:")) as database:
            for table, content in parents.items():
                _load(database, table, content, content[0] if content else self.columns)
            found = database.execute(self.sql)
            names = [column[0] for column in found.description]
            by = "_row" if "_row" in names else self.key
            returned = [dict(zip(names, values, strict=True)) for values in found]
        places = {id(row): place for place, row in enumerate(parents[self.table])}
        if by == "_row":
            bad = {row["_row"] for row in returned}
            return {index for index, row in enumerate(rows) if places[id(row)] in bad}
        keys = {tuple(row[name] for name in by) for row in returned}
        return {index for index, row in enumerate(rows) if tuple(row[name] for name in by) in keys}

    @property
    def _found(self) -> str:
        return f"limnos_found_{self.spec.version}"


def _load(database: sqlite3.Connection, table: TableName, rows: Sequence[Row], names: Iterable[str]) -> None:
    if table.namespace not in {row[1] for row in database.execute("PRAGMA database_list")}:
        database.execute(f"ATTACH ':memory:' AS {quoted(table.namespace)}")
    columns = ", ".join(quoted(name) for name in (*names, *_PLACE))
    database.execute(f"CREATE TABLE {table.sql} ({columns})")
    for place, row in enumerate(rows):
        marks = ", ".join("?" * (len(row) + len(_PLACE)))
        database.execute(f"INSERT INTO {table.sql} VALUES ({marks})", [*(_plain(value) for value in row.values()), "", place])


def _plain(value: Value) -> Value:
    return value if value is None or isinstance(value, int | float | str | bytes) else str(value)
