"""What loading one table in one run works with, whichever way its rows come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import pyarrow as pa

from limnos.errors import AccountingBroken, Unsupported
from limnos.flow.drift import Origins, meet_drift
from limnos.flow.feed import Feeds
from limnos.flow.parts import Parts
from limnos.flow.resolve import Settled, references, settle
from limnos.flow.sourcing import Candidate, config_of, current_rows, targets
from limnos.ledger.events import Mark
from limnos.model.bookkeeping import Bookkeeping
from limnos.model.comparison import Comparison
from limnos.model.contract import Contract
from limnos.model.data import Snapshot, Staged, WrittenFile
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Capability, Mode, TableConfig
from limnos.model.run import TableResult
from limnos.ports import ChangeReading, IncrementalReading, Reading, Session


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
    """State what loading one table came to; `staged`, `mark` and `superseded` are to be published together, `entries` are quarantine files.

    `superseded` lists quarantine entries as (id, fingerprint) that a newer version of their row replaces, `compared` says how the version
    compares with its source where every run is to tell.
    """

    result: TableResult
    staged: Staged | None = None
    entries: tuple[WrittenFile, ...] = ()
    mark: Mark | None = None
    superseded: tuple[tuple[str, str], ...] = ()
    compared: Comparison | None = None


@dataclass(slots=True)
class Loading:
    """Carry one table through one run."""

    parts: Parts
    run_id: str
    candidate: Candidate
    versions: Versions
    feeds: Feeds

    @property
    def table(self) -> TableName:
        """The table in the lake."""
        return self.candidate.table.target

    @property
    def name(self) -> str:
        """The table's name at its source."""
        return self.candidate.table.name

    @property
    def mark(self) -> Mark | None:
        """What is remembered of its last load."""
        return self.versions.marks.get(self.table)

    @property
    def reading(self) -> Reading:
        """The source at this run's point in time."""
        reading = self.candidate.reading
        assert reading is not None  # noqa: S101 a candidate without a reading bears an error
        return reading

    @property
    def incremental(self) -> IncrementalReading:
        """The same, of a source that can read above a cursor."""
        return cast("IncrementalReading", self.reading)

    @property
    def changing(self) -> ChangeReading:
        """The same, of a source that can tell its changes."""
        return cast("ChangeReading", self.reading)

    @property
    def config(self) -> TableConfig:
        """What was declared of it."""
        return config_of(self.parts, self.table)

    @property
    def bookkeeping(self) -> Bookkeeping:
        """The columns that we keep in it beside the source's own."""
        return Bookkeeping.of(self.candidate.table, self.config)

    def step(self, name: str, detail: str = "") -> None:
        """Tell the observer that a step boundary was passed."""
        self.parts.step(name, self.table, detail)

    def settled(self) -> Settled:
        """Settle the contract of the source's own columns, from what is declared, published and described."""
        config = self.config
        published = self.published_schema()
        source, adapter = self.candidate.source, self.candidate.adapter
        knows_keys = adapter is not None and Capability.KEYS in adapter.capabilities
        follows = published is None or config.drift.follows_types
        described = None
        if knows_keys or (follows and not config.declared):
            described = self.reading.describe(self.name, TableName(source.namespace, self.table.name))
        names = self.reading.tables() if knows_keys else ()
        settled = settle(self.candidate.table, config, described, published, targets(source, names))
        if described is not None:
            types = {column.name: column.type for column in described.columns}
            origins = Origins(self._origins_before, {column.name: column.origin for column in described.columns if column.origin})
            settled = meet_drift(settled, list(types), types, published, config, origins)
        return settled

    def met(self, settled: Settled, extract: Extract) -> Settled:
        """Meet what `describe` could not tell: the columns that the rows really have."""
        names = extract.schema.names
        if set(names) == set(settled.contract.names):
            return settled
        types: dict[str, pa.DataType] = {}
        if any(name not in settled.contract.names for name in names):
            described = self.reading.describe(self.name, self.table)
            types = {column.name: column.type for column in described.columns}
        origins = Origins(self._origins_before, settled.contract.origins)
        return meet_drift(settled, names, types, self.published_schema(), self.config, origins)

    def published_schema(self) -> pa.Schema | None:
        """Give the published columns that came from the source."""
        snapshot = self.versions.published.get(self.table)
        if snapshot is None:
            return None
        schema = self.parts.catalog.relation(snapshot).schema
        return pa.schema([field for field in schema if field.name not in (*self.bookkeeping.names, *self._kept_before)])

    @property
    def _kept_before(self) -> tuple[str, ...]:
        return tuple(json.loads(self.mark.basis).get("kept", ())) if self.mark is not None else ()

    @property
    def _origins_before(self) -> Mapping[str, str]:
        said: Mapping[str, str] = json.loads(self.mark.basis).get("columns", {}) if self.mark is not None else {}
        return said

    @property
    def base(self) -> Snapshot | None:
        """The published version to merge into; None where there is none, or other columns were kept beside its rows than are now."""
        return self.versions.published.get(self.table) if self._kept_before == self.bookkeeping.names else None

    def fingerprint(self) -> Position | None:
        """Fingerprint the table at its source; None where the source cannot."""
        if self.candidate.table.mode is not Mode.FULL:
            return None
        try:
            return self.reading.position(self.name)
        except Unsupported:
            return None

    def basis(self, contract: Contract) -> str:
        """Say all that a load depends on beside the source: the contract, and the versions of the tables it refers to."""
        parents = {parent: self.versions.snapshot(parent) for parent in references(contract)}
        ids = {str(parent): snapshot.snapshot_id if snapshot else None for parent, snapshot in parents.items()}
        mode = self.candidate.table.mode
        said = {"contract": contract.version, "parents": ids} | ({"mode": mode} if mode is not Mode.FULL else {})
        said |= {"kept": list(self.bookkeeping.names)} if self.bookkeeping.names else {}
        said |= {"columns": dict(contract.origins)} if contract.origins else {}
        return json.dumps(said, sort_keys=True)

    def same_mode(self) -> bool:
        """Whether the published rows were read the way that is declared now."""
        return self.mark is not None and json.loads(self.mark.basis).get("mode", Mode.FULL) == self.candidate.table.mode

    def same_contract(self, contract: Contract) -> bool:
        """Whether the published rows were judged by this very contract, and came from the very columns that the source has now."""
        if self.mark is None or json.loads(self.mark.basis)["contract"] != contract.version:
            return False
        return self._origins_before in ({}, contract.origins)

    def parents(self, session: Session, contract: Contract) -> dict[TableName, str]:
        """Map each table that the contract refers to, and that is there, to its rows as they count in this run."""
        found: dict[TableName, str] = {}
        for parent in references(contract):
            if parent in self.versions.staged:
                found[parent] = current_rows(self.parts, session, self.versions.staged[parent].relation)
            elif parent in self.versions.published:
                found[parent] = current_rows(self.parts, session, self.parts.catalog.relation(self.versions.published[parent]))
        return found

    @property
    def previous_rows(self) -> int | None:
        """How many rows the published version has; None where there is none."""
        published = self.versions.published.get(self.table)
        return published.rows if published else None

    def account(self, result: TableResult, files: Sequence[WrittenFile], entries: Sequence[WrittenFile], *, beside: int = 0) -> None:
        """Compare the counts of a result with the rows in its files; `beside` of them were counted elsewhere.

        Raises:
            AccountingBroken: If a row is missing or counted twice.
        """
        written, kept = sum(file.rows for file in files) + beside, sum(file.rows for file in entries)
        if result.closes and result.unchanged >= 0 and written == result.written and kept == result.quarantined:
            return
        raise AccountingBroken(
            f"The rows of {self.table} do not add up",
            subject=str(self.table),
            seen=f"read {result.read:,}, written {written:,}, quarantined {kept:,}, unchanged {result.unchanged:,}",
            expected="read = written + quarantined + unchanged",
            hint=f"nothing was published; run again, and report it if it stays: limnos run {self.table} --debug",
        )
