"""Iceberg metadata of one lake: schemas, manifests and snapshots, written by PyIceberg and pointed at by nobody yet."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.io.pyarrow import compute_statistics_plan, data_file_statistics_from_parquet_metadata, parquet_path_to_id_mapping
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import CommitTableResponse, StaticTable, Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableRequirement, TableUpdate
from sqlalchemy.engine import Engine

from limnos.model.contract import Contract
from limnos.model.data import Layout, Relation, Snapshot, Staged, WrittenFile
from limnos.model.names import TableName
from limnos.tables import partitions
from limnos.tables.schema import arrow_schema, evolve, field_ids, iceberg_schema
from limnos.tables.storage import Storage
from limnos.tables.versions import CATALOG, Pointer, conflict

RUN_PROPERTY = "limnos.run-id"
_FOOTER_THREADS = 4


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


class Iceberg:
    """Write and read the Iceberg metadata of a lake's tables."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self._storage = storage
        self._catalog = _StagingCatalog(engine, storage.properties)
        self._open: dict[tuple[TableName, str], Transaction] = {}

    def describe(self, table: TableName, location: str) -> Snapshot:
        """Describe a version that another writer published."""
        loaded = self._load(location)
        current = loaded.metadata.current_snapshot()
        with self._storage.told("read", location):
            rows = sum(task.file.record_count for task in loaded.scan().plan_files())
        at = datetime.fromtimestamp(current.timestamp_ms / 1000, UTC) if current else datetime.fromtimestamp(0, UTC)
        return Snapshot(table, current.snapshot_id if current else 0, rows, at, run_id="", metadata_location=location)

    def relation(self, snapshot: Snapshot) -> Relation:
        """Say how to read a published version."""
        table = self._load(snapshot.metadata_location)
        with self._storage.told("read", snapshot.metadata_location):
            tasks = list(table.scan().plan_files())
        return Relation(
            table=snapshot.table,
            schema=arrow_schema(table.schema()),
            files=tuple(task.file.file_path for task in tasks),
            rows=snapshot.rows,
            deletes=tuple(sorted({delete.file_path for task in tasks for delete in task.delete_files})),
        )

    def files(self, snapshot: Snapshot) -> Iterator[str]:
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
        transaction = table.transaction()
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

    def stage(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool) -> Staged:
        """Make a version of these files, instead of what is published (`replace`) or added to it; no reader sees it."""
        with self._storage.told("write", f"{self._storage.uri}/{contract.table.namespace}/{contract.table.name}/metadata"):
            return self._staged(contract, files, run_id, replace=replace)

    def _staged(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool) -> Staged:
        transaction = self._open.pop((contract.table, run_id), None) or self._transaction(contract, replace=replace)
        self._catalog.run = uuid.uuid5(uuid.NAMESPACE_URL, run_id)
        metadata = transaction.table_metadata
        before, deletes = self._files_of(transaction)
        update = transaction.update_snapshot(snapshot_properties={RUN_PROPERTY: run_id})
        producer = update.overwrite() if replace and before else update.fast_append()
        producer.commit_uuid = self._catalog.run
        for data_file in self._data_files(metadata, files):
            producer.append_data_file(data_file)
        if replace:
            for data_file in before:
                producer.delete_data_file(data_file)
        try:
            producer.commit()
            transaction.commit_transaction()
        except CommitFailedException as error:
            raise conflict(contract.table, str(error)) from error
        pointer, made = _taken(self._catalog)
        kept = () if replace else tuple(data_file.file_path for data_file in before)
        rows = sum(file.rows for file in files) + (0 if replace else sum(data_file.record_count for data_file in before))
        current = made.current_snapshot()
        snapshot = Snapshot(
            table=contract.table,
            snapshot_id=current.snapshot_id if current else 0,
            rows=rows,
            at=datetime.now(UTC),
            run_id=run_id,
            digest=self._storage.digest(files),
            metadata_location=pointer.new,
        )
        relation = Relation(
            contract.table, arrow_schema(made.schema()), (*kept, *(file.path for file in files)), rows, () if replace else tuple(deletes)
        )
        return Staged(contract.table, relation, snapshot, pointer)

    def _files_of(self, transaction: Transaction) -> tuple[Sequence[DataFile], Sequence[str]]:
        """Give the data files that a transaction starts from, and the files that delete rows of them."""
        if transaction.table_metadata.current_snapshot() is None:
            return [], []
        tasks = list(transaction._table.scan().plan_files())  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] where it began
        return [task.file for task in tasks], sorted({delete.file_path for task in tasks for delete in task.delete_files})

    def _data_files(self, metadata: TableMetadata, files: Sequence[WrittenFile]) -> Sequence[DataFile]:
        schema, spec = metadata.schema(), metadata.spec()
        plan = compute_statistics_plan(schema, metadata.properties)
        paths = parquet_path_to_id_mapping(schema)

        def described(file: WrittenFile) -> DataFile:
            with self._storage.open(file.path) as stream:
                footer = pq.read_metadata(stream)
            statistics = data_file_statistics_from_parquet_metadata(footer, plan, paths)
            return DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=file.path,
                file_format=FileFormat.PARQUET,
                partition=partitions.record(spec, schema, file.partition),
                file_size_in_bytes=file.size_bytes,
                sort_order_id=None,
                spec_id=metadata.default_spec_id,
                equality_ids=None,
                key_metadata=None,
                **statistics.to_serialized_dict(),
            )

        with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
            return list(pool.map(described, files))


def _taken(catalog: _StagingCatalog) -> tuple[Pointer, TableMetadata]:
    if catalog.staged is None:
        raise RuntimeError("a commit staged nothing")
    taken, catalog.staged = catalog.staged, None
    return taken
