"""Divide a table into parts that can be read at once.

Source: PostgreSQL documentation, "System Columns" (ctid); release notes of version 14 (scans of ranges of ctid).
"""

from __future__ import annotations

from typing import Any

import psycopg

from limnos.sources.postgres import catalog

_CTID_RANGES = 140_000
_PART_BLOCKS = 4096
_BLOCKS = """
SELECT coalesce(max(pg_relation_size(c.oid)), 0) / current_setting('block_size')::int8
FROM pg_class c WHERE c.oid = %s OR c.oid IN (SELECT relid FROM pg_partition_tree(%s))
"""


def selects(connection: psycopg.Connection[Any], table: catalog.Table, select: str) -> tuple[str, ...]:
    """Write the SELECTs that give each row of a table once between them; one where its rows have no place or ranges of them no scan."""
    if not table.versioned or connection.info.server_version < _CTID_RANGES:
        return (select,)
    ((blocks,),) = catalog.ask(connection, _BLOCKS, table.oid, table.oid)
    bounds = range(0, int(blocks), _PART_BLOCKS)
    if len(bounds) < 2:
        return (select,)
    last = f"{select} WHERE ctid >= '({bounds[-1]},0)'"
    return (*(f"{select} WHERE ctid >= '({low},0)' AND ctid < '({low + _PART_BLOCKS},0)'" for low in bounds[:-1]), last)
