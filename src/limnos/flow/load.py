"""Load one table: read, land, judge, set aside, stage. Nothing that a reader sees changes here."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from limnos.errors import LimnosError, WorldError
from limnos.flow import land as landing
from limnos.flow import set_aside
from limnos.flow.catch_up import above, catch_up, demand_key, snapshot_merge
from limnos.flow.feed import Feeds
from limnos.flow.loading import Load, Loading, Versions
from limnos.flow.parts import Parts
from limnos.flow.resolve import Settled
from limnos.flow.sourcing import Candidate
from limnos.ledger.events import Mark
from limnos.model.casts import Casts, names
from limnos.model.changes import Window
from limnos.model.chunk import Chunks, LandedChunk
from limnos.model.contract import Contract
from limnos.model.data import Layout, LiveFile, Relation, WrittenFile
from limnos.model.extract import Extract
from limnos.model.names import literal
from limnos.model.position import Position
from limnos.model.project import Mode
from limnos.model.run import TableResult, TableStatus
from limnos.model.subject import Subject
from limnos.ports import FollowableReading, Session
from limnos.quality import audit as auditing
from limnos.quality import fit, quarantine
from limnos.quality.rules import build_all
from limnos.quality.score import score
from limnos.tables.compaction import choose
from limnos.tables.entries import QUARANTINE

_SMALL_BYTES = 8 * 1024 * 1024
"""Below it, the files that chunks left in one partition are worth writing as one at once; others are left to upkeep."""


def load(parts: Parts, run_id: str, candidate: Candidate, versions: Versions, feeds: Feeds) -> Load:
    """Load one table; an error of its own ends in its result and leaves the other tables alone."""
    start = time.perf_counter()
    table = candidate.table.target
    try:
        if candidate.error is not None:
            raise candidate.error
        done = _done(Loading(parts, run_id, candidate, versions, feeds))
    except LimnosError as error:
        if not isinstance(error, WorldError):
            # The same chunks would come to the same end again.
            parts.catalog.forget_chunks(table)
        done = Load(TableResult(table, TableStatus.FAILED, error=error.as_json()))
    return replace(done, result=replace(done.result, seconds=time.perf_counter() - start))


@dataclass(frozen=True, slots=True)
class Preview:
    """Say what a load would be judged by, and whether the source is as it was; `merges` says that only changes would be read."""

    contract: Contract
    notes: tuple[str, ...]
    unchanged: bool
    merges: bool


def preview(loading: Loading) -> Preview:
    """Look at one table without reading its rows.

    Raises:
        LimnosError: As the load itself would end.
    """
    if loading.candidate.error is not None:
        raise loading.candidate.error
    reading, mode = loading.reading, loading.candidate.table.mode
    error = reading.unfollowable(loading.name) if mode is Mode.CDC and isinstance(reading, FollowableReading) else None
    if error is not None:
        raise error
    settled = loading.settled()
    contract = loading.bookkeeping.kept_in(settled.contract)
    build_all(contract)
    position = loading.fingerprint()
    unchanged = position is not None and _Full(loading).unchanged(position, contract)
    merges = loading.candidate.table.mode is not Mode.FULL and loading.same_mode() and loading.same_contract(contract)
    return Preview(contract, settled.notes, unchanged, merges)


def _done(loading: Loading) -> Load:
    loading.step("table.open")
    settled = loading.settled()
    demand_key(loading, settled.contract)
    caught_up = catch_up(loading, settled)
    if isinstance(caught_up, Load):
        return caught_up
    return _Full(loading, caught_up).done(settled)


@dataclass(frozen=True, slots=True)
class Remembering:
    """Have the catalog remember the chunks of the table that is loaded."""

    loading: Loading

    def remembered(self, basis: str, chunks: Chunks) -> Sequence[LandedChunk]:
        """Give what was landed on this basis before and has the same rows now."""
        return self.loading.parts.catalog.remembered(self.loading.table, basis, chunks.same)

    def remember(self, landed: LandedChunk, done: int, total: int) -> None:
        """Remember a chunk, which makes `done` of `total`."""
        self.loading.parts.catalog.remember(self.loading.table, landed)
        self.loading.parts.step("table.chunk", self.loading.table, landed.chunk.name, done=done, total=total)


@dataclass(slots=True)
class _Full:
    """Read every row of a table anew; `why` says why, where changes would have been enough."""

    loading: Loading
    why: str = ""

    def done(self, settled: Settled) -> Load:
        loading = self.loading
        position = loading.fingerprint()
        if position is not None and self.unchanged(position, loading.bookkeeping.kept_in(settled.contract)):
            return self._kept(position)
        loading.step("table.read", self.why)
        extract = self._extract(settled)
        settled = loading.met(settled, extract)
        if self.why:
            settled = settled.noted(f"read in full: {self.why}")
        if loading.base is None and loading.table in loading.versions.published:
            settled = settled.noted("begun anew: what is kept of its rows is declared otherwise")
        if loading.bookkeeping.history or (loading.bookkeeping.names and loading.base is not None):
            return snapshot_merge(loading, settled, replace(extract, position=position or extract.position), Remembering(loading))
        contract = loading.bookkeeping.kept_in(settled.contract)
        layout = loading.parts.catalog.layout(contract, loading.run_id, replace=True)
        loading.step("table.write", "rows, counted as they come" if extract.counted else f"{extract.read:,} rows")
        with loading.parts.engine.session() as session:
            landed = landing.land(loading.parts.engine, session, extract, contract, layout, Remembering(loading))
            loading.step("table.landed", f"{landed.rows:,} rows")
            if extract.scan and position is not None:
                # The engine read the outside world by itself: the source now makes sure that it stayed as it was.
                loading.reading.position(loading.name)
            ahead = bool(loading.candidate.source.protect.max_snapshot_age_s)
            settled = replace(settled.noted(*landed.notes(ahead=ahead)), contract=contract)
            return self._judged(session, extract, settled, layout, landed, replace(extract, position=position or extract.position))

    def _extract(self, settled: Settled) -> Extract:
        """Read all rows, with the position from which the table's mode goes on."""
        loading, table = self.loading, self.loading.candidate.table
        if table.mode is Mode.INCREMENTAL:
            return above(loading, settled, Window(table.cursor))
        extract = loading.reading.read(loading.name, settled.contract)
        return replace(extract, position=loading.changing.cut(loading.name)) if table.mode is Mode.CDC else extract

    def unchanged(self, position: Position, contract: Contract) -> bool:
        """Whether the source and all else that a load depends on is as it was."""
        mark = self.loading.mark
        if mark is None or mark.position is None or self.loading.table not in self.loading.versions.published:
            return False
        return mark.position.content == position.content and mark.basis == self.loading.basis(contract)

    def _kept(self, position: Position) -> Load:
        """Leave the table as it is: every row of the source is one that was read before."""
        mark = self.loading.mark
        snapshot = self.loading.versions.published[self.loading.table]
        assert mark is not None  # noqa: S101 only a marked table is unchanged
        result = TableResult(
            self.loading.table,
            TableStatus.UNCHANGED,
            read=mark.read,
            unchanged=mark.read,
            snapshot_id=snapshot.snapshot_id,
            score=mark.score,
        )
        return Load(result, mark=replace(mark, position=position))

    def _judged(
        self, session: Session, extract: Extract, settled: Settled, layout: Layout, landed: landing.Landed, source: Extract
    ) -> Load:
        contract = settled.contract
        relation = Relation(self.loading.table, contract.schema, tuple(file.path for file in landed.files), landed.rows)
        rules = build_all(contract)
        subject = Subject(
            f"({session.relation(relation, positions=True)})",
            landed.rows,
            datetime.now(UTC),
            self.loading.parents(session, contract),
            previous_rows=self.loading.previous_rows,
        )
        found = auditing.audit(session, rules, subject, landed.files)
        verdicts = (
            *fit.well_formed(extract.read, extract.rejected),
            *fit.verdicts(session, Casts.of(extract.schema, contract), landed.files, set_aside.FAILED if landed.failed else ""),
            *found.verdicts,
        )
        self.loading.step("table.audit", f"{len(verdicts)} rules")
        quarantined = extract.rejected + landed.failed + found.bad
        result = TableResult(
            self.loading.table,
            TableStatus.HELD,
            read=extract.read,
            quarantined=quarantined,
            written=landed.rows - found.bad,
            score=score(verdicts),
            verdicts=verdicts,
            notes=settled.notes,
        )
        if any(verdict.holds for verdict in verdicts):
            self.loading.parts.catalog.forget_chunks(self.loading.table)
            return Load(replace(result, written=0, quarantined=0, unchanged=result.read))
        entries = self._set_aside(session, extract, contract, relation, failed=landed.failed, bad=found.bad)
        files = self._without_bad(session, contract, layout, landed, found.bad)
        self.loading.account(result, files, entries)
        mark = Mark(
            source.position,
            self.loading.run_id,
            self.loading.basis(contract),
            extract.read,
            quarantined,
            result.score,
            settled.source_rules,
        )
        if self._same_as_published(session, contract, files, entries):
            self.loading.parts.catalog.forget_chunks(self.loading.table)
            self.loading.parts.catalog.delete([*files, *entries])
            return self._same(result, mark)
        self.loading.step("table.stage")
        staged = self.loading.parts.catalog.stage(contract, files, self.loading.run_id, replace=True)
        self.loading.versions.staged[self.loading.table] = staged
        self.loading.step("table.staged")
        published = replace(result, status=TableStatus.PUBLISHED, snapshot_id=staged.snapshot.snapshot_id)
        return Load(published, staged, entries, mark)

    def _set_aside(
        self, session: Session, extract: Extract, contract: Contract, relation: Relation, *, failed: int, bad: int
    ) -> tuple[WrittenFile, ...]:
        """Write the quarantine entries of this table: what could not become a row, did not fit its type, or broke a rule."""
        if not (extract.rejected or failed or bad):
            return ()
        stamp = quarantine.Stamp(self.loading.table, self.loading.run_id, datetime.now(UTC))
        entries = set_aside.entries(session, extract, contract, relation, stamp, failed=failed, bad=bad)
        files = session.write(entries, self.loading.parts.catalog.layout(QUARANTINE, self.loading.run_id, replace=False))
        self.loading.step("table.quarantine", f"{sum(file.rows for file in files):,} rows")
        return files

    def _without_bad(
        self, session: Session, contract: Contract, layout: Layout, landed: landing.Landed, bad: int
    ) -> tuple[WrittenFile, ...]:
        """Rewrite the files that hold bad rows without them, and divide by partitions what chunks left; the others stay as they are."""
        files = landed.files
        touched = set(session.run(f"SELECT DISTINCT _file FROM {set_aside.BAD}").column(0).to_pylist()) if bad else set[str]()
        if layout.partitions and landed.chunks:
            touched |= _undivided(files)
        if not touched:
            return files
        dirty = [file for file in files if file.path in touched]
        relation = Relation(self.loading.table, contract.schema, tuple(file.path for file in dirty), sum(file.rows for file in dirty))
        rows = session.relation(relation, positions=True)
        clean = session.write(
            f"SELECT * EXCLUDE (_file, _row) FROM ({rows}) AS kept "
            f"ANTI JOIN {set_aside.BAD} AS bad ON kept._file = bad._file AND kept._row = bad._row",
            layout,
        )
        if not landed.chunks:
            # Those of a chunk are whole, and serve the next run if this one dies.
            self.loading.parts.catalog.delete(dirty)
        self.loading.step("table.rewritten", f"{len(dirty)} files")
        return (*(file for file in files if file.path not in touched), *clean)

    def _same_as_published(
        self, session: Session, contract: Contract, files: Sequence[WrittenFile], entries: Sequence[WrittenFile]
    ) -> bool:
        """Tell whether the load came to the very rows, published and quarantined, that are there already."""
        snapshot, mark = self.loading.versions.published.get(self.loading.table), self.loading.mark
        rows = sum(file.rows for file in files)
        if snapshot is None or mark is None or snapshot.run_id != mark.run_id:
            return False
        if snapshot.rows != rows or mark.quarantined != sum(file.rows for file in entries):
            return False
        published = self.loading.parts.catalog.relation(snapshot)
        if json.loads(mark.basis)["contract"] != contract.version or set(published.schema.names) != set(contract.names):
            return False
        new = Relation(self.loading.table, contract.schema, tuple(file.path for file in files), rows)
        if _content(session, session.relation(new), contract.names) != _content(session, session.relation(published), contract.names):
            return False
        return self._same_entries(session, mark, entries)

    def _same_entries(self, session: Session, mark: Mark, entries: Sequence[WrittenFile]) -> bool:
        kept = self.loading.versions.published.get(QUARANTINE.table)
        if not entries or kept is None:
            return not entries
        new = Relation(QUARANTINE.table, QUARANTINE.schema, tuple(file.path for file in entries), 0)
        all_entries = session.relation(self.loading.parts.catalog.relation(kept))
        mine = f"SELECT * FROM ({all_entries}) WHERE table_name = {literal(str(self.loading.table))} AND run_id = {literal(mark.run_id)}"
        columns = ("fingerprint", "reasons")
        return _content(session, session.relation(new), columns) == _content(session, mine, columns)

    def _same(self, result: TableResult, mark: Mark) -> Load:
        """Publish nothing for rows that are there already; only the source's new position is remembered."""
        before, snapshot = self.loading.mark, self.loading.versions.published[self.loading.table]
        assert before is not None  # noqa: S101 only a marked table can be the same
        unchanged = replace(
            result, status=TableStatus.UNCHANGED, unchanged=result.read, written=0, quarantined=0, snapshot_id=snapshot.snapshot_id
        )
        return Load(unchanged, mark=replace(mark, run_id=before.run_id))


def _undivided(files: Sequence[WrittenFile]) -> frozenset[str]:
    """Choose the files of chunks that hold several partitions and the small ones beside them, or those of partitions that have many."""
    if not all(file.partition for file in files):
        return frozenset(file.path for file in files if not file.partition or file.size_bytes < _SMALL_BYTES)
    small = [file for file in files if file.size_bytes < _SMALL_BYTES]
    live = [LiveFile(file.path, file.rows, file.size_bytes, partition=json.dumps(file.partition)) for file in small]
    return frozenset(file.path for group in choose(live) for file in group)


def _content(session: Session, select: str, columns: Sequence[str]) -> Mapping[str, object]:
    """Digest the rows of a SELECT whatever their order: their count, and the sum of their hashes."""
    return session.run(f"SELECT count(*) AS rows, sum(hash({names(columns)})::HUGEINT)::VARCHAR AS hashes FROM ({select})").to_pylist()[0]
