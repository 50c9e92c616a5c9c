"""What a database says of its tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from limnos.model.contract import RuleSpec
from limnos.sources.database.columns import SourceColumn, of_name, of_type


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Refer to a table of the same schema."""

    columns: tuple[str, ...]
    parent: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Hold the keys of a table."""

    primary: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    foreign: tuple[ForeignKey, ...] = ()


def rules(keys: Keys, columns: tuple[SourceColumn, ...], namespace: str) -> tuple[RuleSpec, ...]:
    """Write keys and columns as rules."""
    found = [RuleSpec("primary_key", keys.primary)] if keys.primary else []
    found += [RuleSpec("not_null", (column.name,)) for column in columns if column.required]
    found += [RuleSpec("unique", names) for names in keys.unique]
    found += [RuleSpec("accepted_values", (column.name,), {"values": list(column.labels)}) for column in columns if column.labels]
    found += [
        RuleSpec("foreign_key", key.columns, {"references": f"{namespace}.{key.parent}", "columns": list(key.parents)})
        for key in keys.foreign
    ]
    return tuple({rule.name: rule for rule in found}.values())


class Inspected:
    """Ask SQLAlchemy's inspector; what a dialect does not tell is taken as not there."""

    def __init__(self, connection: sa.Connection, schema: str) -> None:
        self._dialect = connection.dialect.name
        self._schema = schema or None
        self._inspector = sa.inspect(connection)

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Tables and views, in alphabetical order."""
        found = [*self._inspector.get_table_names(self._schema)]
        for more in (self._inspector.get_view_names, self._inspector.get_materialized_view_names):
            try:
                found += more(self._schema)
            except NotImplementedError:
                continue
        return tuple(sorted(set(found)))

    def columns(self, table: str) -> tuple[SourceColumn, ...]:
        """Describe the columns of a table, in their order."""
        return tuple(self._column(said) for said in self._inspector.get_columns(table, self._schema))

    def _column(self, said: Any) -> SourceColumn:  # noqa: ANN401 a mapping that only SQLAlchemy types
        kind, cast = of_type(said["type"], self._dialect)
        labels = tuple(str(label) for label in getattr(said["type"], "enums", ()))
        return SourceColumn(said["name"], kind, cast, not said.get("nullable", True), said.get("comment") or "", labels)

    def description(self, table: str) -> str:
        """Give the comment on a table."""
        try:
            return self._inspector.get_table_comment(table, self._schema)["text"] or ""
        except NotImplementedError:
            return ""

    def keys(self, table: str) -> Keys:
        """Give the keys of a table."""
        primary = self._told(self._inspector.get_pk_constraint, table) or {}
        unique = [tuple(said["column_names"]) for said in self._told(self._inspector.get_unique_constraints, table) or ()]
        for index in self._told(self._inspector.get_indexes, table) or ():
            partial = any(name.endswith("_where") and value is not None for name, value in index.get("dialect_options", {}).items())
            if index["unique"] and not partial and not index.get("expressions") and all(index["column_names"]):
                unique.append(tuple(index["column_names"]))
        foreign = [
            ForeignKey(tuple(said["constrained_columns"]), said["referred_table"], tuple(said["referred_columns"]))
            for said in self._told(self._inspector.get_foreign_keys, table) or ()
            if said["referred_schema"] in (None, self._schema) and said["referred_table"] in self.tables and said["referred_columns"]
        ]
        return Keys(tuple(primary.get("constrained_columns", ())), tuple(dict.fromkeys(unique)), tuple(foreign))

    def _told(self, ask: Any, table: str) -> Any:  # noqa: ANN401 each question has its own answer
        try:
            return ask(table, self._schema)
        except NotImplementedError:
            return None


class Duck:
    """Ask DuckDB's own catalog: its dialect inherits an inspector that asks for PostgreSQL's, of which it has a part.

    Source: DuckDB documentation, "DuckDB_% Metadata Functions".
    """

    def __init__(self, connection: sa.Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema or "main"

    def _rows(self, sql: str, table: str = "") -> list[Any]:
        given = {"schema": self._schema} | ({"table": table} if table else {})
        return list(self._connection.execute(sa.text(sql), given))

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Tables and views, in alphabetical order."""
        return tuple(row[0] for row in self._rows(f"SELECT table_name FROM information_schema.tables WHERE {_HERE} ORDER BY table_name"))

    def columns(self, table: str) -> tuple[SourceColumn, ...]:
        """Describe the columns of a table, in their order."""
        said = self._rows(
            'SELECT column_name, data_type, is_nullable, "COLUMN_COMMENT" FROM information_schema.columns '
            f"WHERE {_HERE} AND table_name = :table ORDER BY ordinal_position",
            table,
        )
        return tuple(SourceColumn(name, *of_name(str(kind)), nullable == "NO", comment or "") for name, kind, nullable, comment in said)

    def description(self, table: str) -> str:
        """Give the comment on a table."""
        ((said,),) = self._rows(f'SELECT "TABLE_COMMENT" FROM information_schema.tables WHERE {_HERE} AND table_name = :table', table)
        return said or ""

    def keys(self, table: str) -> Keys:
        """Give the keys of a table."""
        said = self._rows(
            "SELECT constraint_type, constraint_column_names, referenced_table, referenced_column_names FROM duckdb_constraints() "
            "WHERE database_name = current_database() AND schema_name = :schema AND table_name = :table ORDER BY constraint_index",
            table,
        )
        named = [(kind, tuple(columns), parent, tuple(parents or ())) for kind, columns, parent, parents in said]
        return Keys(
            next((columns for kind, columns, *_ in named if kind == "PRIMARY KEY"), ()),
            tuple(columns for kind, columns, *_ in named if kind == "UNIQUE"),
            tuple(ForeignKey(columns, parent, parents) for kind, columns, parent, parents in named if kind == "FOREIGN KEY"),
        )


_HERE = "table_catalog = current_database() AND table_schema = :schema"


def catalog(connection: sa.Connection, schema: str) -> Inspected | Duck:
    """Choose the way that the database answers."""
    return (Duck if connection.dialect.name == "duckdb" else Inspected)(connection, schema)
