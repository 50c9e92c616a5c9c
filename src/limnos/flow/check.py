"""Check: judge published versions by the rules of today; only the ledger is told."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from limnos.errors import LimnosError
from limnos.flow.parts import Parts
from limnos.flow.resolve import again, references
from limnos.flow.select import matching
from limnos.flow.sourcing import bookkeeping_of, config_of, current_rows
from limnos.ledger.events import CHECKED, Mark
from limnos.model.data import Snapshot
from limnos.model.decision import Action
from limnos.model.names import TableName
from limnos.model.run import TableResult, TableStatus
from limnos.model.subject import Subject
from limnos.model.verdict import Outcome
from limnos.quality import audit as auditing
from limnos.quality.rules import build_all
from limnos.quality.score import score
from limnos.tables.entries import QUARANTINE


def check(parts: Parts, patterns: Sequence[str]) -> tuple[TableResult, ...]:
    """Judge the chosen tables as they are published; a table that breaks a rule that does not merely warn is HELD in the answer.

    Raises:
        UnknownName: If a pattern matches no published table.
    """
    pinned = parts.catalog.pin()
    marks = parts.ledger.marks()
    chosen = matching((table for table in pinned if table != QUARANTINE.table), patterns)
    done = tuple(_check(parts, pinned, table, marks.get(table)) for table in chosen)
    parts.ledger.append(CHECKED, parts.project.name, {"tables": [one.as_json() for one in done]})
    return done


def _check(parts: Parts, pinned: Mapping[TableName, Snapshot], table: TableName, mark: Mark | None) -> TableResult:
    start = time.perf_counter()
    parts.demand(Action.READ, table)
    snapshot = pinned[table]
    try:
        relation = parts.catalog.relation(snapshot)
        contract = again(config_of(parts, table), mark.source_rules if mark else (), relation.schema, bookkeeping_of(parts, table))
        with parts.engine.session() as session:
            known = references(contract) & pinned.keys()
            parents = {parent: current_rows(parts, session, parts.catalog.relation(pinned[parent])) for parent in known}
            subject = Subject(
                f"({session.relation(relation, positions=True)})",
                snapshot.rows,
                datetime.now(UTC),
                parents,
                previous_rows=_rows_before(parts, snapshot),
            )
            found = auditing.audit(session, build_all(contract), subject, ())
    except LimnosError as error:
        return TableResult(table, TableStatus.FAILED, error=error.as_json(), seconds=time.perf_counter() - start)
    broken = any(verdict.outcome in {Outcome.FAIL, Outcome.ERROR} and verdict.severity != "warn" for verdict in found.verdicts)
    return TableResult(
        table,
        TableStatus.HELD if broken else TableStatus.UNCHANGED,
        read=snapshot.rows,
        unchanged=snapshot.rows,
        snapshot_id=snapshot.snapshot_id,
        score=score(found.verdicts),
        seconds=time.perf_counter() - start,
        verdicts=found.verdicts,
    )


def _rows_before(parts: Parts, snapshot: Snapshot) -> int | None:
    """Count the rows of the version that was published before this one; None for the first."""
    before: int | None = None
    for version in parts.catalog.history(snapshot.table):
        if version.snapshot_id == snapshot.snapshot_id:
            return before
        before = version.rows
    return None
