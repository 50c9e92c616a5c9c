"""Row changes that wait in a server's log: how many of which kind, and how they are read without a lake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from measure import option

CHANGES = option("changes", 1_000_000, "row changes that wait in the log")
KEYS, FIRST = CHANGES // 2, CHANGES * 3 // 10
INSERTED, DELETED = KEYS - FIRST, CHANGES // 10
UPDATED = CHANGES - INSERTED - DELETED


def project(kind: str, url: str) -> str:
    """Give a project that follows the table."""
    return f'version: 1\nproject: bench\nsources:\n  bench: {{type: {kind}, url: "{url}", tables: {{accounts: {{mode: cdc}}}}}}\n'


def decoded(source: Any, table: str, position: Mapping[str, Any], expected: int) -> None:  # noqa: ANN401 imports belong into the measured process
    """Read and decode what happened to a table since a position."""
    from limnos.model.position import Position

    rows = 0
    with source.open() as reading:
        for one in reading.changes({table: Position.from_json(position)}):
            assert one.rows is not None, one.reload
            rows += one.rows.num_rows
    assert rows == expected, rows
