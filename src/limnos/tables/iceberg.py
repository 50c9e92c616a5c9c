"""Iceberg metadata of one lake: schemas, manifests and snapshots, written by PyIceberg and pointed at by nobody yet."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import compute_statistics_plan, data_file_statistics_from_parquet_metadata, parquet_path_to_id_mapping
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestFile
from pyiceberg.table import CommitTableResponse, StaticTable, Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import RemoveSnapshotsUpdate, TableRequirement, TableUpdate
from sqlalchemy.engine import Engine

from limnos.errors import Unsupported
from limnos.model.contract import Contract
from limnos.model.data import Gone, Layout, LiveFile, Relation, Snapshot, Staged, WrittenFile
from limnos.model.names import TableName
from limnos.tables import partitions
from limnos.tables.change import Change
from limnos.tables.contents import Contents
from limnos.tables.deletes import Deletes
from limnos.tables.schema import arrow_schema, evolve, field_ids, iceberg_schema
from limnos.tables.storage import Storage
from limnos.tables.versions import CATALOG, Pointer, conflict

RUN_PROPERTY = "limnos.run-id"
_FOOTER_THREADS = 4
_CONTENTS_KEPT = 4
_SNAPSHOTS_LISTED = 100


class _StagingCatalog(SqlCatalog):
    """Write each commit's metadata file and keep the pointer back, for one transaction to move them all."""

    def __init__(self, engine: Engine, properties: Mapping[str, str]) -> None:
        MetastoreCatalog.__init__(self, CATALOG, **properties)
        self.engine = engine
        self._init_catalog()
        self.run = uuid.UUID(int=0)
        self.staged: tuple[Pointer, TableMetadata] | None = None

    def load_namespace_properties(self, namespace: Any) -> Mapping[str, str]:  # type: ignore[override]  # noqa: ANN401
        """Namespaces exist by being used; every table is below the warehouse."""
        return {}

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Stage a commit.

        PyIceberg would build a failed commit again on what another writer published; what this run judged is then no longer what it
        publishes, and what it replaces no longer all there is. So a moved table is a conflict at once.
        """
        namespace, name = table.name()
        try:
            current = self.load_table(table.name())
        except NoSuchTableError:
            current = None
        if current is not None and current.metadata_location != table.metadata_location:
            raise conflict(TableName(namespace, name), current.metadata_location)
        made = self._update_and_stage_table(current, table.name(), requirements, updates)
        version = made.metadata_location.rsplit("/", 1)[1].split("-", 1)[0]
        location = f"{made.metadata.location}/metadata/{version}-{self.run}.metadata.json"
        self._write_metadata(made.metadata, made.io, location)
        self.staged = (Pointer(TableName(namespace, name), current.metadata_location if current else None, location), made.metadata)
        return CommitTableResponse.model_validate({"metadata": made.metadata, "metadata-location": location})


class _Transaction(Transaction):
    """Build the metadata once for each list of updates; PyIceberg copies all of it each time it looks at any of it."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._built: tuple[tuple[TableUpdate, ...], TableMetadata] = (), table.metadata

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata with all updates of this transaction."""
        if self._built[0] is not self._updates:
            self._built = self._updates, super().table_metadata
        return self._built[1]


class Iceberg:
    """Write and read the Iceberg metadata of a lake's tables."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self._storage = storage
        self._catalog = _StagingCatalog(engine, storage.properties)
        self._open: dict[tuple[TableName, str], Transaction] = {}
        self._read: dict[str, Contents] = {}

    def describe(self, table: TableName, location: str) -> Snapshot:
        """Describe a version that another writer published."""
        loaded = self._load(location)
        current = loaded.metadata.current_snapshot()
        contents = self._contents(loaded.metadata, loaded.io)
        deletes = Deletes.after(self._storage, contents.data, contents.deletes)
        rows = sum(file.record_count for file in contents.data) - sum(deletes.gone.values())
        at = datetime.fromtimestamp(current.timestamp_ms / 1000, UTC) if current else datetime.fromtimestamp(0, UTC)
        return Snapshot(table, current.snapshot_id if current else 0, rows, at, run_id="", metadata_location=location)

    def relation(self, snapshot: Snapshot) -> Relation:
        """Say how to read a published version."""
        table = self._load(snapshot.metadata_location)
        contents = self._contents(table.metadata, table.io)
        deletes = Deletes.after(self._storage, contents.data, contents.deletes)
        if contents.unreadable:
            file = contents.unreadable[0]
            raise Unsupported(
                f"{snapshot.table} holds deletes of a kind that cannot be read",
                subject=str(snapshot.table),
                seen=f"{file.file_path}, {file.content.name.lower()} in {file.file_format.name.lower()}",
                expected="position deletes in Parquet",
                hint="compact the table with the writer that made it",
            )
        return Relation(
            table=snapshot.table,
            schema=arrow_schema(table.schema()),
            files=tuple(file.file_path for file in contents.data),
            rows=snapshot.rows,
            deletes=tuple(file.file_path for file in deletes.files),
            gone=deletes.gone,
        )

    def live_files(self, snapshot: Snapshot, gone: Mapping[str, int]) -> tuple[LiveFile, ...]:
        """Describe the data files of a published version, of which `gone` counts the rows that are no more."""
        table = self._load(snapshot.metadata_location)
        return tuple(
            LiveFile(
                path=file.file_path,
                rows=file.record_count,
                size_bytes=file.file_size_in_bytes,
                gone=gone.get(file.file_path, 0),
                partition=f"{file.spec_id} {file.partition}" if len(file.partition) else "",
            )
            for file in self._contents(table.metadata, table.io).data
        )

    def _contents(self, metadata: TableMetadata, io: FileIO) -> Contents:
        """Read what a version consists of; remembered for the next one who asks, as the merge into a version does twice."""
        current = metadata.current_snapshot()
        at = current.manifest_list if current else ""
        if at not in self._read:
            with self._storage.told("read", metadata.location):
                found = Contents.of(metadata, io)
            if len(self._read) >= _CONTENTS_KEPT:
                self._read.pop(next(iter(self._read)))
            self._read[at] = found
        return self._read[at]

    def forget(self, snapshot: Snapshot, ids: frozenset[int], run_id: str) -> tuple[Pointer, TableMetadata] | None:
        """Write the metadata of a published version anew without some former snapshots; None where it lists none of them."""
        with self._storage.told("write", snapshot.metadata_location):
            table = self._catalog.load_table((snapshot.table.namespace, snapshot.table.name))
            if table.metadata_location != snapshot.metadata_location:
                raise conflict(snapshot.table, table.metadata_location)
            transaction = _Transaction(table)
            if not _drop(transaction, ids):
                return None
            self._catalog.run = uuid.uuid5(uuid.NAMESPACE_URL, run_id)
            transaction.commit_transaction()
        return _taken(self._catalog)

    def named(self, snapshot: Snapshot) -> frozenset[int]:
        """Give the snapshots that a branch or tag names."""
        return frozenset(reference.snapshot_id for reference in self._load(snapshot.metadata_location).metadata.refs.values())

    def needed(self, versions: Iterable[Snapshot], current: Snapshot, without: frozenset[int]) -> frozenset[str]:
        """Name every file that versions consist of, and those of every snapshot that the current one lists but for some."""
        found: set[str] = set()
        manifests: dict[str, ManifestFile] = {}
        for version in versions:
            table = self._load(version.metadata_location)
            found.add(version.metadata_location)
            last = table.metadata.current_snapshot()
            listed = [last] if last else []
            if version.metadata_location == current.metadata_location:
                listed += [one for one in table.metadata.snapshots if one.snapshot_id not in without]
                found |= {file.statistics_path for file in (*table.metadata.statistics, *table.metadata.partition_statistics)}
            with self._storage.told("read", version.metadata_location):
                found |= {one.manifest_list for one in listed}
                manifests |= {manifest.manifest_path: manifest for one in listed for manifest in one.manifests(table.io)}
        io = self._load(current.metadata_location).io
        with self._storage.told("read", current.metadata_location), ThreadPoolExecutor(_FOOTER_THREADS) as pool:
            for entries in pool.map(lambda manifest: manifest.fetch_manifest_entry(io), manifests.values()):
                found |= {entry.data_file.file_path for entry in entries}
        return frozenset(map(self._storage.path, found | manifests.keys()))

    def parts(self, snapshot: Snapshot) -> Iterator[str]:
        """Name every file that a published version consists of."""
        table = self._load(snapshot.metadata_location)
        yield snapshot.metadata_location
        current = table.metadata.current_snapshot()
        with self._storage.told("read", snapshot.metadata_location):
            if current is not None:
                yield current.manifest_list
                for manifest in current.manifests(table.io):
                    yield manifest.manifest_path
                    yield from (entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io))

    def _load(self, location: str) -> StaticTable:
        with self._storage.told("read", location):
            return StaticTable.from_metadata(location, dict(self._storage.properties))

    def layout(self, contract: Contract, run_id: str, *, replace: bool) -> Layout:
        """Say where and how the files of a new version are to be written; changes nothing that a reader sees."""
        transaction = self._transaction(contract, replace=replace)
        self._open[contract.table, run_id] = transaction
        ids = field_ids(transaction.table_metadata.schema())
        return Layout(
            directory=f"{transaction.table_metadata.location}/data/{run_id}",
            field_ids={name: ids[name] for name in contract.names},
            partitions=partitions.expressions(contract),
        )

    def _transaction(self, contract: Contract, *, replace: bool) -> Transaction:
        identifier = (contract.table.namespace, contract.table.name)
        try:
            with self._storage.told("read", f"{self._storage.uri}/{contract.table.namespace}/{contract.table.name}/metadata"):
                table = self._catalog.load_table(identifier)
        except NoSuchTableError:
            schema = iceberg_schema(self._catalog, contract)
            return self._catalog.create_table_transaction(
                identifier,
                schema,
                partition_spec=partitions.specification(contract, schema),
                properties={"format-version": "2", "write.metadata.compression-codec": "none"},
            )
        transaction = _Transaction(table)
        before = transaction.table_metadata
        if partitions.agree(before.spec(), before.schema(), contract):
            evolve(transaction, self._catalog, contract, replace=replace)
            return transaction
        with transaction.update_spec() as update:
            for field in before.spec().fields:
                update.remove_field(field.name)
        evolve(transaction, self._catalog, contract, replace=replace)
        schema = transaction.table_metadata.schema()
        with transaction.update_spec() as update:
            for field in partitions.specification(contract, schema).fields:
                update.add_field(schema.find_column_name(field.source_id) or "", field.transform, field.name)
        return transaction

    def stage(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool, gone: Gone) -> Staged:
        """Make a version of these files, instead of what is published (`replace`) or added to it less `gone`; no reader sees it."""
        with self._storage.told("write", f"{self._storage.uri}/{contract.table.namespace}/{contract.table.name}/metadata"):
            return self._staged(contract, files, run_id, replace=replace, gone=gone)

    def _staged(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool, gone: Gone) -> Staged:
        transaction = self._open.pop((contract.table, run_id), None) or self._transaction(contract, replace=replace)
        self._catalog.run = uuid.uuid5(uuid.NAMESPACE_URL, run_id)
        metadata = transaction.table_metadata
        before = self._contents(metadata, transaction._table.io)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] where it began
        kept = [] if replace else [file for file in before.data if file.file_path not in gone.files]
        if not replace and len(before.data) - len(kept) != len(gone.files):
            raise conflict(contract.table, "files that it read are no more")
        try:
            deletes = Deletes.after(self._storage, kept, before.deletes, f"{metadata.location}/data/{run_id}", gone.rows)
        except LookupError as error:
            raise conflict(contract.table, str(error)) from error
        change = Change(
            transaction,
            before,
            data=self._data_files(metadata, files),
            deletes=deletes.added,
            removed=frozenset(file.file_path for file in before.all) - {file.file_path for file in (*kept, *deletes.files)},
            run=self._catalog.run,
            properties={RUN_PROPERTY: run_id},
        )
        try:
            change.commit()
            _forget(transaction)
            transaction.commit_transaction()
        except CommitFailedException as error:
            raise conflict(contract.table, str(error)) from error
        pointer, made = _taken(self._catalog)
        rows = sum(file.rows for file in files) + sum(file.record_count for file in kept) - sum(deletes.gone.values())
        snapshot = Snapshot(
            table=contract.table,
            snapshot_id=change.snapshot_id,
            rows=rows,
            at=datetime.now(UTC),
            run_id=run_id,
            digest=self._storage.digest(files),
            metadata_location=pointer.new,
        )
        paths = (*(file.file_path for file in kept), *(file.path for file in files))
        relation = Relation(
            contract.table, arrow_schema(made.schema()), paths, rows, tuple(file.file_path for file in deletes.files), deletes.gone
        )
        return Staged(contract.table, relation, snapshot, pointer)

    def _data_files(self, metadata: TableMetadata, files: Sequence[WrittenFile]) -> Sequence[DataFile]:
        schema, spec = metadata.schema(), metadata.spec()
        plan = compute_statistics_plan(schema, metadata.properties)
        paths = parquet_path_to_id_mapping(schema)

        def describe(file: WrittenFile) -> DataFile:
            with self._storage.open(file.path) as stream:
                footer = pq.read_metadata(stream)
            statistics = data_file_statistics_from_parquet_metadata(footer, plan, paths)
            described = DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=file.path,
                file_format=FileFormat.PARQUET,
                partition=partitions.record(spec, schema, file.partition),
                file_size_in_bytes=file.size_bytes,
                sort_order_id=None,
                equality_ids=None,
                key_metadata=None,
                **statistics.to_serialized_dict(),
            )
            described.spec_id = metadata.default_spec_id
            return described

        with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
            return list(pool.map(describe, files))


