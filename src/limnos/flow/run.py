"""Run: load every chosen table and publish all of them in one transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from limnos.errors import LimnosError
from limnos.flow.load import Load, Versions, load
from limnos.flow.parts import Parts
from limnos.flow.recover import recover
from limnos.flow.resolve import references
from limnos.flow.select import parents_first
from limnos.flow.sourcing import Candidate, Opened, candidates, config_of
from limnos.ledger.events import FAILED, FINISHED, STARTED
from limnos.ledger.lock import exclusive
from limnos.model.contract import Contract
from limnos.model.data import Snapshot
from limnos.model.decision import Action
from limnos.model.names import TableName
from limnos.model.run import RunResult, TableStatus
from limnos.model.run_id import new_run_id
from limnos.tables.entries import QUARANTINE


def run(parts: Parts, patterns: Sequence[str], *, wait_s: float) -> RunResult:
    """Load the chosen tables, all of them when none is chosen.

    Raises:
        UnknownName: If a pattern matches nothing.
        RunInProgress: If another process holds the lake for longer than `wait_s`.
        PublishConflict: If a foreign writer moved a table; nothing of this run was published.
    """
    start = time.perf_counter()
    parts.demand(Action.RUN)
    run_id = new_run_id()
    with exclusive(parts.state, f"run {run_id}", wait_s=wait_s):
        recover(parts)
        with ExitStack() as stack:
            chosen = ordered(parts, candidates(Opened(parts, stack), patterns))
            parts.ledger.append(STARTED, parts.project.name, {"tables": [str(one.table.target) for one in chosen]}, run_id=run_id)
            parts.step("run.start", detail=run_id, total=len(chosen))
            try:
                result = _published(parts, run_id, chosen, start)
            except LimnosError as error:
                parts.catalog.discard(run_id)
                parts.ledger.append(FAILED, parts.project.name, {"error": error.as_json()}, run_id=run_id)
                raise
    parts.step("run.end", detail=run_id)
    return result


def ordered(parts: Parts, chosen: Sequence[Candidate]) -> Sequence[Candidate]:
    """Put parents before children, by what is declared; what a source adds by itself is settled table by table."""
    by_table = {one.table.target: one for one in chosen}
    parents = {table: references(Contract(table, (), rules=config_of(parts, table).rules)) for table in by_table}
    described = {table: names | _source_parents(by_table[table]) for table, names in parents.items()}
    return [by_table[table] for table in parents_first(described)]


def _source_parents(candidate: Candidate) -> frozenset[TableName]:
    if candidate.reading is None or candidate.adapter is None or "keys" not in candidate.adapter.capabilities:
        return frozenset()
    try:
        described = candidate.reading.describe(candidate.table.name, TableName(candidate.source.namespace, candidate.table.target.name))
    except LimnosError:
        # The same error comes again when the table is loaded, and is reported there.
        return frozenset()
    declared = {TableName(candidate.source.namespace, table.name): table.target for table in candidate.source.tables}
    return frozenset(declared.get(parent, parent) for parent in references(described))


def _published(parts: Parts, run_id: str, chosen: Sequence[Candidate], start: float) -> RunResult:
    versions = Versions(parts.catalog.pin(), parts.ledger.marks())
    loads: list[Load] = []
    for at, candidate in enumerate(chosen):
        loads.append(load(parts, run_id, candidate, versions))
        parts.step("table.done", candidate.table.target, done=at + 1, total=len(chosen))
    _publish(parts, run_id, loads)
    if any(one.result.status in {TableStatus.HELD, TableStatus.FAILED} for one in loads):
        parts.catalog.discard(run_id)
        parts.step("run.tidied")
    return RunResult(run_id, tuple(one.result for one in loads), time.perf_counter() - start)


def _publish(parts: Parts, run_id: str, loads: Sequence[Load]) -> Mapping[TableName, Snapshot]:
    """Move the pointers, the positions and the event together, or not at all."""
    staged = [one.staged for one in loads if one.staged is not None]
    entries = [file for one in loads if one.staged is not None for file in one.entries]
    if entries:
        staged.append(parts.catalog.stage(QUARANTINE, entries, run_id, replace=False))
    parts.step("run.publish", total=len(staged))
    with parts.ledger.begin() as transaction:
        snapshots = parts.catalog.publish(staged, transaction)
        parts.step("run.moved")
        for one in loads:
            if one.mark is not None:
                parts.ledger.set_mark(one.result.table, one.mark, transaction)
        parts.step("run.marked")
        payload = {"tables": [one.result.as_json() for one in loads]}
        parts.ledger.append(FINISHED, parts.project.name, payload, run_id=run_id, transaction=transaction)
        parts.step("run.recorded")
    parts.step("run.published")
    return {snapshot.table: snapshot for snapshot in snapshots}
