"""Upkeep: write many small files as few, and files with many rows gone without them, and let old versions go; the rows stay the same."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from limnos.errors import AccountingBroken, LimnosError
from limnos.flow.expire import Expiry, expire, expiries
from limnos.flow.parts import Parts
from limnos.flow.recover import recover
from limnos.flow.resolve import again
from limnos.flow.select import matching
from limnos.flow.sourcing import bookkeeping_of, config_of
from limnos.ledger.events import FAILED, STARTED, UPKEPT, Mark
from limnos.ledger.lock import exclusive
from limnos.model.casts import names
from limnos.model.contract import Contract
from limnos.model.data import Gone, LiveFile, Relation, Snapshot, Staged, WrittenFile
from limnos.model.decision import Action
from limnos.model.names import TableName, quoted
from limnos.model.retention import Retention
from limnos.model.run_id import new_run_id
from limnos.model.upkeep import Upkept
from limnos.ports import Session
from limnos.tables.compaction import choose
from limnos.tables.entries import QUARANTINE


@dataclass(frozen=True, slots=True)
class _Kept:
    """Hold what was done to a table, and its new version if there is one."""

    result: Upkept
    staged: Staged | None = None


def upkeep(parts: Parts, patterns: Sequence[str], retention: Retention, *, wait_s: float) -> tuple[Upkept, ...]:
    """Compact the chosen tables and publish all of them in one transaction, then let their old versions go in another.

    A table whose current version another writer made is left alone.

    Raises:
        UnknownName: If a pattern matches no published table.
        RunInProgress: If another process holds the lake for longer than `wait_s`.
        AccountingBroken: If the rows written are not the rows read; nothing is published then.
    """
    parts.demand(Action.RUN)
    run_id = new_run_id()
    with exclusive(parts.state, f"upkeep {run_id}", wait_s=wait_s):
        recover(parts)
        parts.catalog.forget_chunks()
        parts.catalog.sweep()
        results = _compact(parts, patterns, run_id)
        pinned = parts.catalog.pin()
        found = expiries(parts, [pinned[one.table] for one in results], retention)
        expire(parts, found)
        return tuple(_expired(one, found) for one in results)


def planned(parts: Parts, patterns: Sequence[str], retention: Retention) -> tuple[Upkept, ...]:
    """Say what `upkeep` would do now; nothing is changed. The version that compacting would make is not counted.

    Raises:
        UnknownName: If a pattern matches no published table.
    """
    parts.demand(Action.RUN)
    published = _chosen(parts, patterns)
    found = expiries(parts, published, retention)
    return tuple(_expired(_foreseen(parts, snapshot), found) for snapshot in published)


def _chosen(parts: Parts, patterns: Sequence[str]) -> Sequence[Snapshot]:
    pinned = parts.catalog.pin()
    return [pinned[table] for table in matching([table for table, snapshot in pinned.items() if snapshot.run_id], patterns)]


def _expired(result: Upkept, found: Mapping[TableName, Expiry]) -> Upkept:
    if result.table not in found:
        return result
    one = found[result.table]
    return replace(result, expired=len(one.versions), deleted_files=len(one.files), deleted_bytes=sum(one.files.values()))


def _foreseen(parts: Parts, snapshot: Snapshot) -> Upkept:
    start = time.perf_counter()
    before = parts.catalog.files(snapshot)
    groups = choose(before)
    old = {file for group in groups for file in group}
    made = [
        LiveFile(
            "", sum(file.rows - file.gone for file in group), sum(file.size_bytes * (file.rows - file.gone) // file.rows for file in group)
        )
        for group in groups
    ]
    return _result(snapshot, before, [*(file for file in before if file not in old), *made], start)


def _compact(parts: Parts, patterns: Sequence[str], run_id: str) -> tuple[Upkept, ...]:
    published = _chosen(parts, patterns)
    marks = parts.ledger.marks()
    parts.ledger.append(STARTED, parts.project.name, {"verb": "upkeep"}, run_id=run_id)
    try:
        kept = [_compacted(parts, one, marks.get(one.table), run_id) for one in published]
        return _published(parts, kept, run_id)
    except LimnosError as error:
        parts.catalog.discard(run_id)
        parts.ledger.append(FAILED, parts.project.name, {"error": error.as_json()}, run_id=run_id)
        raise


def _published(parts: Parts, kept: Sequence[_Kept], run_id: str) -> tuple[Upkept, ...]:
    staged = [one.staged for one in kept if one.staged is not None]
    parts.step("upkeep.publish", total=len(staged))
    with parts.ledger.begin() as transaction:
        published = {snapshot.table: snapshot.snapshot_id for snapshot in parts.catalog.publish(staged, transaction)}
        parts.step("upkeep.moved")
        results = tuple(replace(one.result, snapshot_id=published.get(one.result.table)) for one in kept)
        said = {str(one.table): one.as_json() for one in results if one.snapshot_id is not None}
        parts.ledger.append(UPKEPT, parts.project.name, {"compacted": said}, run_id=run_id, transaction=transaction)
    parts.step("upkeep.published")
    return results


def _compacted(parts: Parts, snapshot: Snapshot, mark: Mark | None, run_id: str) -> _Kept:
    start = time.perf_counter()
    before = parts.catalog.files(snapshot)
    groups = choose(before)
    parts.step("upkeep.choose", snapshot.table, f"{sum(map(len, groups)):,} of {len(before):,} files")
    if not groups:
        return _Kept(_result(snapshot, before, before, start))
    relation = parts.catalog.relation(snapshot)
    contract = _contract(parts, relation, mark)
    layout = parts.catalog.layout(contract, run_id, replace=False)
    written: list[WrittenFile] = []
    for group in groups:
        # A database of its own for each group, with one thread: a thread writes a file of its own, and one is what is wanted.
        with parts.engine.session() as session:
            session.run("SET threads = 1")
            live = f"({session.relation(_part(relation, group))})"
            files = session.write(f"SELECT {names(contract.names)} FROM {live}", layout)
            _verify(session, contract, live, files, relation)
        written += files
    parts.step("upkeep.write", snapshot.table, f"{len(written):,} files")
    old = frozenset(file.path for group in groups for file in group)
    staged = parts.catalog.stage(contract, written, run_id, replace=False, gone=Gone(old))
    parts.step("upkeep.stage", snapshot.table)
    left = [file for file in before if file.path not in old]
    after = [*left, *(LiveFile(file.path, file.rows, file.size_bytes) for file in written)]
    if staged.snapshot.rows != snapshot.rows:
        raise _broken(contract, f"{staged.snapshot.rows:,} rows", f"{snapshot.rows:,} rows")
    return _Kept(_result(snapshot, before, after, start), staged)


def _result(snapshot: Snapshot, before: Sequence[LiveFile], after: Sequence[LiveFile], start: float) -> Upkept:
    return Upkept(
        table=snapshot.table,
        rows=snapshot.rows,
        files_before=len(before),
        files_after=len(after),
        bytes_before=sum(file.size_bytes for file in before),
        bytes_after=sum(file.size_bytes for file in after),
        gone_before=sum(file.gone for file in before),
        gone_after=sum(file.gone for file in after),
        seconds=time.perf_counter() - start,
    )


def _contract(parts: Parts, relation: Relation, mark: Mark | None) -> Contract:
    if relation.table == QUARANTINE.table:
        return QUARANTINE
    return again(
        config_of(parts, relation.table), mark.source_rules if mark else (), relation.schema, bookkeeping_of(parts, relation.table)
    )


def _part(relation: Relation, group: Sequence[LiveFile]) -> Relation:
    """Narrow a version to some of its files."""
    gone = {file.path: file.gone for file in group if file.gone}
    deletes = relation.deletes if gone else ()
    return replace(
        relation, files=tuple(file.path for file in group), rows=sum(file.rows - file.gone for file in group), deletes=deletes, gone=gone
    )


def _verify(session: Session, contract: Contract, live: str, files: Sequence[WrittenFile], relation: Relation) -> None:
    """Compare what was written with what was read: as many rows, and the same sum of row hashes."""
    made = Relation(contract.table, relation.schema, tuple(file.path for file in files), sum(file.rows for file in files))
    columns = ", ".join(quoted(name) for name in contract.names)
    read, wrote = (
        session.run(f"SELECT count(*) AS rows, sum(hash({columns})::HUGEINT)::VARCHAR AS content FROM {rows}").to_pylist()[0]
        for rows in (live, f"({session.relation(made)})")
    )
    if read != wrote:
        raise _broken(
            contract, f"{wrote['rows']:,} rows with content {wrote['content']}", f"{read['rows']:,} rows with content {read['content']}"
        )


def _broken(contract: Contract, seen: str, expected: str) -> AccountingBroken:
    return AccountingBroken(
        f"The files written for {contract.table} do not hold the rows of those they stand for",
        subject=str(contract.table),
        seen=seen,
        expected=expected,
        hint="nothing was published; try limnos upkeep again, and report it if it stays",
    )
