"""A query that finds the failing rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from limnos.errors import Unsupported
from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import TableName, quoted
from limnos.model.subject import Subject
from limnos.model.verdict import Dimension
from limnos.ports import Session
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, SetRule

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
    sql: str

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Query:
        """Build from `sql`; what it reads and calls is judged when it runs."""
        declaration = Declaration.read(spec, contract, "sql")
        declaration.no_columns()
        sql = spec.arguments.get("sql")
        if not isinstance(sql, str) or not sql.strip():
            raise declaration.invalid("sql is not a text", str(sql), "a SELECT that returns the failing rows")
        return cls(declaration.spec, contract.table, contract.key, sql)

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
        """Refuse: another database has to run the query, as `limnos.testing.other_database` has it do.

        Raises:
            Unsupported: Always.
        """
        raise Unsupported("SQL cannot be run without a database", subject=self.spec.name, hint="limnos explain query")

    @property
    def _found(self) -> str:
        return f"limnos_found_{self.spec.version}"
