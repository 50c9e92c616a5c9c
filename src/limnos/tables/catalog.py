"""Iceberg tables in the state database: staged where no reader looks, published all in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.io.pyarrow import compute_statistics_plan, data_file_statistics_from_parquet_metadata, parquet_path_to_id_mapping
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import CommitTableResponse, StaticTable, Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableRequirement, TableUpdate
from sqlalchemy.engine import Connection, Engine

from limnos.errors import PublishConflict
from limnos.model.contract import Contract
from limnos.model.data import Layout, Relation, Snapshot, WrittenFile
from limnos.model.names import TableName
from limnos.ports import Staged
from limnos.ports import Transaction as StateTransaction
from limnos.tables import partitions, versions
from limnos.tables.schema import arrow_schema, evolve, field_ids, iceberg_schema
from limnos.tables.storage import Storage

CATALOG = "limnos"
RUN_PROPERTY = "limnos.run-id"
_FOOTER_THREADS = 4


@dataclass(frozen=True, slots=True)
class _Pointer:
    """Hold where a table's pointer is and where it is to go; `old` is None for a table that is not there yet."""

    table: TableName
    old: str | None
    new: str


class _StagingCatalog(SqlCatalog):
    """Write each commit's metadata file and keep the pointer back, for one transaction to move them all."""

    def __init__(self, engine: Engine, properties: Mapping[str, str]) -> None:
        MetastoreCatalog.__init__(self, CATALOG, **properties)
        self.engine = engine
        self._init_catalog()
        self.run = uuid.UUID(int=0)
        self.staged: tuple[_Pointer, TableMetadata] | None = None

    def load_namespace_properties(self, namespace: Any) -> Mapping[str, str]:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Namespaces exist by being used; every table is below the warehouse."""
        return {}

    def commit_table(self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]) -> CommitTableResponse:
        """Stage a commit."""
        try:
            current = self.load_table(table.name())
        except NoSuchTableError:
            current = None
        made = self._update_and_stage_table(current, table.name(), requirements, updates)
        version = made.metadata_location.rsplit("/", 1)[1].split("-", 1)[0]
        location = f"{made.metadata.location}/metadata/{version}-{self.run}.metadata.json"
        self._write_metadata(made.metadata, made.io, location)
        namespace, name = table.name()
        self.staged = (_Pointer(TableName(namespace, name), current.metadata_location if current else None, location), made.metadata)
        return CommitTableResponse(metadata=made.metadata, metadata_location=location)


class LakeCatalog:
    """Keep the lake's tables with PyIceberg's SQL catalog in the state database."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self._engine = engine
        self._storage = storage
        self._catalog = _StagingCatalog(engine, storage.properties)
        versions.metadata.create_all(engine)
        self._open: dict[tuple[TableName, str], Transaction] = {}
        self._relations: dict[str, Relation] = {}

    def pin(self, as_of: datetime | None = None) -> Mapping[TableName, Snapshot]:
        """Take one consistent cut over all tables, now or as they were."""
        if as_of is not None:
            return {snapshot.table: snapshot for snapshot in versions.as_of(self._engine, as_of)}
        ours, foreign = versions.current(self._engine, CATALOG)
        found = [*ours, *(self._foreign(TableName(namespace, name), location) for namespace, name, location in foreign)]
        return {snapshot.table: snapshot for snapshot in found}

    def _foreign(self, table: TableName, location: str) -> Snapshot:
        """Describe a version that another writer published."""
        loaded = self._load(location)
        current = loaded.metadata.current_snapshot()
        rows = sum(task.file.record_count for task in loaded.scan().plan_files())
        at = datetime.fromtimestamp(current.timestamp_ms / 1000, UTC) if current else datetime.fromtimestamp(0, UTC)
        return Snapshot(table, current.snapshot_id if current else 0, rows, at, run_id="", metadata_location=location)

    def _load(self, location: str) -> StaticTable:
        return StaticTable.from_metadata(location, dict(self._storage.properties))

    def relation(self, snapshot: Snapshot) -> Relation:
        """Say how to read a published version; remembered, for a version never changes."""
        if snapshot.metadata_location not in self._relations:
            table = self._load(snapshot.metadata_location)
            tasks = list(table.scan().plan_files())
            self._relations[snapshot.metadata_location] = Relation(
                table=snapshot.table,
                schema=arrow_schema(table.schema()),
                files=tuple(task.file.file_path for task in tasks),
                rows=snapshot.rows,
                deletes=tuple(sorted({delete.file_path for task in tasks for delete in task.delete_files})),
            )
        return self._relations[snapshot.metadata_location]

    def history(self, table: TableName) -> tuple[Snapshot, ...]:
        """List the published versions of a table, oldest first."""
        return tuple(versions.history(self._engine, table))

    def layout(self, contract: Contract, run_id: str) -> Layout:
        """Say where and how the files of a new version are to be written; changes nothing that a reader sees."""
        transaction = self._transaction(contract)
        self._open[contract.table, run_id] = transaction
        ids = field_ids(transaction.table_metadata.schema())
        return Layout(
            directory=f"{transaction.table_metadata.location}/data/{run_id}",
            field_ids={name: ids[name] for name in contract.names},
            partitions=partitions.expressions(contract),
        )

    def _transaction(self, contract: Contract) -> Transaction:
        identifier = (contract.table.namespace, contract.table.name)
        try:
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
            evolve(transaction, self._catalog, contract, replace=True)
            return transaction
        with transaction.update_spec() as update:
            for field in before.spec().fields:
                update.remove_field(field.name)
        evolve(transaction, self._catalog, contract, replace=True)
        schema = transaction.table_metadata.schema()
        with transaction.update_spec() as update:
            for field in partitions.specification(contract, schema).fields:
                update.add_field(schema.find_column_name(field.source_id) or "", field.transform, field.name)
        return transaction

    def stage(self, contract: Contract, files: Sequence[WrittenFile], run_id: str, *, replace: bool) -> Staged:
        """Make a version of these files, instead of what is published (`replace`) or added to it; no reader sees it."""
        transaction = self._open.pop((contract.table, run_id), None) or self._transaction(contract)
        self._catalog.run = uuid.uuid5(uuid.NAMESPACE_URL, run_id)
        metadata = transaction.table_metadata
        before = self._files_of(transaction)
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
            raise _moved(contract.table, str(error)) from error
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
        relation = Relation(contract.table, arrow_schema(made.schema()), (*kept, *(file.path for file in files)), rows)
        return Staged(contract.table, relation, snapshot, pointer)

    def _files_of(self, transaction: Transaction) -> Sequence[DataFile]:
        if transaction.table_metadata.current_snapshot() is None:
            return []
        return [task.file for task in transaction._table.scan().plan_files()]  # noqa: SLF001 the table a transaction began from

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

    def publish(self, staged: Sequence[Staged], transaction: StateTransaction) -> tuple[Snapshot, ...]:
        """Move the pointers of all these tables inside `transaction`; publishing the same again changes nothing."""
        connection: Connection = transaction.connection
        at = datetime.now(UTC)
        published: list[Snapshot] = []
        for one in staged:
            pointer = one.handle
            if not isinstance(pointer, _Pointer):
                raise TypeError("staged by another catalog")
            if self._pointer_of(connection, pointer.table) != pointer.new:
                self._move(connection, pointer)
                versions.record(connection, one.snapshot, at)
            published.append(replace(one.snapshot, at=at))
        return tuple(published)

    def _pointer_of(self, connection: Connection, table: TableName) -> str | None:
        query = sa.select(IcebergTables.metadata_location).where(*_is(table))
        return connection.execute(query).scalar()

    def _move(self, connection: Connection, pointer: _Pointer) -> None:
        if pointer.old is None:
            row = self._catalog._create_table_row(pointer.table.namespace, pointer.table.name, pointer.new)  # noqa: SLF001 its own row format
            try:
                connection.execute(sa.insert(IcebergTables).values(**row))
            except sa.exc.IntegrityError as error:
                raise _moved(pointer.table, "the table was created meanwhile") from error
            return
        moved = connection.execute(
            sa.update(IcebergTables)
            .where(*_is(pointer.table), IcebergTables.metadata_location == pointer.old)
            .values(metadata_location=pointer.new, previous_metadata_location=pointer.old)
        )
        if moved.rowcount != 1:
            raise _moved(pointer.table, self._pointer_of(connection, pointer.table) or "no table")

    def discard(self, run_id: str) -> int:
        """Delete every file that a run wrote and did not publish; gives how many."""
        published = versions.tables_published_by(self._engine, run_id)
        run = str(uuid.uuid5(uuid.NAMESPACE_URL, run_id))
        kept = {f"{self._storage.uri}/{table.namespace}/{table.name}/" for table in published}
        stray = [
            uri
            for uri in self._storage.files_below(self._storage.uri)
            if (f"/data/{run_id}/" in uri or (run in uri and "/metadata/" in uri)) and not any(uri.startswith(root) for root in kept)
        ]
        count = self._storage.delete(stray)
        for directory in {uri[: uri.index(f"/data/{run_id}/")] + f"/data/{run_id}" for uri in stray if f"/data/{run_id}/" in uri}:
            self._storage.delete_empty_directories(directory)
        return count


def _is(table: TableName) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        IcebergTables.catalog_name == CATALOG,
        IcebergTables.table_namespace == table.namespace,
        IcebergTables.table_name == table.name,
    )


def _taken(catalog: _StagingCatalog) -> tuple[_Pointer, TableMetadata]:
    if catalog.staged is None:
        raise RuntimeError("a commit staged nothing")
    taken, catalog.staged = catalog.staged, None
    return taken


def _moved(table: TableName, seen: str) -> PublishConflict:
    return PublishConflict(
        f"Another writer moved {table} first",
        subject=str(table),
        seen=seen,
        expected="the version that this run started from",
        hint="limnos run again: it starts from the new version; nothing of this run was published",
    )


