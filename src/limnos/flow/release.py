"""Release rows from the quarantine, or reject them for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from limnos.errors import AccountingBroken, LimnosError, UnknownName
from limnos.flow.parts import Parts
from limnos.flow.quarantine import Choice, entries_with_status
from limnos.flow.recover import recover
from limnos.flow.resolve import again, references
from limnos.flow.set_aside import BAD
from limnos.flow.sourcing import bookkeeping_of, config_of, current_rows
from limnos.ledger.events import FAILED, REJECTED, RELEASED, STARTED
from limnos.ledger.lock import exclusive
from limnos.model.casts import Casts, names
from limnos.model.contract import Contract
from limnos.model.data import Relation, WrittenFile
from limnos.model.decision import Action
from limnos.model.names import TableName
from limnos.model.run_id import new_run_id
from limnos.model.state import EntryStatus, ReleaseResult
from limnos.model.subject import Subject
from limnos.ports import Session
from limnos.quality import audit as auditing
from limnos.quality import quarantine
from limnos.quality.rules import build_all

_CANDIDATES = "limnos_candidates"
_CHOSEN = "limnos_chosen"


def reject(parts: Parts, choice: Choice, *, wait_s: float) -> ReleaseResult:
    """Decide that open entries stay out for good; an equal row that comes again is rejected as well."""
    parts.demand(Action.RELEASE, choice.table)
    run_id = new_run_id()
    with exclusive(parts.state, f"reject {run_id}", wait_s=wait_s), entries_with_status(parts) as (session, entries):
        chosen = session.run(f"SELECT id, fingerprint FROM {entries} WHERE {choice.condition} AND status = 'open'")
        with parts.ledger.begin() as transaction:
            moved = parts.ledger.dispose(choice.table, _pairs(chosen), EntryStatus.REJECTED, run_id, transaction)
            result = ReleaseResult(choice.table, run_id, moved, 0)
            parts.ledger.append(REJECTED, str(choice.table), result.as_json(), run_id=run_id, transaction=transaction)
    return result


def release(parts: Parts, choice: Choice, *, wait_s: float) -> ReleaseResult:
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
    with entries_with_status(parts) as (session, entries):
        contract, published = _contract(parts, choice.table)
        layout = parts.catalog.layout(contract, run_id, replace=False)
        session.run(f"CREATE TEMP TABLE {_CHOSEN} AS SELECT * FROM {entries} WHERE {choice.condition} AND status = 'open'")
        good = _good(parts, session, contract, published)
        parts.step("release.write", choice.table)
        files = session.write(f"SELECT {names(contract.names)} FROM ({good})", layout)
        moved = session.run(f"SELECT id, fingerprint FROM {_CHOSEN} WHERE id IN (SELECT _entry FROM ({good}))")
        _account(choice.table, files, moved.num_rows)
        staged = [parts.catalog.stage(contract, files, run_id, replace=False)] if files else []
        parts.step("release.stage", choice.table)
        kept = int(session.run(f"SELECT count(*) FROM {_CHOSEN}").column(0)[0].as_py()) - moved.num_rows
        with parts.ledger.begin() as transaction:
            snapshots = parts.catalog.publish(staged, transaction)
            parts.ledger.dispose(choice.table, _pairs(moved), EntryStatus.RELEASED, run_id, transaction)
            parts.step("release.moved", choice.table)
            result = ReleaseResult(choice.table, run_id, moved.num_rows, kept, snapshots[0].snapshot_id if snapshots else None)
            parts.ledger.append(RELEASED, str(choice.table), result.as_json(), run_id=run_id, transaction=transaction)
            parts.step("release.recorded", choice.table)
        parts.step("release.published", choice.table)
    return result


def _pairs(entries: pa.Table) -> Sequence[tuple[str, str]]:
    return [(row["id"], row["fingerprint"]) for row in entries.select(["id", "fingerprint"]).to_pylist()]


def _account(table: TableName, files: Sequence[WrittenFile], moved: int) -> None:
    written = sum(file.rows for file in files)
    if written != moved:
        raise AccountingBroken(
            f"The released rows of {table} do not add up",
            subject=str(table),
            seen=f"{written:,} rows written, {moved:,} entries released",
            expected="as many rows as entries",
            hint="nothing was released; try again, and report it if it stays",
        )


def _contract(parts: Parts, table: TableName) -> tuple[Contract, Relation]:
    pinned = parts.catalog.pin()
    if table not in pinned:
        raise UnknownName.among("table", str(table), map(str, pinned), hint="limnos status")
    relation = parts.catalog.relation(pinned[table])
    mark = parts.ledger.marks().get(table)
    return again(config_of(parts, table), mark.source_rules if mark else (), relation.schema, bookkeeping_of(parts, table)), relation


def _good(parts: Parts, session: Session, contract: Contract, published: Relation) -> str:
    """Type the chosen rows and judge them beside what is published; gives the SELECT of those that break no rule, with `_entry`."""
    casts = Casts.of(pa.schema([(name, pa.string()) for name in contract.names]), contract)
    chosen = f"SELECT * FROM {_CHOSEN} WHERE NOT {quarantine.undeclared(contract)}"
    session.run(
        f"CREATE TEMP TABLE {_CANDIDATES} AS SELECT {casts.select}, _entry, '' AS _file, row_number() OVER () AS _row "
        f"FROM ({quarantine.rows_back(chosen, contract)}) AS raw WHERE NOT ({casts.fails or 'FALSE'})"
    )
    there = session.relation(published, positions=True)
    both = f"(SELECT {names(contract.names)}, _file, _row FROM {_CANDIDATES} UNION ALL BY NAME SELECT * FROM ({there}))"
    pinned = parts.catalog.pin()
    known = references(contract) & pinned.keys()
    parents = {parent: current_rows(parts, session, parts.catalog.relation(pinned[parent])) for parent in known}
    rows = published.rows + int(session.run(f"SELECT count(*) FROM {_CANDIDATES}").column(0)[0].as_py())
    subject = Subject(both, rows, datetime.now(UTC), parents, previous_rows=published.rows)
    found = auditing.audit(session, build_all(contract), subject, ())
    if any(verdict.holds for verdict in found.verdicts):
        return f"SELECT * FROM {_CANDIDATES} WHERE FALSE"
    return f"SELECT kept.* FROM {_CANDIDATES} AS kept ANTI JOIN (SELECT _row FROM {BAD} WHERE _file = '') AS bad ON kept._row = bad._row"
