"""Published versions, as rows of the state database: written in the transaction that publishes them, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError

from limnos.errors import ProjectInvalid, PublishConflict
from limnos.model.data import Snapshot
from limnos.model.names import TableName

CATALOG = "limnos"

metadata = sa.MetaData()
pointers = sa.Table(
    "iceberg_tables",
    metadata,
    sa.Column("catalog_name", sa.String(255), primary_key=True),
    sa.Column("table_namespace", sa.String(255), primary_key=True),
    sa.Column("table_name", sa.String(255), primary_key=True),
    sa.Column("metadata_location", sa.String(1000)),
    sa.Column("previous_metadata_location", sa.String(1000)),
    sa.Column("iceberg_type", sa.String(5)),
)
"""PyIceberg's own table, as its SQL catalog creates it: any reader of that catalog sees what we publish."""
sa.Table(
    "iceberg_namespace_properties",
    metadata,
    sa.Column("catalog_name", sa.String(255), primary_key=True),
    sa.Column("namespace", sa.String(255), primary_key=True),
    sa.Column("property_key", sa.String(255), primary_key=True),
    sa.Column("property_value", sa.String(1000), nullable=False),
)
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
expired = sa.Table(
    "limnos_expired",
    metadata,
    sa.Column("metadata_location", sa.String(1000), primary_key=True),
    sa.Column("run_id", sa.String(80), nullable=False),
)
"""The versions that are kept no longer, and by which upkeep they went; what they were stays on record in `versions`."""
_HAS_EXPIRED = sa.exists().where(expired.c.metadata_location == versions.c.metadata_location).label("expired")


@dataclass(frozen=True, slots=True)
class Pointer:
    """Say where a table's pointer is and where it is to go; `old` is None for a table that is not there yet."""

    table: TableName
    old: str | None
    new: str


def _snapshot(row: sa.RowMapping) -> Snapshot:
    return Snapshot(
        table=TableName(str(row["namespace"]), str(row["name"])),
        snapshot_id=int(str(row["snapshot_id"])),
        rows=int(str(row["rows"])),
        at=datetime.fromisoformat(str(row["published_at"])),
        run_id=str(row["run_id"]),
        digest=str(row["digest"]),
        metadata_location=str(row["metadata_location"]),
        expired=bool(row.get("expired")),
    )


def _reading(engine: Engine) -> Connection:
    return engine.connect().execution_options(limnos_reads=True)


def current(engine: Engine) -> tuple[Sequence[Snapshot], Sequence[Pointer]]:
    """Give every table's published version in one statement, and the pointers that another writer moved."""
    join = sa.outerjoin(pointers, versions, pointers.c.metadata_location == versions.c.metadata_location)
    query = (
        sa.select(pointers.c.table_namespace, pointers.c.table_name, pointers.c.metadata_location.label("pointer"), versions)
        .select_from(join)
        .where(pointers.c.catalog_name == CATALOG, sa.func.coalesce(pointers.c.iceberg_type, "TABLE") == "TABLE")
        .order_by(pointers.c.table_namespace, pointers.c.table_name)
    )
    with _reading(engine) as connection:
        rows = connection.execute(query).mappings().all()
    ours = [_snapshot(row) for row in rows if row["metadata_location"] is not None]
    strange = [row for row in rows if row["metadata_location"] is None]
    names = [_name(row["table_namespace"], row["table_name"]) for row in strange]
    return ours, [Pointer(name, None, row["pointer"]) for name, row in zip(names, strange, strict=True) if name]


def _name(namespace: str, name: str) -> TableName | None:
    try:
        return TableName(namespace, name)
    except ProjectInvalid:
        # Another writer may call its tables what it likes; one that cannot be named here cannot be read here.
        return None


def _is(table: TableName) -> tuple[sa.ColumnElement[bool], ...]:
    return pointers.c.catalog_name == CATALOG, pointers.c.table_namespace == table.namespace, pointers.c.table_name == table.name


def pointer_of(connection: Connection, table: TableName) -> str | None:
    """Give where a table's pointer is; None for a table that is not there."""
    return connection.execute(sa.select(pointers.c.metadata_location).where(*_is(table))).scalar()


