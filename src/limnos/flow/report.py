"""Report how tables stand: `status`, `why`, `history`; every answer is a reading of catalog and ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from limnos.errors import LedgerBroken, UnknownName
from limnos.flow.parts import Parts
from limnos.flow.quarantine import rows_by_table
from limnos.ledger.events import COMPARED, FINISHED, RELEASED, UPKEPT
from limnos.ledger.readings import tables_of
from limnos.model.contract import Severity
from limnos.model.data import Snapshot
from limnos.model.event import Event
from limnos.model.names import TableName
from limnos.model.run import Finding
from limnos.model.state import Compared, HistoryEntry, TableState, Trust
from limnos.model.verdict import Dimension, Outcome, Proof, Verdict
from limnos.tables.entries import QUARANTINE


@dataclass(frozen=True, slots=True)
class _Last:
    """Hold what the latest finished run said of a table."""

    at: datetime
    said: Mapping[str, Any]


def status(parts: Parts) -> tuple[TableState, ...]:
    """Say of each declared or published table how it stands."""
    pinned = {table: snapshot for table, snapshot in parts.catalog.pin().items() if table != QUARANTINE.table}
    sources = {table.target: source.name for source in parts.project.sources for table in source.tables}
    last, open_rows = _latest(parts.ledger.events(action=FINISHED)), rows_by_table(parts)
    compared = _latest(parts.ledger.events(action=COMPARED))
    known = sorted({*pinned, *sources, *last})
    return tuple(
        replace(
            _state(table, _source_of(parts, table, sources), pinned.get(table), last.get(table), open_rows),
            compared=_comparison(compared[table]) if table in compared else None,
        )
        for table in known
    )


def _source_of(parts: Parts, table: TableName, sources: Mapping[TableName, str]) -> str:
    whole = [source.name for source in parts.project.sources if source.every and source.namespace == table.namespace]
    return sources.get(table) or next(iter(whole), "")


def _latest(events: Iterable[Event]) -> dict[TableName, _Last]:
    return {TableName.parse(said["table"]): _Last(event.at, said) for event in events for said in tables_of(event)}


def _state(table: TableName, source: str, snapshot: Snapshot | None, last: _Last | None, open_rows: Mapping[TableName, int]) -> TableState:
    error = last.said["error"] if last else None
    return TableState(
        table,
        source,
        snapshot,
        last_status=str(last.said["status"]) if last else "never run",
        last_run_at=last.at if last else None,
        score=last.said["score"] if last else None,
        quarantined=open_rows.get(table, 0),
        detail=str(error["what"]) if error else "",
    )


def _comparison(last: _Last) -> Compared:
    said = last.said
    return Compared(
        last.at,
        said["snapshot_id"],
        said.get("position", ""),
        len(said["columns"]),
        said["source_rows"],
        said.get("pending", 0),
        said["missing"] + said["extra"] + said["changed"],
        str(said["error"]["what"]) if said["error"] else "",
    )


def why(parts: Parts, table: TableName) -> Trust:
    """Answer whether a table can be trusted now, with the evidence.

    Raises:
        UnknownName: If there is no such table.
    """
    states = {state.table: state for state in status(parts)}
    if table not in states:
        raise UnknownName.among("table", str(table), map(str, states), hint="limnos status")
    state = states[table]
    verdicts = _verdicts(parts, table)
    findings = (_published(state), _last_run(state), _judged(verdicts), _waiting(state), _compared(state), _chain(parts))
    return Trust(state, findings, verdicts)


def _published(state: TableState) -> Finding:
    if state.snapshot is None:
        return Finding("published", ok=False, detail="no version was ever published", hint=f"limnos run {state.table}")
    said = f"{state.snapshot.rows:,} rows in snapshot {state.snapshot.snapshot_id}, published {state.snapshot.at:%Y-%m-%d %H:%M:%S} UTC"
    return Finding("published", ok=True, detail=said)


def _last_run(state: TableState) -> Finding:
    if state.last_run_at is None:
        return Finding("last run", ok=False, detail="never run", hint=f"limnos run {state.table}")
    ok = state.last_status in {"published", "unchanged"}
    said = f"{state.last_status} at {state.last_run_at:%Y-%m-%d %H:%M:%S} UTC" + (f": {state.detail}" if state.detail else "")
    return Finding("last run", ok, said, "" if ok else f"limnos run {state.table}")


def _judged(verdicts: Sequence[Verdict]) -> Finding:
    if not verdicts:
        return Finding("rules", ok=False, detail="no rule judges this table", hint="declare checks under tables: in limnos.yml")
    errors = [verdict.rule for verdict in verdicts if verdict.outcome is Outcome.ERROR]
    warned = [verdict.rule for verdict in verdicts if verdict.outcome is Outcome.FAIL and verdict.severity is Severity.WARN]
    passed = sum(verdict.outcome is Outcome.PASS for verdict in verdicts)
    said = f"{passed} of {len(verdicts)} rules passed" + (f"; warnings: {', '.join(warned)}" if warned else "")
    if errors:
        hint = f"limnos explain {errors[0].split(':')[0]}"
        return Finding("rules", ok=False, detail=f"{said}; could not be judged: {', '.join(errors)}", hint=hint)
    return Finding("rules", ok=True, detail=said)


def _waiting(state: TableState) -> Finding:
    if not state.quarantined:
        return Finding("quarantine", ok=True, detail="no row waits")
    hint = f"limnos quarantine show {state.table}"
    return Finding("quarantine", ok=False, detail=f"{state.quarantined:,} rows wait outside the table", hint=hint)


def _compared(state: TableState) -> Finding:
    """Say how the last comparison went; one of a version that is not published any more is no evidence against this one."""
    last = state.compared
    if last is None:
        return Finding("source", ok=True, detail="never compared")
    at = f"compared at {last.at:%Y-%m-%d %H:%M:%S} UTC"
    if last.error:
        return Finding("source", ok=False, detail=f"{at}: {last.error}", hint=f"limnos verify {state.table}")
    current = state.snapshot is not None and last.snapshot_id in {state.snapshot.snapshot_id, None}
    what = f"{last.source_rows:,} rows, " + (f"{last.columns} columns" if last.columns else "rows only")
    found = f"{last.differing:,} rows differ" if last.differing else "equal"
    more = (f", {last.pending:,} to be merged" if last.pending else "") + (f", at {last.position}" if last.position else "")
    version = "" if current else "; an earlier version"
    ok = not (last.differing and current)
    return Finding("source", ok=ok, detail=f"{at}: {what}, {found}{more}{version}", hint=f"limnos verify {state.table}")


def _chain(parts: Parts) -> Finding:
    try:
        count = parts.ledger.verify()
    except LedgerBroken as error:
        return Finding("ledger", ok=False, detail=f"{error.what}: {error.subject}", hint=error.hint)
    return Finding("ledger", ok=True, detail=f"{count:,} events, chain verified")


def _verdicts(parts: Parts, table: TableName) -> tuple[Verdict, ...]:
    """Give the verdicts of the last run that judged the table; one that found it unchanged judged nothing anew."""
    said_of = [said for event in parts.ledger.events(action=FINISHED) for said in tables_of(event) if said["table"] == str(table)]
    last: Sequence[Mapping[str, Any]] = next((said["verdicts"] for said in reversed(said_of) if said["verdicts"]), [])
    return tuple(
        Verdict(
            rule=said["rule"],
            kind=said["kind"],
            columns=tuple(said["columns"]),
            version=said["version"],
            severity=Severity(said["severity"]),
            dimension=Dimension(said["dimension"]),
            outcome=Outcome(said["outcome"]),
            numerator=said["numerator"],
            denominator=said["denominator"],
            proof=Proof(said["proof"]),
            detail=said["detail"],
            value=said.get("value"),
        )
        for said in last
    )


def history(parts: Parts, table: TableName | None = None) -> tuple[HistoryEntry, ...]:
    """List the published versions of one table or of all, oldest first, each with the run that made it.

    Raises:
        UnknownName: If the table was never published.
    """
    pinned = [one for one in parts.catalog.pin() if one != QUARANTINE.table]
    if table is not None and table not in pinned:
        raise UnknownName.among("table", str(table), map(str, pinned), hint="limnos status")
    made = {event.run_id: event for action in (FINISHED, RELEASED, UPKEPT) for event in parts.ledger.events(action=action)}
    versions = [snapshot for one in ([table] if table else pinned) for snapshot in parts.catalog.history(one)]
    return tuple(_entry(snapshot, made.get(snapshot.run_id)) for snapshot in sorted(versions, key=lambda one: (one.at, one.table)))


def _entry(snapshot: Snapshot, event: Event | None) -> HistoryEntry:
    said = next((one for one in tables_of(event) if one["table"] == str(snapshot.table)), None) if event else None
    return HistoryEntry(
        snapshot,
        action={FINISHED: "run", RELEASED: "release", UPKEPT: "upkeep"}[event.action] if event else "foreign",
        actor=event.actor if event else "",
        read=said["read"] if said else None,
        quarantined=said["quarantined"] if said else None,
        score=said["score"] if said else None,
    )
