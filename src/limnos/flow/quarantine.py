"""Look into the quarantine: which rows wait outside their tables, why, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from limnos.flow.parts import Parts
from limnos.model.casts import Casts, names
from limnos.model.contract import Contract
from limnos.model.data import Relation
from limnos.model.names import TableName, literal, quoted
from limnos.model.run import Reason
from limnos.model.state import EntryStatus, QuarantineCount, QuarantineEntry
from limnos.ports import Session
from limnos.quality import quarantine
from limnos.tables.entries import QUARANTINE

LOCK_WAIT_S = 20.0
_CANDIDATES = "limnos_candidates"
_DISPOSITIONS = pa.schema([("entry_id", pa.string()), ("table_name", pa.string()), ("fingerprint", pa.string()), ("status", pa.string())])
_MARKS = pa.schema([("table_name", pa.string()), ("run_id", pa.string())])
_SHOWN = names(QUARANTINE.names)


@dataclass(frozen=True, slots=True)
class Choice:
    """Choose entries of one table: by a rule that they broke, by id, or all that are open."""

    table: TableName
    rule: str = ""
    ids: tuple[str, ...] = ()

    @property
    def condition(self) -> str:
        """The choice as an SQL condition on entries."""
        said = [f"table_name = {literal(str(self.table))}"]
        if self.rule:
            said.append(f"len(list_filter(reasons, lambda one: one.rule = {literal(self.rule)})) > 0")
        if self.ids:
            said.append(f"id IN ({', '.join(literal(one) for one in self.ids)})")
        return " AND ".join(said)


@contextmanager
def entries_with_status(parts: Parts) -> Generator[tuple[Session, str]]:
    """Open a session in which the name given is a relation of all entries with their `status`."""
    with parts.engine.session() as session:
        snapshot = parts.catalog.pin().get(QUARANTINE.table)
        relation = parts.catalog.relation(snapshot) if snapshot else Relation(QUARANTINE.table, QUARANTINE.schema, (), 0)
        disposed = pa.Table.from_pylist(
            [dict(zip(_DISPOSITIONS.names, one, strict=True)) for one in parts.ledger.dispositions()], schema=_DISPOSITIONS
        )
        marks = pa.Table.from_pylist(
            [{"table_name": str(table), "run_id": mark.run_id} for table, mark in parts.ledger.marks().items()], schema=_MARKS
        )
        session.run("CREATE TEMP TABLE disposed AS SELECT * FROM given", given=disposed)
        session.run("CREATE TEMP TABLE loads AS SELECT * FROM given", given=marks)
        yield session, _with_status(session.relation(relation))


def _with_status(entries: str) -> str:
    """Add what became of each entry: released, replaced by a later load, decided on, or open; a rejection holds for equal rows to come."""
    return (
        f"(SELECT {names(QUARANTINE.names, 'e')}, CASE WHEN d.status = 'released' THEN d.status "
        "WHEN l.run_id IS NULL OR e.run_id < l.run_id THEN 'superseded' "
        "WHEN d.status IS NOT NULL THEN d.status WHEN r.fingerprint IS NOT NULL THEN 'rejected' ELSE 'open' END AS status "
        f"FROM ({entries}) AS e LEFT JOIN disposed AS d ON d.entry_id = e.id LEFT JOIN loads AS l ON l.table_name = e.table_name "
        "LEFT JOIN (SELECT DISTINCT table_name, fingerprint FROM disposed WHERE status = 'rejected') AS r "
        "ON r.table_name = e.table_name AND r.fingerprint = e.fingerprint)"
    )


def open_rows(parts: Parts, table: TableName, contract: Contract) -> pa.Table:
    """Give the open rows of a table: `_entry`, `_fingerprint`, each column typed (null if it does not fit), and as `text NAME`."""
    casts = Casts.of(pa.schema([(name, pa.string()) for name in contract.names]), contract)
    texts = ", ".join(f"{quoted(name)} AS {quoted('text ' + name)}" for name in contract.names)
    with entries_with_status(parts) as (session, entries):
        chosen = f"SELECT * FROM {entries} WHERE table_name = {literal(str(table))} AND status = 'open'"
        rows = quarantine.rows_back(chosen, contract)
        return session.run(
            f"SELECT _entry, _fingerprint, {casts.select}, {texts} FROM ({rows}) AS raw "
            f"JOIN (SELECT id AS _id, fingerprint AS _fingerprint FROM ({chosen})) AS one ON one._id = _entry"
        )


def entries_table(parts: Parts) -> pa.Table:
    """Give every entry with its status, as `system.quarantine` shows it."""
    with entries_with_status(parts) as (session, entries):
        shown = _SHOWN.replace('"at"', '"at" AS quarantined_at')
        return session.run(f"SELECT {shown}, status FROM {entries} ORDER BY quarantined_at, table_name, id")


def counts(parts: Parts, table: TableName | None = None, *, status: EntryStatus | None = EntryStatus.OPEN) -> tuple[QuarantineCount, ...]:
    """Count entries by table and rule; a row that broke two rules counts under both."""
    said = [f"status = {literal(status.value)}"] if status else []
    said += [f"table_name = {literal(str(table))}"] if table else []
    where = f"WHERE {' AND '.join(said)}" if said else ""
    with entries_with_status(parts) as (session, entries):
        found = session.run(
            f"SELECT table_name, one.rule AS rule, status, count(DISTINCT id) AS rows "
            f"FROM (SELECT table_name, id, status, unnest(reasons) AS one FROM {entries} {where}) GROUP BY ALL ORDER BY ALL"
        )
    return tuple(
        QuarantineCount(TableName.parse(row["table_name"]), row["rule"], EntryStatus(row["status"]), row["rows"])
        for row in found.to_pylist()
    )


def rows_by_table(parts: Parts) -> dict[TableName, int]:
    """Count the open entries of each table, each row once."""
    with entries_with_status(parts) as (session, entries):
        found = session.run(f"SELECT table_name, count(*) AS rows FROM {entries} WHERE status = 'open' GROUP BY ALL")
    return {TableName.parse(row["table_name"]): row["rows"] for row in found.to_pylist()}


def show(parts: Parts, choice: Choice, *, status: EntryStatus | None = EntryStatus.OPEN, limit: int = 20) -> tuple[QuarantineEntry, ...]:
    """Give entries with their rows and reasons, in the order of their origin."""
    where = choice.condition + (f" AND status = {literal(status.value)}" if status else "")
    with entries_with_status(parts) as (session, entries):
        found = session.run(f'SELECT {_SHOWN}, status FROM {entries} WHERE {where} ORDER BY "at", origin, id LIMIT {int(limit)}')
    return tuple(_entry(row) for row in found.to_pylist())


def _entry(row: dict[str, object]) -> QuarantineEntry:
    reasons = row["reasons"]
    assert isinstance(reasons, list)  # noqa: S101 the column's type says so
    at = row["at"]
    assert isinstance(at, datetime)  # noqa: S101 the column's type says so
    raw = row["raw"]
    return QuarantineEntry(
        id=str(row["id"]),
        table=TableName.parse(str(row["table_name"])),
        run_id=str(row["run_id"]),
        at=at,
        origin=str(row["origin"]),
        row=json.loads(str(row["row"])) if row["row"] is not None else None,
        raw=raw if isinstance(raw, bytes) else None,
        reasons=tuple(Reason(one["rule"], one["version"], one["severity"], tuple(one["columns"] or ()), one["detail"]) for one in reasons),
        status=EntryStatus(str(row["status"])),
    )


def parsed(table: str, rule: str = "", ids: Sequence[str] = ()) -> Choice:
    """Choose by the words of a caller."""
    return Choice(TableName.parse(table), rule, tuple(ids))
