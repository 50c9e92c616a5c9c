"""Run: load every chosen table and publish all of them in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

from limnos.errors import LimnosError, StorageFailed, WorldError
from limnos.flow.ahead import read_ahead
from limnos.flow.feed import Feeds
from limnos.flow.load import load
from limnos.flow.loading import Load, Versions
from limnos.flow.parts import Parts
from limnos.flow.recover import recover
from limnos.flow.resolve import references
from limnos.flow.select import parents_first
from limnos.flow.sourcing import Candidate, Opened, candidates, config_of
from limnos.flow.verify import compare_table, recorded
from limnos.ledger.events import COMPARED, FAILED, FINISHED, STARTED
from limnos.ledger.lock import exclusive
from limnos.model.contract import Contract, Severity
from limnos.model.data import Snapshot
from limnos.model.decision import Action
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Mode
from limnos.model.run import RunResult, TableResult, TableStatus
from limnos.model.run_id import new_run_id
from limnos.model.state import EntryStatus
from limnos.ports import PlacedReading
from limnos.quality.score import score
from limnos.tables.entries import QUARANTINE


def run(parts: Parts, patterns: Sequence[str], *, wait_s: float) -> RunResult:
    """Load the chosen tables, all of them when none is chosen.

    Raises:
        UnknownName: If a pattern matches nothing.
        RunInProgress: If another process holds the lake for longer than `wait_s`.
        PublishConflict: If a foreign writer moved a table; nothing of this run was published.
    """
    parts.demand(Action.RUN)
    result = run_unless_idle(parts, patterns, wait_s=wait_s, idle=False)
    assert result is not None  # noqa: S101 only what may be idle gives nothing
    return result


def run_unless_idle(parts: Parts, patterns: Sequence[str], *, wait_s: float, idle: bool) -> RunResult | None:
    """Do as `run`, but with `idle` leave no trace if all the chosen tables are read by their changes and there are none."""
    start = time.perf_counter()
    run_id = new_run_id()
    with exclusive(parts.state, f"run {run_id}", wait_s=wait_s):
        recover(parts)
        errors = {} if idle else read_ahead(parts, patterns)
        with ExitStack() as stack:
            opened = Opened(parts, stack, prepares=True)
            found = candidates(opened, patterns)
            chosen = ordered(parts, [replace(one, error=one.error or errors.get(one.table.target)) for one in found])
            versions = Versions(parts.catalog.pin(), parts.ledger.marks())
            feeds = Feeds(stack, wanted(chosen, versions))
            if idle and feeds.idle(chosen):
                return None
            parts.ledger.append(STARTED, parts.project.name, {"tables": [str(one.table.target) for one in chosen]}, run_id=run_id)
            parts.step("run.start", detail=run_id, total=len(chosen))
            try:
                loads = [
                    _verified(parts, one, _placed(one, load(parts, run_id, one, versions, feeds)), versions) for one in _told(parts, chosen)
                ]
                result = _published(parts, run_id, loads, start)
            except LimnosError as error:
                parts.catalog.discard(run_id)
                parts.ledger.append(FAILED, parts.project.name, {"error": error.as_json()}, run_id=run_id)
                raise
            result = replace(result, tables=_acknowledged(parts, opened, result.tables))
    parts.step("run.end", detail=run_id)
    return result


def wanted(chosen: Sequence[Candidate], versions: Versions) -> Mapping[str, Mapping[str, Position]]:
    """Name the tables whose changes are read, by source, and the positions from which they go on."""
    found: dict[str, dict[str, Position]] = {}
    for one in chosen:
        mark = versions.marks.get(one.table.target)
        if one.table.mode is Mode.CDC and mark is not None and mark.position is not None and one.table.target in versions.published:
            found.setdefault(one.source.name, {})[one.table.name] = mark.position
    return found


def _placed(candidate: Candidate, done: Load) -> Load:
    place = candidate.reading.place if isinstance(candidate.reading, PlacedReading) else ""
    return replace(done, result=replace(done.result, notes=(*done.result.notes, place))) if place else done


def _verified(parts: Parts, candidate: Candidate, done: Load, versions: Versions) -> Load:
    """Compare what is about to be published with the source at the same point in time, where the project says so for every run."""
    declared = parts.project.verify.get(candidate.table.target)
    published = versions.published.get(candidate.table.target)
    if declared is None or not declared.every_run or done.result.status not in {TableStatus.PUBLISHED, TableStatus.UNCHANGED}:
        return done
    parts.step("table.verify", candidate.table.target)
    start = time.perf_counter()
    try:
        relation = done.staged.relation if done.staged else parts.catalog.relation(published) if published else None
        assert relation is not None  # noqa: S101 an unchanged table is published
        found = compare_table(parts, candidate, relation, declared.content, entries=done.entries)
    except LimnosError as error:
        return replace(done, result=replace(done.result, notes=(*done.result.notes, f"not compared with its source: {error.what}")))
    verdicts = (*done.result.verdicts, *found.verdicts)
    result = replace(done.result, verdicts=verdicts, score=score(verdicts))
    mark = replace(done.mark, score=result.score) if done.mark else None
    position = mark.position.place if mark and mark.position else ""
    found = replace(found, snapshot_id=result.snapshot_id, position=position, seconds=time.perf_counter() - start)
    return replace(done, result=result, mark=mark, compared=found)


def _told(parts: Parts, chosen: Sequence[Candidate]) -> Iterator[Candidate]:
    """Tell the observer of each table that is done, when the next is asked for."""
    for at, candidate in enumerate(chosen):
        yield candidate
        parts.step("table.done", candidate.table.target, done=at + 1, total=len(chosen))


def _acknowledged(parts: Parts, opened: Opened, results: Sequence[TableResult]) -> tuple[TableResult, ...]:
    """Tell each source how far its changes were published; one that does not hear it now hears it in the next run."""
    marks = parts.ledger.marks()
    told = list(results)
    for source, adapter in opened.changing():
        known = {table.name: marks[table.target].position for table in source.tables if table.mode is Mode.CDC and table.target in marks}
        try:
            adapter.acknowledge({name: position for name, position in known.items() if position is not None})
        except WorldError as error:
            note = f"the source was not told how far it was read: {error.what}"
            told = [replace(one, notes=(*one.notes, note)) if one.table.namespace == source.namespace else one for one in told]
    parts.step("run.acknowledged")
    return tuple(told)


def ordered(parts: Parts, chosen: Sequence[Candidate]) -> Sequence[Candidate]:
    """Put parents before children, by what is declared; what a source adds by itself is settled table by table."""
    by_table = {one.table.target: one for one in chosen}
    parents: dict[TableName, frozenset[TableName]] = {}
    told: dict[TableName, frozenset[TableName]] = {}
    for table, candidate in by_table.items():
        config = config_of(parts, table)
        strict = tuple(rule for rule in config.rules if (rule.severity or config.on_fail) is not Severity.WARN)
        parents[table] = references(Contract(table, (), rules=strict)) | _source_parents(candidate)
        told[table] = references(Contract(table, (), rules=config.rules)) - parents[table]
    return [by_table[table] for table in parents_first(parents, told)]


def _source_parents(candidate: Candidate) -> frozenset[TableName]:
    if candidate.reading is None or candidate.adapter is None or "keys" not in candidate.adapter.capabilities:
        return frozenset()
    try:
        described = candidate.reading.describe(candidate.table.name, TableName(candidate.source.namespace, candidate.table.target.name))
    except LimnosError:
        # The same error comes again when the table is loaded, and is reported there.
        return frozenset()
    declared = {table.name: table.target for table in candidate.source.tables}
    return frozenset(declared.get(parent.name, parent) for parent in references(described))


def _published(parts: Parts, run_id: str, loads: Sequence[Load], start: float) -> RunResult:
    _publish(parts, run_id, loads)
    with suppress(StorageFailed):
        # What was published stays so; the next run sweeps again.
        parts.catalog.sweep()
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
            if one.superseded:
                parts.ledger.dispose(one.result.table, one.superseded, EntryStatus.SUPERSEDED, run_id, transaction)
        parts.step("run.marked")
        if compared := [one.compared for one in loads if one.compared is not None]:
            parts.ledger.append(COMPARED, parts.project.name, recorded(compared), run_id=run_id, transaction=transaction)
        payload = {"tables": [one.result.as_json() for one in loads]}
        parts.ledger.append(FINISHED, parts.project.name, payload, run_id=run_id, transaction=transaction)
        parts.step("run.recorded")
    parts.step("run.published")
    return {snapshot.table: snapshot for snapshot in snapshots}