def move(connection: Connection, pointer: Pointer) -> None:
    """Move a pointer from where it was.

    Raises:
        PublishConflict: If it is there no more.
    """
    if pointer.old is None:
        try:
            connection.execute(
                pointers.insert().values(
                    catalog_name=CATALOG,
                    table_namespace=pointer.table.namespace,
                    table_name=pointer.table.name,
                    metadata_location=pointer.new,
                    iceberg_type="TABLE",
                )
            )
        except IntegrityError as error:
            raise conflict(pointer.table, "the table was created meanwhile") from error
        return
    moved = connection.execute(
        pointers.update()
        .where(*_is(pointer.table), pointers.c.metadata_location == pointer.old)
        .values(metadata_location=pointer.new, previous_metadata_location=pointer.old)
    )
    if moved.rowcount != 1:
        raise conflict(pointer.table, pointer_of(connection, pointer.table) or "no table")


def conflict(table: TableName, seen: str) -> PublishConflict:
    """Build the one wording for a table that another writer moved."""
    return PublishConflict(
        f"Another writer moved {table} first",
        subject=str(table),
        seen=seen,
        expected="the version that this run started from",
        hint="limnos run again: it starts from the new version; nothing of this run was published",
    )


def as_of(engine: Engine, at: datetime) -> Sequence[Snapshot]:
    """Give every table's version as it was published at an instant; runs publish at one instant, so the cut is consistent."""
    ranked = (
        sa.select(
            versions,
            _HAS_EXPIRED,
            sa.func.row_number()
            .over(partition_by=[versions.c.namespace, versions.c.name], order_by=versions.c.published_at.desc())
            .label("age"),
        )
        .where(versions.c.published_at <= stamp(at))
        .subquery()
    )
    with _reading(engine) as connection:
        return [_snapshot(row) for row in connection.execute(sa.select(ranked).where(ranked.c.age == 1)).mappings()]


def history(engine: Engine, table: TableName) -> Sequence[Snapshot]:
    """List a table's versions, oldest first."""
    query = (
        sa.select(versions, _HAS_EXPIRED)
        .where(versions.c.namespace == table.namespace, versions.c.name == table.name)
        .order_by(versions.c.published_at)
    )
    with _reading(engine) as connection:
        return [_snapshot(row) for row in connection.execute(query).mappings()]


def published_by(engine: Engine, run_id: str) -> Sequence[Snapshot]:
    """List the versions that a run published."""
    with _reading(engine) as connection:
        return [_snapshot(row) for row in connection.execute(sa.select(versions).where(versions.c.run_id == run_id)).mappings()]


def recorded(connection: Connection, location: str) -> Snapshot | None:
    """Give a version as it was published; None if it never was."""
    row = connection.execute(sa.select(versions).where(versions.c.metadata_location == location)).mappings().first()
    return _snapshot(row) if row else None


def instant(connection: Connection) -> datetime:
    """Give the instant to publish at: now, or just after the last one where the clock was set back, so that history stays in order."""
    last = connection.execute(sa.select(sa.func.max(versions.c.published_at))).scalar()
    now = datetime.now(UTC)
    return max(now, datetime.fromisoformat(last) + timedelta(microseconds=1)) if last else now


def record(connection: Connection, snapshot: Snapshot) -> None:
    """Record a version as published."""
    connection.execute(
        versions.insert().values(
            metadata_location=snapshot.metadata_location,
            namespace=snapshot.table.namespace,
            name=snapshot.table.name,
            snapshot_id=snapshot.snapshot_id,
            rows=snapshot.rows,
            digest=snapshot.digest,
            run_id=snapshot.run_id,
            published_at=stamp(snapshot.at),
        )
    )


def expire(connection: Connection, locations: Sequence[str], run_id: str) -> None:
    """Record that versions are kept no longer; one that has expired already stays so."""
    known = set(connection.execute(sa.select(expired.c.metadata_location)).scalars())
    rows = [{"metadata_location": location, "run_id": run_id} for location in locations if location not in known]
    if rows:
        connection.execute(expired.insert(), rows)


def stamp(at: datetime) -> str:
    """Write an instant so that texts sort as instants do: UTC, always with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
