"""Ask information_schema what a database holds and promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from limnos.model.contract import RuleSpec
from limnos.sources.mysql.address import Connection, ask, is_mariadb
from limnos.sources.mysql.checks import Operand, in_sql, of_text
from limnos.sources.mysql.columns import SourceColumn
from limnos.sources.mysql.driver import pymysql
from limnos.sources.mysql.refusals import number_of

RELATIONS = """
SELECT table_name, table_type, coalesce(engine, ''), coalesce(table_comment, '') FROM information_schema.tables
WHERE table_schema = %s AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW') ORDER BY BINARY table_name
"""
COLUMNS = """
SELECT column_name, lower(data_type), column_type, coalesce(numeric_precision, 0), numeric_scale, is_nullable = 'NO', column_comment
FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""
KEYS = """
SELECT index_name, column_name, sub_part IS NOT NULL OR column_name IS NULL FROM information_schema.statistics
WHERE table_schema = %s AND table_name = %s AND non_unique = 0 ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index
"""
FOREIGN_KEYS = """
SELECT constraint_name, referenced_table_name, column_name, referenced_column_name FROM information_schema.key_column_usage
WHERE table_schema = %s AND table_name = %s AND referenced_table_schema = table_schema ORDER BY constraint_name, ordinal_position
"""
CHECKS = """
SELECT constraint_name, check_clause FROM information_schema.check_constraints
WHERE constraint_schema = %s AND table_name = %s ORDER BY constraint_name
"""
CHECKS_OF_MYSQL = """
SELECT constraint_name, check_clause FROM information_schema.check_constraints
JOIN information_schema.table_constraints USING (constraint_schema, constraint_name)
WHERE constraint_schema = %s AND table_name = %s AND enforced = 'YES' ORDER BY constraint_name
"""
TEXTS = """
SELECT column_name, character_set_name, collation_name FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s AND data_type IN ('char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext')
"""
# MySQL before 8.0.16 has none.
_UNKNOWN_TABLE = 1109
# Engines that show each transaction the database as it was when it began.
_VERSIONED = frozenset({"innodb", "rocksdb", "tokudb"})


@dataclass(frozen=True, slots=True)
class Table:
    """Name a relation of the database; only tables have an `engine`."""

    name: str
    engine: str
    description: str

    @property
    def unshielded(self) -> bool:
        """Whether no snapshot shields a reader of it from writers."""
        return bool(self.engine) and self.engine.lower() not in _VERSIONED


def tables(connection: Connection, database: str) -> dict[str, Table]:
    """Find the tables and views of a database, by name."""
    return {
        name: Table(name, "" if kind == "VIEW" else engine, "" if kind == "VIEW" else comment)
        for name, kind, engine, comment in ask(connection, RELATIONS, database)
    }


def columns(connection: Connection, database: str, table: str) -> tuple[SourceColumn, ...]:
    """Describe the columns of a table, invisible and generated ones as well."""
    return tuple(
        SourceColumn(name, kind, spelled, int(precision), int(scale or 0), scale is not None, bool(required), comment)
        for name, kind, spelled, precision, scale, required, comment in ask(connection, COLUMNS, database, table)
    )


def rules(
    connection: Connection, database: str, table: str, described: Sequence[SourceColumn], namespace: str
) -> tuple[tuple[str, ...], list[RuleSpec]]:
    """Give the primary key, and the rules that the constraints of a table stand for."""
    key: tuple[str, ...] = ()
    found: list[RuleSpec] = []
    for index, each in groupby(ask(connection, KEYS, database, table), lambda row: row[0]):
        parts = list(each)
        if any(partial for *_, partial in parts):
            continue
        names = tuple(column for _, column, _ in parts)
        key = names if index == "PRIMARY" else key
        found.append(RuleSpec("primary_key" if index == "PRIMARY" else "unique", names))
    found += [RuleSpec("not_null", (column.name,)) for column in described if column.required]
    found += [RuleSpec("accepted_values", (column.name,), {"values": list(column.labels)}) for column in described if column.labels]
    for _, each in groupby(ask(connection, FOREIGN_KEYS, database, table), lambda row: row[0]):
        parts = list(each)
        children, parents = tuple(part[2] for part in parts), [part[3] for part in parts]
        found.append(RuleSpec("foreign_key", children, {"references": f"{namespace}.{parts[0][1]}", "columns": parents}))
    found += _checks(connection, database, table, described)
    return key, list({rule.name: rule for rule in found}.values())


def _checks(connection: Connection, database: str, table: str, described: Sequence[SourceColumn]) -> list[RuleSpec]:
    try:
        said = ask(connection, CHECKS if is_mariadb(connection) else CHECKS_OF_MYSQL, database, table)
    except pymysql.MySQLError as error:
        if number_of(error) == _UNKNOWN_TABLE:
            return []
        raise
    if not said:
        return []
    texts = {name: of_text(str(characters), str(collation)) for name, characters, collation in ask(connection, TEXTS, database, table)}
    operands = {column.name: texts.get(column.name) or Operand(column.compared) for column in described}
    found = [(name, *in_sql(str(clause), operands)) for name, clause in said]
    return [RuleSpec("sql", names, {"expression": condition}, name=f"sql:{name}") for name, condition, names in found if condition]
