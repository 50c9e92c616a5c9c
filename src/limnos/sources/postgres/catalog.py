"""Ask PostgreSQL's catalog what a schema holds and promises."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from limnos.model.contract import Contract, RuleSpec
from limnos.sources.postgres import checks
from limnos.sources.postgres.columns import Carrier, SourceColumn

SAVEPOINT = "limnos_begun"
RELATIONS = """
SELECT c.oid::int8, c.relname, c.relkind::text,
       c.relkind IN ('r', 'm', 'p') AND NOT EXISTS (
           SELECT FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid LEFT JOIN pg_am a ON a.oid = l.relam
           WHERE t.isleaf AND (l.relkind NOT IN ('r', 'm') OR a.amname <> 'heap')),
       obj_description(c.oid, 'pg_class'), c.relhassubclass
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
ORDER BY c.relname
"""
COLUMNS = """
WITH RECURSIVE base AS (
    SELECT a.attnum, a.atttypid AS oid, a.atttypmod AS typmod, a.attnotnull AS required
    FROM pg_attribute a WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attnum, t.typbasetype, t.typtypmod, b.required OR t.typnotnull
    FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'
)
SELECT a.attname, CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname ELSE '' END, b.typmod, b.required,
       coalesce(col_description(a.attrelid, a.attnum), ''),
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder), a.attnum
FROM base b JOIN pg_type t ON t.oid = b.oid JOIN pg_attribute a ON a.attrelid = %s AND a.attnum = b.attnum
WHERE t.typtype <> 'd'
ORDER BY a.attnum
"""
KEYS = """
SELECT i.indisprimary, ARRAY(
    SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts ORDER BY k.place)
FROM pg_index i
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indisprimary DESC, i.indexrelid
"""
FOREIGN_KEYS = """
SELECT p.relname, ARRAY(
    SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.place), ARRAY(
    SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum ORDER BY k.place)
FROM pg_constraint c JOIN pg_class p ON p.oid = c.confrelid JOIN pg_class o ON o.oid = c.conrelid
WHERE c.conrelid = %s AND c.contype = 'f' AND c.conparentid = 0 AND p.relnamespace = o.relnamespace
ORDER BY c.conname
"""
CHECKS = """
SELECT c.conname, pg_get_expr(c.conbin, c.conrelid), ARRAY(
    SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.place)
FROM pg_constraint c WHERE c.conrelid = %s AND c.contype = 'c' AND c.convalidated AND NOT EXISTS (
    SELECT FROM pg_attribute a JOIN pg_collation l ON l.oid = a.attcollation
    WHERE a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey) AND NOT l.collisdeterministic)
ORDER BY c.conname
"""
# The version of a row as a number: the place of the row, hashed with the transaction that wrote it, and with its table where there are
# several. A transaction has no cast to a number; its distance from another one has, and the subtraction cancels the moving end of both.
VERSION = "hashtidextended(ctid, (age('3'::xid)::int8 - age(xmin)) & 4294967295)"
VERSION_OF_SEVERAL = f"{VERSION[:-1]} | (tableoid::int8 << 32))"
OLD_VERSION = "hashtextextended(concat_ws(' ', tableoid, ctid, xmin), 0)"
TID_HASHES = 140_000
# What changes the visible rows of a table but touches none of them.
SHAPE = """
SELECT md5(coalesce(string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated, a.attmissingval::text,
    pg_get_expr(d.adbin, d.adrelid),
    (SELECT string_agg(e.oid || ' ' || e.enumlabel, ',' ORDER BY e.oid) FROM pg_enum e WHERE e.enumtypid = a.atttypid)),
    ';' ORDER BY a.attnum), ''))
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> ''
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
# The file of a relation as the snapshot sees it, against the one it has now.
REWRITTEN = """
SELECT count(*) FROM pg_class c
WHERE (c.oid = %s OR c.oid IN (SELECT relid FROM pg_partition_tree(%s))) AND c.relkind IN ('r', 'm')
  AND c.relfilenode <> coalesce(pg_relation_filenode(c.oid), 0)
"""
# The files of a relation as the snapshot sees them: CLUSTER moves rows to other places, and their versions with them.
FILES = """
SELECT array_agg(c.relfilenode::int8 ORDER BY c.oid) FROM pg_class c
WHERE (c.oid = %s OR c.oid IN (SELECT relid FROM pg_partition_tree(%s))) AND c.relkind IN ('r', 'm')
"""
SERVER = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')"
IDENTITY = "SELECT s.system_identifier::text, c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c"


