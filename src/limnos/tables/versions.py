"""Published versions, as rows of the state database: written in the transaction that publishes them, never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from pyiceberg.catalog.sql import IcebergTables
from sqlalchemy.engine import Connection, Engine

from limnos.model.data import Snapshot
from limnos.model.names import TableName

metadata = sa.MetaData()
versions = sa.Table(
    "limnos_versions",
    metadata,
    sa.Column("metadata_location", sa.String(1000), primary_key=True),
    sa.Column("namespace", sa.String(150), nullable=False),
    sa.Column("name", sa.String(150), nullable=False),
    sa.Column("snapshot_id", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False, index=True),
    sa.Column("published_at", sa.String(40), nullable=False),
)


def _snapshot(row: Mapping[str, object]) -> Snapshot:
    return Snapshot(
        table=TableName(str(row["namespace"]), str(row["name"])),
        snapshot_id=int(str(row["snapshot_id"])),
        rows=int(str(row["rows"])),
        at=datetime.fromisoformat(str(row["published_at"])),
        run_id=str(row["run_id"]),
        digest=str(row["digest"]),
        metadata_location=str(row["metadata_location"]),
    )


def _reading(engine: Engine) -> Connection:
    return engine.connect().execution_options(limnos_reads=True)


def current(engine: Engine, catalog: str) -> tuple[Sequence[Snapshot], Sequence[tuple[str, str, str]]]:
    """Give every table's published version in one statement, and the pointers that somebody else moved, as (namespace, name, location)."""
    join = sa.outerjoin(IcebergTables.__table__, versions, IcebergTables.metadata_location == versions.c.metadata_location)
    query = (
        sa.select(IcebergTables.table_namespace, IcebergTables.table_name, IcebergTables.metadata_location.label("pointer"), versions)
        .select_from(join)
        .where(IcebergTables.catalog_name == catalog)
        .order_by(IcebergTables.table_namespace, IcebergTables.table_name)
    )
    with _reading(engine) as connection:
        rows = connection.execute(query).mappings().all()
    ours = [_snapshot(row) for row in rows if row["metadata_location"] is not None]
    foreign = [(row["table_namespace"], row["table_name"], row["pointer"]) for row in rows if row["metadata_location"] is None]
    return ours, foreign


def as_of(engine: Engine, at: datetime) -> Sequence[Snapshot]:
    """Give every table's version as it was published at an instant; runs publish at one instant, so the cut is consistent."""
    ranked = (
        sa.select(versions, sa.func.row_number().over(partition_by=[versions.c.namespace, versions.c.name], order_by=versions.c.published_at.desc()).label("age"))
        .where(versions.c.published_at <= stamp(at))
        .subquery()
    )
    with _reading(engine) as connection:
        return [_snapshot(row) for row in connection.execute(sa.select(ranked).where(ranked.c.age == 1)).mappings()]


def history(engine: Engine, table: TableName) -> Sequence[Snapshot]:
    """List a table's versions, oldest first."""
    query = (
        sa.select(versions).where(versions.c.namespace == table.namespace, versions.c.name == table.name).order_by(versions.c.published_at)
    )
    with _reading(engine) as connection:
        return [_snapshot(row) for row in connection.execute(query).mappings()]


def tables_published_by(engine: Engine, run_id: str) -> frozenset[TableName]:
    """Name the tables that a run published."""
    query = sa.select(versions.c.namespace, versions.c.name).where(versions.c.run_id == run_id)
    with _reading(engine) as connection:
        return frozenset(TableName(row.namespace, row.name) for row in connection.execute(query))


def record(connection: Connection, snapshot: Snapshot, at: datetime) -> None:
    """Record a version as published at an instant."""
    connection.execute(
        versions.insert().values(
            metadata_location=snapshot.metadata_location,
            namespace=snapshot.table.namespace,
            name=snapshot.table.name,
            snapshot_id=snapshot.snapshot_id,
            rows=snapshot.rows,
            digest=snapshot.digest,
            run_id=snapshot.run_id,
            published_at=stamp(at),
        )
    )


def stamp(at: datetime) -> str:
    """Write an instant so that texts sort as instants do: UTC, always with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
