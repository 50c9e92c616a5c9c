"""How to read each published version, kept beside it: a query needs neither manifests nor the library that reads them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from limnos.model.data import Relation, Snapshot
from limnos.tables.versions import metadata

relations = sa.Table(
    "limnos_relations",
    metadata,
    sa.Column("metadata_location", sa.String(1000), primary_key=True),
    sa.Column("schema", sa.Text, nullable=False),
    sa.Column("files", sa.Text, nullable=False),
)


def record(connection: Connection, location: str, relation: Relation) -> None:
    """Keep how a version is read, in the transaction that publishes it.

    The schema is Arrow's own IPC message, for it carries the Iceberg field ids.
    """
    schema = base64.b64encode(relation.schema.serialize().to_pybytes()).decode()
    files = json.dumps({"files": relation.files, "deletes": relation.deletes, "gone": dict(relation.gone)})
    connection.execute(relations.insert().values(metadata_location=location, schema=schema, files=files))


def forget(connection: Connection, locations: Sequence[str]) -> None:
    """Forget how versions were read that are kept no longer."""
    for location in locations:
        connection.execute(relations.delete().where(relations.c.metadata_location == location))


def find(engine: Engine, snapshot: Snapshot) -> Relation | None:
    """Give how a version is read; None for one that another writer published."""
    query = sa.select(relations).where(relations.c.metadata_location == snapshot.metadata_location)
    with engine.connect().execution_options(limnos_reads=True) as connection:
        row = connection.execute(query).mappings().first()
    if row is None:
        return None
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(row["schema"])))
    said = json.loads(row["files"])
    return Relation(snapshot.table, schema, tuple(said["files"]), snapshot.rows, tuple(said["deletes"]), said.get("gone", {}))
