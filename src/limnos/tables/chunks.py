"""The chunks of loads that are not published yet, as rows of the state database, and the files that nobody needs any more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from limnos.model.chunk import LandedChunk
from limnos.model.names import TableName
from limnos.tables.versions import metadata

chunks = sa.Table(
    "limnos_chunks",
    metadata,
    sa.Column("table_name", sa.String(300), primary_key=True),
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("landed", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)
spent = sa.Table("limnos_spent_files", metadata, sa.Column("uri", sa.String(1000), primary_key=True))
"""Files that were recorded with a chunk and are not part of what was published."""


def record(connection: Connection, table: TableName, landed: LandedChunk, digest: str) -> None:
    """Remember a chunk whose files are complete; `digest` is that of all of them."""
    values = {"table_name": str(table), "name": landed.chunk.name, "landed": landed.as_json(), "digest": digest}
    connection.execute(chunks.insert().values(values))


def find(engine: Engine, table: TableName | None = None) -> Sequence[tuple[LandedChunk, str]]:
    """Give the remembered chunks of a table, or of all, with their digests."""
    query = sa.select(chunks.c.landed, chunks.c.digest)
    if table is not None:
        query = query.where(chunks.c.table_name == str(table))
    with engine.connect().execution_options(limnos_reads=True) as connection:
        return [(LandedChunk.from_json(row.landed), row.digest) for row in connection.execute(query)]


def spend(
    connection: Connection, table: TableName | None = None, *, names: Iterable[str] | None = None, kept: Collection[str] = ()
) -> None:
    """Forget chunks of a table, or of all; their files are spent, but for the `kept` ones."""
    chosen = sa.true() if table is None else chunks.c.table_name == str(table)
    if names is not None:
        chosen &= chunks.c.name.in_(list(names))
    found = [LandedChunk.from_json(text) for text in connection.execute(sa.select(chunks.c.landed).where(chosen)).scalars()]
    connection.execute(chunks.delete().where(chosen))
    uris = [{"uri": file.path} for landed in found for file in (*landed.files, *landed.failed) if file.path not in kept]
    if uris:
        connection.execute(spent.insert(), uris)


def spent_files(engine: Engine) -> Sequence[str]:
    """Name the spent files that may still be there."""
    with engine.connect().execution_options(limnos_reads=True) as connection:
        return list(connection.execute(sa.select(spent.c.uri)).scalars())


def swept(connection: Connection, uris: Sequence[str]) -> None:
    """Forget files that were deleted."""
    for uri in uris:
        connection.execute(spent.delete().where(spent.c.uri == uri))
