"""Text that is not our own, parsed by the engine and judged by the gate."""

from __future__ import annotations

import json
from collections.abc import Iterable

import duckdb

from limnos.access.gate import Node, TableReference, references
from limnos.errors import QueryInvalid
from limnos.model.names import literal


def parsed(connection: duckdb.DuckDBPyConnection, sql: str, known: Iterable[str]) -> tuple[TableReference, ...]:
    """List every use of a table in one SELECT.

    Raises:
        QueryInvalid: If it is not exactly one SELECT, or uses a relation or function that is not on the allow-list.
    """
    if "\0" in sql or (not sql.isascii() and sql != sql.encode(errors="replace").decode()):
        raise QueryInvalid(
            "The query is not text",
            subject="query",
            seen="a byte that no text holds",
            expected="UTF-8 without NUL",
            hint="limnos query --help",
        )
    row = connection.execute(f"SELECT json_serialize_sql({literal(sql)})").fetchone()
    try:
        tree: Node = json.loads(row[0]) if row else {}
        return references(tree, sql, known)
    except RecursionError as error:
        raise QueryInvalid(
            "The query is nested too deeply",
            subject="query",
            seen=f"{len(sql):,} characters",
            expected="at most some 200 operations inside each other",
            hint="split it with common table expressions",
        ) from error
