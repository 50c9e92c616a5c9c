"""Look into the quarantine, release rows from it, or reject them for good."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from limnos.errors import LimnosError, UnknownName
from limnos.flow.parts import Parts
from limnos.flow.recover import recover
from limnos.flow.resolve import again, references
from limnos.flow.sourcing import config_of
from limnos.ledger.events import FAILED, REJECTED, RELEASED, STARTED
from limnos.ledger.lock import exclusive
from limnos.model.casts import Casts, names
from limnos.model.contract import Contract
from limnos.model.data import Relation
from limnos.model.decision import Action
from limnos.model.names import TableName, literal, quoted
from limnos.model.run import Reason
from limnos.model.run_id import new_run_id
from limnos.model.state import EntryStatus, QuarantineCount, QuarantineEntry, ReleaseResult
from limnos.ports import Session, Subject
from limnos.quality import audit as auditing
from limnos.quality import quarantine
from limnos.quality.rules import build_all
from limnos.tables.entries import QUARANTINE

LOCK_WAIT_S = 20.0
_CANDIDATES = "limnos_candidates"
_DISPOSITIONS = pa.schema([("entry_id", pa.string()), ("table_name", pa.string()), ("fingerprint", pa.string()), ("status", pa.string())])
_MARKS = pa.schema([("table_name", pa.string()), ("run_id", pa.string())])
_SHOWN = ", ".join(quoted(name) for name in QUARANTINE.names)


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
def _entries(parts: Parts) -> Iterator[tuple[Session, str]]:
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
    """Add what became of each entry: what somebody decided, for good if it was a rejection, else whether a later load replaced it."""
    return (
        f"(SELECT {', '.join(f'e.{quoted(name)}' for name in QUARANTINE.names)}, CASE WHEN d.status IS NOT NULL THEN d.status "
        "WHEN l.run_id IS DISTINCT FROM e.run_id THEN 'superseded' WHEN r.fingerprint IS NOT NULL THEN 'rejected' ELSE 'open' END AS status "
        f"FROM ({entries}) AS e LEFT JOIN disposed AS d ON d.entry_id = e.id LEFT JOIN loads AS l ON l.table_name = e.table_name "
        "LEFT JOIN (SELECT DISTINCT table_name, fingerprint FROM disposed WHERE status = 'rejected') AS r "
        "ON r.table_name = e.table_name AND r.fingerprint = e.fingerprint)"
    )


def entries_table(parts: Parts) -> pa.Table:
    """Give every entry with its status, as `system.quarantine` shows it."""
    with _entries(parts) as (session, entries):
        return session.run(f"SELECT {_SHOWN}, status FROM {entries} ORDER BY \"at\", table_name, id")


def counts(parts: Parts, table: TableName | None = None, *, status: EntryStatus | None = EntryStatus.OPEN) -> tuple[QuarantineCount, ...]:
    """Count entries by table and rule; a row that broke two rules counts under both."""
    said = [f"status = {literal(status.value)}"] if status else []
    said += [f"table_name = {literal(str(table))}"] if table else []
    where = f"WHERE {' AND '.join(said)}" if said else ""
    with _entries(parts) as (session, entries):
        found = session.run(
            f"SELECT table_name, one.rule AS rule, status, count(DISTINCT id) AS rows "
            f"FROM (SELECT table_name, id, status, unnest(reasons) AS one FROM {entries} {where}) GROUP BY ALL ORDER BY ALL"
        )
    return tuple(
        QuarantineCount(TableName.parse(row["table_name"]), row["rule"], EntryStatus(row["status"]), row["rows"]) for row in found.to_pylist()
    )


def rows_by_table(parts: Parts) -> dict[TableName, int]:
    """Count the open entries of each table, each row once."""
    with _entries(parts) as (session, entries):
        found = session.run(f"SELECT table_name, count(*) AS rows FROM {entries} WHERE status = 'open' GROUP BY ALL")
    return {TableName.parse(row["table_name"]): row["rows"] for row in found.to_pylist()}


def show(
    parts: Parts, choice: Choice, *, status: EntryStatus | None = EntryStatus.OPEN, limit: int = 20
) -> tuple[QuarantineEntry, ...]:
    """Give entries with their rows and reasons, in the order of their origin."""
    where = choice.condition + (f" AND status = {literal(status.value)}" if status else "")
    with _entries(parts) as (session, entries):
        found = session.run(f"SELECT {_SHOWN}, status FROM {entries} WHERE {where} ORDER BY \"at\", origin, id LIMIT {int(limit)}")
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


def reject(parts: Parts, choice: Choice, *, wait_s: float = LOCK_WAIT_S) -> ReleaseResult:
    """Decide that open entries stay out for good; an equal row that comes again is rejected as well."""
    parts.demand(Action.RELEASE, choice.table)
    run_id = new_run_id()
    with exclusive(parts.state, f"reject {run_id}", wait_s=wait_s), _entries(parts) as (session, entries):
        chosen = session.run(f"SELECT id, fingerprint FROM {entries} WHERE {choice.condition} AND status = 'open'")
        with parts.ledger.begin() as transaction:
            pairs = zip(chosen.column("id").to_pylist(), chosen.column("fingerprint").to_pylist(), strict=True)
            moved = parts.ledger.dispose(choice.table, pairs, EntryStatus.REJECTED, run_id, transaction)
            result = ReleaseResult(choice.table, run_id, moved, 0)
            parts.ledger.append(REJECTED, str(choice.table), result.as_json(), run_id=run_id, transaction=transaction)
    return result


def release(parts: Parts, choice: Choice, *, wait_s: float = LOCK_WAIT_S) -> ReleaseResult:
    """Judge open entries by the rules of today, and publish those that break none; the others stay.

    Raises:
        UnknownName: If the table was never published.
    """
    parts.demand(Action.RELEASE, choice.table)
    run_id = new_run_id()
    with exclusive(parts.state, f"release {run_id}", wait_s=wait_s):
        recover(parts)
        parts.ledger.append(STARTED, str(choice.table), {"verb": "release"}, run_id=run_id)
        try:
            return _release(parts, choice, run_id)
        except LimnosError as error:
            parts.catalog.discard(run_id)
            parts.ledger.append(FAILED, str(choice.table), {"error": error.as_json()}, run_id=run_id)
            raise


def _release(parts: Parts, choice: Choice, run_id: str) -> ReleaseResult:
    with _entries(parts) as (session, entries):
        contract, published = _contract(parts, choice.table)
        raw = quarantine.rows_back(f"SELECT * FROM {entries} WHERE {choice.condition} AND status = 'open'", contract)
        total = int(session.run(f"SELECT count(*) FROM {entries} WHERE {choice.condition} AND status = 'open'").column(0)[0].as_py())
        casts = Casts.of(pa.schema([(name, pa.string()) for name in contract.names]), contract)
        session.run(
            f"CREATE TEMP TABLE {_CANDIDATES} AS SELECT {casts.select}, _id, _fingerprint, "
            f"'' AS _file, row_number() OVER () AS _row FROM ({raw}) AS raw WHERE NOT ({casts.fails or 'FALSE'})"
        )
        bad = _judge(parts, session, contract, published)
        good = f"SELECT * FROM {_CANDIDATES} AS kept {bad}"
        layout = parts.catalog.layout(contract, run_id)
        parts.step("release.write", choice.table)
        files = session.write(f"SELECT {names(contract.names)} FROM ({good})", layout)
        chosen = session.run(f"SELECT _id, _fingerprint FROM ({good})")
        pairs = list(zip(chosen.column(0).to_pylist(), chosen.column(1).to_pylist(), strict=True))
        staged = [parts.catalog.stage(contract, files, run_id, replace=False)] if files else []
        parts.step("release.stage", choice.table)
        with parts.ledger.begin() as transaction:
            snapshots = parts.catalog.publish(staged, transaction)
            moved = parts.ledger.dispose(choice.table, pairs, EntryStatus.RELEASED, run_id, transaction)
            result = ReleaseResult(choice.table, run_id, moved, total - moved, snapshots[0].snapshot_id if snapshots else None)
            parts.ledger.append(RELEASED, str(choice.table), result.as_json(), run_id=run_id, transaction=transaction)
            parts.step("release.recorded", choice.table)
        parts.step("release.published", choice.table)
    return result


def _contract(parts: Parts, table: TableName) -> tuple[Contract, Relation]:
    pinned = parts.catalog.pin()
    if table not in pinned:
        raise UnknownName.among("table", str(table), map(str, pinned), hint="limnos status")
    relation = parts.catalog.relation(pinned[table])
    mark = parts.ledger.marks().get(table)
    return again(table, config_of(parts, table), mark.source_rules if mark else (), relation.schema), relation


def _judge(parts: Parts, session: Session, contract: Contract, published: Relation) -> str:
    """Judge the candidates beside what is published; gives the SQL that leaves out those that break a rule."""
    both = (
        f"(SELECT {names(contract.names)}, _file, _row FROM {_CANDIDATES} UNION ALL BY NAME SELECT * FROM ({session.relation(published, positions=True)}))"
    )
    pinned = parts.catalog.pin()
    parents = {
        parent: f"({session.relation(parts.catalog.relation(pinned[parent]))})" for parent in references(contract) if parent in pinned
    }
    rows = published.rows + int(session.run(f"SELECT count(*) FROM {_CANDIDATES}").column(0)[0].as_py())
    auditing.audit(session, build_all(contract), Subject(both, rows, datetime.now(UTC), parents), ())
    return "ANTI JOIN (SELECT _row FROM limnos_bad WHERE _file = '') AS bad ON kept._row = bad._row"


def parsed(table: str, rule: str = "", ids: Sequence[str] = ()) -> Choice:
    """Choose by the words of a caller."""
    return Choice(TableName.parse(table), rule, tuple(ids))
