"""Files of a table, and the published versions they make up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from limnos.model.names import TableName


@dataclass(frozen=True, slots=True)
class Layout:
    """Say how files are to be written: where, with which field ids, split by which SQL expressions.

    `directory` is a path or URI without a trailing slash. `field_ids` maps each column to its Iceberg id, nested ones as
    `{"": id, "element": ...}` in the engine's notation. `partitions` maps an alias to the SQL expression whose value splits the files.
    `one_file` asks for a single file, with the rows in any order; where there are partitions, it says nothing.
    """

    directory: str
    field_ids: Mapping[str, object]
    partitions: Mapping[str, str] = field(default_factory=dict[str, str])
    file_size_bytes: int = 512 * 1024 * 1024
    one_file: bool = False


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """Describe one Parquet file that was just written; `partition` holds the text of each partition expression (None for null)."""

    path: str
    rows: int
    size_bytes: int
    null_counts: Mapping[str, int]
    minimums: Mapping[str, object]
    maximums: Mapping[str, object]
    partition: Mapping[str, str | None] = field(default_factory=dict[str, str | None])


@dataclass(frozen=True, slots=True)
class LiveFile:
    """Describe one data file of a published version: `gone` counts the rows of it that delete files take out.

    `partition` is the same text for files of one partition.
    """

    path: str
    rows: int
    size_bytes: int
    gone: int = 0
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """Name what a new version has no more: whole data files by path, and single rows as a table of `file VARCHAR, row BIGINT`.

    Rows are counted from 0 in their file; none of them lies in a file that goes as a whole, and none is gone already.
    """

    files: frozenset[str] = frozenset()
    rows: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """Say how an engine reads one version of a table: its files, and its columns by Iceberg field id.

    `schema` carries the field ids in Arrow metadata (`PARQUET:field_id`). `deletes` lists position-delete files; an engine that cannot
    honour them must refuse. `gone` counts the rows that they take out of each data file that they concern;
    where there are deletes and it is empty, any file may be concerned.
    """

    table: TableName
    schema: pa.Schema
    files: tuple[str, ...]
    rows: int
    deletes: tuple[str, ...] = ()
    gone: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Point at a published version of a table; `digest` is that of the files it added, `at` is in UTC.

    One that has `expired` is still on record, but its files are kept no longer.
    """

    table: TableName
    snapshot_id: int
    rows: int
    at: datetime
    run_id: str
    digest: str = ""
    metadata_location: str = ""
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Staged:
    """Hold a table version that no reader sees yet; only the catalog that made it looks inside `handle`."""

    table: TableName
    relation: Relation
    snapshot: Snapshot
    handle: object