RIGHTS = """
SELECT c.relname, has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'), row_security_active(c.oid)
FROM pg_class c WHERE c.oid = ANY(%s) ORDER BY c.relname
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Name a relation of the schema; `versioned` ones show the version of each row, so they have a fingerprint.

    One that has `several` tables below it also gives their rows.
    """

    oid: int
    name: str
    kind: str
    versioned: bool
    description: str
    several: bool = False

    @property
    def version(self) -> str:
        """The SQL of a row's version."""
        return VERSION_OF_SEVERAL if self.several else VERSION


def ask(connection: psycopg.Connection[Any], sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Run one statement of this room and give its rows, if it has any."""
    try:
        cursor = connection.execute(sql.encode(), values or None)
    except psycopg.Error:
        if connection.info.transaction_status is TransactionStatus.INERROR:
            # Or else what is refused for one table would be refused for all that are asked for in the same transaction.
            with suppress(psycopg.Error):
                connection.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}".encode())
        raise
    return cursor.fetchall() if cursor.description else []


def tables(connection: psycopg.Connection[Any], schema: str) -> dict[str, Table]:
    """Find the relations of a schema, by name; partitions are part of their table."""
    return {
        name: Table(oid, name, kind, versioned, text or "", several)
        for oid, name, kind, versioned, text, several in ask(connection, RELATIONS, schema)
    }


def columns(connection: psycopg.Connection[Any], table: Table) -> tuple[SourceColumn, ...]:
    """Describe the columns of a relation, domains taken down to their base types."""
    found = ask(connection, COLUMNS, table.oid, table.oid)
    return tuple(
        SourceColumn(name, kind, typmod, required, text, tuple(labels), number)
        for name, kind, typmod, required, text, labels, number in found
    )


def carriers(connection: psycopg.Connection[Any], table: Table, contract: Contract) -> tuple[Carrier, ...]:
    """Choose how each column of a relation travels to become what a contract promises."""
    targets = {column.name: column.type for column in contract.columns}
    return tuple(column.carrier(targets.get(column.name)) for column in columns(connection, table))


def rules(
    connection: psycopg.Connection[Any], table: Table, described: Sequence[SourceColumn], namespace: str
) -> tuple[tuple[str, ...], list[RuleSpec]]:
    """Give the primary key, and the rules that the constraints of a relation stand for."""
    key: tuple[str, ...] = ()
    found: list[RuleSpec] = []
    for primary, names in ask(connection, KEYS, table.oid):
        key = tuple(names) if primary else key
        found.append(RuleSpec("primary_key" if primary else "unique", tuple(names)))
    found += [RuleSpec("not_null", (column.name,)) for column in described if column.required]
    found += [RuleSpec("accepted_values", (column.name,), {"values": list(column.labels)}) for column in described if column.labels]
    found += [
        RuleSpec("foreign_key", tuple(children), {"references": f"{namespace}.{parent}", "columns": list(parents)})
        for parent, children, parents in ask(connection, FOREIGN_KEYS, table.oid)
    ]
    kinds = {column.name: column.compared for column in described if column.compared is not None}
    found += [
        RuleSpec("sql", tuple(names), {"expression": condition}, name=f"sql:{name}")
        for name, expression, names in ask(connection, CHECKS, table.oid)
        if (condition := checks.in_sql(expression, kinds))
    ]
    return key, list({rule.name: rule for rule in found}.values())
