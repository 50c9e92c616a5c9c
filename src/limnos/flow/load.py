"""Load one table: read, land, judge, set aside, stage. Nothing that a reader sees changes here."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa

from limnos.errors import AccountingBroken, LimnosError, Unsupported
from limnos.flow import land as landing
from limnos.flow import set_aside
from limnos.flow.parts import Parts
from limnos.flow.resolve import Settled, meet_drift, references, settle
from limnos.flow.sourcing import Candidate, config_of, targets
from limnos.ledger.events import Mark
from limnos.model.casts import Casts, names
from limnos.model.contract import Contract, Drift
from limnos.model.data import Layout, Relation, Snapshot, Staged, WrittenFile
from limnos.model.extract import Extract
from limnos.model.names import TableName, literal
from limnos.model.position import Position
from limnos.model.project import Capability
from limnos.model.run import TableResult, TableStatus
from limnos.model.subject import Subject
from limnos.ports import Reading, Session
from limnos.quality import audit as auditing
from limnos.quality import fit, quarantine
from limnos.quality.rules import build_all
from limnos.quality.score import score
from limnos.tables.entries import QUARANTINE


@dataclass(slots=True)
class Versions:
    """Tell which version of each table counts in this run: the staged one where there is one, else the published one."""

    published: Mapping[TableName, Snapshot]
    marks: Mapping[TableName, Mark]
    staged: dict[TableName, Staged] = field(default_factory=dict[TableName, Staged])

    def snapshot(self, table: TableName) -> Snapshot | None:
        """Give the version of a table that counts."""
        return self.staged[table].snapshot if table in self.staged else self.published.get(table)


@dataclass(frozen=True, slots=True)
class Load:
    """State what loading one table came to; `staged` and `mark` are to be published together, `entries` are quarantine files."""

    result: TableResult
    staged: Staged | None = None
    entries: tuple[WrittenFile, ...] = ()
    mark: Mark | None = None


def load(parts: Parts, run_id: str, candidate: Candidate, versions: Versions) -> Load:
    """Load one table; an error of its own ends in its result and leaves the other tables alone."""
    start = time.perf_counter()
    table = candidate.table.target
    try:
        if candidate.error is not None:
            raise candidate.error
        done = _Loading(parts, run_id, candidate, versions).done()
    except LimnosError as error:
        done = Load(TableResult(table, TableStatus.FAILED, error=error.as_json()))
    return replace(done, result=replace(done.result, seconds=time.perf_counter() - start))


@dataclass(frozen=True, slots=True)
class Preview:
    """Say what a load would be judged by, and whether the source is as it was."""

    contract: Contract
    notes: tuple[str, ...]
    unchanged: bool


def preview(parts: Parts, candidate: Candidate, versions: Versions) -> Preview:
    """Look at one table without reading its rows.

    Raises:
        LimnosError: As the load itself would end.
    """
    if candidate.error is not None:
        raise candidate.error
    return _Loading(parts, "", candidate, versions).preview()


@dataclass(slots=True)
class _Loading:
    parts: Parts
    run_id: str
    candidate: Candidate
    versions: Versions

    @property
    def _table(self) -> TableName:
        return self.candidate.table.target

    @property
    def _mark(self) -> Mark | None:
        return self.versions.marks.get(self._table)

    @property
    def _reading(self) -> Reading:
        reading = self.candidate.reading
        assert reading is not None  # noqa: S101 a candidate without a reading bears an error
        return reading

    def preview(self) -> Preview:
        settled = self._settled()
        build_all(settled.contract)
        position = self._position()
        return Preview(settled.contract, settled.notes, position is not None and self._unchanged(position, settled.contract))

    def done(self) -> Load:
        self._step("table.open")
        settled = self._settled()
        position = self._position()
        if position is not None and self._unchanged(position, settled.contract):
            return self._kept(position)
        self._step("table.read")
        extract = self._reading.read(self.candidate.table.name, settled.contract)
        settled = self._met(settled, extract)
        contract = settled.contract
        layout = self.parts.catalog.layout(contract, self.run_id, replace=True)
        self._step("table.write", f"{extract.read:,} rows")
        with self.parts.engine.session() as session:
            landed = landing.land(self.parts.engine, session, extract, contract, layout)
            self._step("table.landed", f"{landed.rows:,} rows")
            if extract.scan and position is not None:
                # The engine read the outside world by itself: the source now makes sure that it stayed as it was.
                self._reading.position(self.candidate.table.name)
            return self._judged(session, extract, settled, layout, landed, replace(extract, position=position or extract.position))

    def _step(self, name: str, detail: str = "") -> None:
        self.parts.step(name, self._table, detail)

    def _settled(self) -> Settled:
        config = config_of(self.parts, self._table)
        published = self._published_schema()
        source = self.candidate.source
        adapter = self.candidate.adapter
        knows_keys = adapter is not None and Capability.KEYS in adapter.capabilities
        follows = published is None or config.drift.type is Drift.ACCEPT
        described = None
        if knows_keys or (follows and not config.declared):
            described = self._reading.describe(self.candidate.table.name, TableName(source.namespace, self._table.name))
        names = self._reading.tables() if knows_keys else ()
        settled = settle(self.candidate.table, config, described, published, targets(source, names))
        if described is not None:
            types = {column.name: column.type for column in described.columns}
            settled = meet_drift(settled, list(types), types, published, config)
        return settled

    def _met(self, settled: Settled, extract: Extract) -> Settled:
        """Meet what `describe` could not tell: the columns that the rows really have."""
        names = extract.schema.names
        if set(names) == set(settled.contract.names):
            return settled
        config = config_of(self.parts, self._table)
        types: dict[str, pa.DataType] = {}
        if any(name not in settled.contract.names for name in names):
            described = self._reading.describe(self.candidate.table.name, self._table)
            types = {column.name: column.type for column in described.columns}
        return meet_drift(settled, names, types, self._published_schema(), config)

    def _published_schema(self) -> pa.Schema | None:
        snapshot = self.versions.published.get(self._table)
        return self.parts.catalog.relation(snapshot).schema if snapshot else None

    def _position(self) -> Position | None:
        try:
            return self._reading.position(self.candidate.table.name)
        except Unsupported:
            return None

    def _basis(self, contract: Contract) -> str:
        """Say all that a load depends on beside the source: the contract, and the versions of the tables it refers to."""
        parents = {parent: self.versions.snapshot(parent) for parent in references(contract)}
        ids = {str(parent): snapshot.snapshot_id if snapshot else None for parent, snapshot in parents.items()}
        return json.dumps({"contract": contract.version, "parents": ids}, sort_keys=True)

    def _unchanged(self, position: Position, contract: Contract) -> bool:
        mark = self._mark
        if mark is None or mark.position is None or self._table not in self.versions.published:
            return False
        return mark.position.content == position.content and mark.basis == self._basis(contract)

    def _kept(self, position: Position) -> Load:
        """Leave the table as it is: every row of the source is one that was read before."""
        mark = self._mark
        snapshot = self.versions.published[self._table]
        assert mark is not None  # noqa: S101 only a marked table is unchanged
        result = TableResult(
            self._table,
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
        relation = Relation(self._table, contract.schema, tuple(file.path for file in landed.files), landed.rows)
        rules = build_all(contract)
        subject = Subject(
            f"({session.relation(relation, positions=True)})", landed.rows, datetime.now(UTC), self._parents(session, contract)
        )
        found = auditing.audit(session, rules, subject, landed.files)
        verdicts = (
            *fit.well_formed(extract.read, extract.rejected),
            *fit.verdicts(session, Casts.of(extract.schema, contract), landed.files, set_aside.FAILED if landed.failed else ""),
            *found.verdicts,
        )
        self._step("table.audit", f"{len(verdicts)} rules")
        quarantined = extract.rejected + landed.failed + found.bad
        result = TableResult(
            self._table,
            TableStatus.HELD,
            read=extract.read,
            quarantined=quarantined,
            written=landed.rows - found.bad,
            score=score(verdicts),
            verdicts=verdicts,
            notes=settled.notes,
        )
        if any(verdict.holds for verdict in verdicts):
            return Load(replace(result, written=0, quarantined=0, unchanged=result.read))
        entries = self._set_aside(session, extract, contract, relation, failed=landed.failed, bad=found.bad)
        files = self._without_bad(session, contract, layout, landed.files, found.bad)
        self._account(result, files, entries)
        mark = Mark(source.position, self.run_id, self._basis(contract), extract.read, quarantined, result.score, settled.source_rules)
        if self._same_as_published(session, contract, files, entries):
            self.parts.catalog.delete([*files, *entries])
            return self._same(result, mark)
        self._step("table.stage")
        staged = self.parts.catalog.stage(contract, files, self.run_id, replace=True)
        self.versions.staged[self._table] = staged
        self._step("table.staged")
        published = replace(result, status=TableStatus.PUBLISHED, snapshot_id=staged.snapshot.snapshot_id)
        return Load(published, staged, entries, mark)

    def _parents(self, session: Session, contract: Contract) -> dict[TableName, str]:
        found: dict[TableName, str] = {}
        for parent in references(contract):
            if parent in self.versions.staged:
                found[parent] = f"({session.relation(self.versions.staged[parent].relation)})"
            elif parent in self.versions.published:
                found[parent] = f"({session.relation(self.parts.catalog.relation(self.versions.published[parent]))})"
        return found

    def _set_aside(
        self, session: Session, extract: Extract, contract: Contract, relation: Relation, *, failed: int, bad: int
    ) -> tuple[WrittenFile, ...]:
        """Write the quarantine entries of this table: what could not become a row, did not fit its type, or broke a rule."""
        if not (extract.rejected or failed or bad):
            return ()
        stamp = quarantine.Stamp(self._table, self.run_id, datetime.now(UTC))
        entries = set_aside.entries(session, extract, contract, relation, stamp, failed=failed, bad=bad)
        files = session.write(entries, self.parts.catalog.layout(QUARANTINE, self.run_id, replace=False))
        self._step("table.quarantine", f"{sum(file.rows for file in files):,} rows")
        return files

    def _without_bad(
        self, session: Session, contract: Contract, layout: Layout, files: Sequence[WrittenFile], bad: int
    ) -> tuple[WrittenFile, ...]:
        """Rewrite the files that hold bad rows without them; the others stay as they are."""
        if not bad:
            return tuple(files)
        touched = set(session.run(f"SELECT DISTINCT _file FROM {set_aside.BAD}").column(0).to_pylist())
        dirty = [file for file in files if file.path in touched]
        relation = Relation(self._table, contract.schema, tuple(file.path for file in dirty), sum(file.rows for file in dirty))
        rows = session.relation(relation, positions=True)
        clean = session.write(
            f"SELECT * EXCLUDE (_file, _row) FROM ({rows}) AS kept "
            f"ANTI JOIN {set_aside.BAD} AS bad ON kept._file = bad._file AND kept._row = bad._row",
            layout,
        )
        self.parts.catalog.delete(dirty)
        self._step("table.rewritten", f"{len(dirty)} files")
        return (*(file for file in files if file.path not in touched), *clean)

    def _account(self, result: TableResult, files: Sequence[WrittenFile], entries: Sequence[WrittenFile]) -> None:
        written, kept = sum(file.rows for file in files), sum(file.rows for file in entries)
        if result.closes and written == result.written and kept == result.quarantined:
            return
        raise AccountingBroken(
            f"The rows of {self._table} do not add up",
            subject=str(self._table),
            seen=f"read {result.read:,}, written {written:,}, quarantined {kept:,}",
            expected="read = written + quarantined + unchanged",
            hint=f"nothing was published; run again, and report it if it stays: limnos run {self._table} --debug",
        )

    def _same_as_published(
        self, session: Session, contract: Contract, files: Sequence[WrittenFile], entries: Sequence[WrittenFile]
    ) -> bool:
        """Tell whether the load came to the very rows, published and quarantined, that are there already."""
        snapshot, mark = self.versions.published.get(self._table), self._mark
        rows = sum(file.rows for file in files)
        if snapshot is None or mark is None or snapshot.run_id != mark.run_id:
            return False
        if snapshot.rows != rows or mark.quarantined != sum(file.rows for file in entries):
            return False
        published = self.parts.catalog.relation(snapshot)
        if json.loads(mark.basis)["contract"] != contract.version or set(published.schema.names) != set(contract.names):
            return False
        new = Relation(self._table, contract.schema, tuple(file.path for file in files), rows)
        if _content(session, session.relation(new), contract.names) != _content(session, session.relation(published), contract.names):
            return False
        return self._same_entries(session, mark, entries)

    def _same_entries(self, session: Session, mark: Mark, entries: Sequence[WrittenFile]) -> bool:
        kept = self.versions.published.get(QUARANTINE.table)
        if not entries or kept is None:
            return not entries
        new = Relation(QUARANTINE.table, QUARANTINE.schema, tuple(file.path for file in entries), 0)
        all_entries = session.relation(self.parts.catalog.relation(kept))
        mine = f"SELECT * FROM ({all_entries}) WHERE table_name = {literal(str(self._table))} AND run_id = {literal(mark.run_id)}"
        columns = ("fingerprint", "reasons")
        return _content(session, session.relation(new), columns) == _content(session, mine, columns)

    def _same(self, result: TableResult, mark: Mark) -> Load:
        """Publish nothing for rows that are there already; only the source's new position is remembered."""
        before, snapshot = self._mark, self.versions.published[self._table]
        assert before is not None  # noqa: S101 only a marked table can be the same
        unchanged = replace(
            result, status=TableStatus.UNCHANGED, unchanged=result.read, written=0, quarantined=0, snapshot_id=snapshot.snapshot_id
        )
        return Load(unchanged, mark=replace(mark, run_id=before.run_id))


def _content(session: Session, select: str, columns: Sequence[str]) -> Mapping[str, object]:
    """Digest the rows of a SELECT whatever their order: their count, and the sum of their hashes."""
    return session.run(f"SELECT count(*) AS rows, sum(hash({names(columns)})::HUGEINT)::VARCHAR AS hashes FROM ({select})").to_pylist()[0]
