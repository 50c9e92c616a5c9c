"""The ledger read as tables: `system.runs`, `system.verdicts`, `system.comparisons`, `system.events`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from limnos.ledger.events import CHECKED, COMPARED, FINISHED
from limnos.model.event import Event

_UTC: pa.DataType = pa.timestamp("us", tz="UTC")


def _schema(columns: Sequence[tuple[str, pa.DataType]]) -> pa.Schema:
    return pa.schema(columns)


RUNS = _schema(
    [
        ("run_id", pa.string()),
        ("table_name", pa.string()),
        ("status", pa.string()),
        ("read", pa.int64()),
        ("written", pa.int64()),
        ("quarantined", pa.int64()),
        ("unchanged", pa.int64()),
        ("snapshot_id", pa.int64()),
        ("score", pa.float64()),
        ("seconds", pa.float64()),
        ("finished_at", _UTC),
        ("actor", pa.string()),
        ("error", pa.string()),
    ]
)
VERDICTS = _schema(
    [
        ("run_id", pa.string()),
        ("table_name", pa.string()),
        ("snapshot_id", pa.int64()),
        ("rule", pa.string()),
        ("kind", pa.string()),
        ("columns", pa.list_(pa.string())),
        ("version", pa.string()),
        ("severity", pa.string()),
        ("dimension", pa.string()),
        ("outcome", pa.string()),
        ("numerator", pa.int64()),
        ("denominator", pa.int64()),
        ("proof", pa.string()),
        ("value", pa.float64()),
        ("detail", pa.string()),
        ("judged_at", _UTC),
    ]
)
COMPARISONS = _schema(
    [
        ("table_name", pa.string()),
        ("compared_at", _UTC),
        ("run_id", pa.string()),
        ("actor", pa.string()),
        ("snapshot_id", pa.int64()),
        ("position", pa.string()),
        ("columns", pa.list_(pa.string())),
        ("source_rows", pa.int64()),
        ("lake_rows", pa.int64()),
        ("quarantined", pa.int64()),
        ("pending", pa.int64()),
        ("missing", pa.int64()),
        ("extra", pa.int64()),
        ("changed", pa.int64()),
        ("pushed_down", pa.bool_()),
        ("seconds", pa.float64()),
        ("error", pa.string()),
    ]
)
EVENTS = _schema(
    [
        ("seq", pa.int64()),
        ("recorded_at", _UTC),
        ("actor", pa.string()),
        ("action", pa.string()),
        ("subject", pa.string()),
        ("run_id", pa.string()),
        ("payload", pa.string()),
        ("previous", pa.string()),
        ("hash", pa.string()),
    ]
)


def tables_of(event: Event) -> Iterable[Mapping[str, Any]]:
    """Give the per-table results that a finished run recorded."""
    found: Iterable[Mapping[str, Any]] = event.payload.get("tables", [])  # type: ignore[assignment]
    return found


def runs(events: Iterable[Event]) -> pa.Table:
    """One row a table and run: what came of it."""
    rows = [
        {
            "run_id": event.run_id,
            "table_name": table["table"],
            **{name: table[name] for name in ("status", "read", "written", "quarantined", "unchanged", "snapshot_id", "score", "seconds")},
            "finished_at": event.at,
            "actor": event.actor,
            "error": table["error"]["what"] if table["error"] else None,
        }
        for event in events
        if event.action == FINISHED
        for table in tables_of(event)
    ]
    return pa.Table.from_pylist(rows, schema=RUNS)


def verdicts(events: Iterable[Event]) -> pa.Table:
    """One row a rule, table and run: what it found."""
    rows = [
        {"run_id": event.run_id, "table_name": table["table"], "snapshot_id": table["snapshot_id"], "judged_at": event.at}
        | {field.name: verdict[field.name] for field in VERDICTS if field.name in verdict}
        for event in events
        if event.action in {FINISHED, CHECKED}
        for table in tables_of(event)
        for verdict in table["verdicts"]
    ]
    return pa.Table.from_pylist(rows, schema=VERDICTS)


def comparisons(events: Iterable[Event]) -> pa.Table:
    """One row a table and comparison with its source: what was compared and what differed."""
    rows = [
        {field.name: table.get(field.name) for field in COMPARISONS}
        | {"table_name": table["table"], "compared_at": event.at, "run_id": event.run_id, "actor": event.actor}
        | {"error": table["error"]["what"] if table["error"] else None}
        for event in events
        if event.action == COMPARED
        for table in tables_of(event)
    ]
    return pa.Table.from_pylist(rows, schema=COMPARISONS)


def events_table(events: Iterable[Event]) -> pa.Table:
    """One row an event, in order."""
    rows = [
        {
            "seq": event.seq,
            "recorded_at": event.at,
            "actor": event.actor,
            "action": event.action,
            "subject": event.subject,
            "run_id": event.run_id,
            "payload": json.dumps(event.payload, sort_keys=True),
            "previous": event.previous,
            "hash": event.hash,
        }
        for event in events
    ]
    return pa.Table.from_pylist(rows, schema=EVENTS)