def _forget(transaction: Transaction) -> None:
    """Leave old snapshots out of the metadata, which every commit writes anew; each version keeps a metadata file of its own.

    Snapshots that a branch or tag names stay.
    """
    metadata = transaction.table_metadata
    if len(metadata.snapshots) <= 2 * _SNAPSHOTS_LISTED:
        return
    oldest = sorted(metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)[:-_SNAPSHOTS_LISTED]
    _drop(transaction, frozenset(snapshot.snapshot_id for snapshot in oldest))


def _drop(transaction: Transaction, ids: frozenset[int]) -> bool:
    """Leave snapshots out that no branch or tag names; gives whether there were any."""
    metadata = transaction.table_metadata
    named = {reference.snapshot_id for reference in metadata.refs.values()}
    gone = [snapshot.snapshot_id for snapshot in metadata.snapshots if snapshot.snapshot_id in ids - named]
    if gone:
        update = RemoveSnapshotsUpdate.model_validate({"snapshot-ids": gone})
        # There is no public way to do it inside a transaction.
        transaction._apply((update,))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return bool(gone)


def _taken(catalog: _StagingCatalog) -> tuple[Pointer, TableMetadata]:
    if catalog.staged is None:
        raise RuntimeError("a commit staged nothing")
    taken, catalog.staged = catalog.staged, None
    return taken
