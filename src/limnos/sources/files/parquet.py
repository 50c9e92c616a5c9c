"""Parquet: rows counted by the footers, types as they are."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from limnos.errors import LimnosError, MalformedFile, ProjectInvalid, SchemaDrift, Unsupported
from limnos.model.names import quoted
from limnos.model.types import canonical, sql_type, type_name
from limnos.ports import Session
from limnos.sources.files.contents import Contents
from limnos.sources.files.inventory import File, opened

_NANOSECONDS = re.compile(r"^time(stamp|64)\[ns")


def contents(files: Sequence[File], session: Session) -> Contents:
    """Look through the footers of a table's files.

    Raises:
        MalformedFile: If a file is not a whole Parquet file.
        SchemaDrift: If a column has types that no common type holds without loss.
        Unsupported: If a column has a type that Iceberg has not, or nanoseconds that would be cut.
    """
    counts = _counts(files, session)
    ends = list(accumulate(counts))
    columns: dict[str, pa.DataType] = {}
    shapes = _shapes(files, session)
    for file in shapes.values():
        _merge(columns, file, _schema(file, session), next(iter(shapes.values())))
    if any(pa.types.is_temporal(kind) for kind in columns.values()):
        for file in files:
            _refuse_cut(file, columns, session)
    paths = ", ".join(file.sql for file in files)
    relation = f"read_parquet([{paths}], union_by_name = {str(len(shapes) > 1).lower()}, hive_partitioning = false)"
    schema = pa.schema([(name, kind if _finer(kind) else canonical(kind)) for name, kind in columns.items()])
    casts = ", ".join(_cast(field) for field in schema)

    def origins(ordinals: Sequence[int]) -> Sequence[str]:
        places = [bisect_right(ends, ordinal) for ordinal in ordinals]
        return [f"{files[at].name} row {ordinal - ends[at] + counts[at] + 1}" for at, ordinal in zip(places, ordinals, strict=True)]

    return Contents(
        schema=schema,
        scan=f"SELECT {casts} FROM {relation}",
        rows=ends[-1],
        origins=origins,
        types={name: canonical(kind) for name, kind in columns.items()},
    )


def _cast(field: pa.Field[pa.DataType]) -> str:
    name = quoted(field.name)
    return name if _finer(field.type) else f"CAST({name} AS {sql_type(field.type)}) AS {name}"


def _counts(files: Sequence[File], session: Session) -> Sequence[int]:
    """Count the rows of each file from its footer."""

    def footers(some: Sequence[File]) -> Mapping[str, int]:
        found = session.run(f"SELECT file_name, num_rows FROM parquet_file_metadata([{', '.join(file.sql for file in some)}])")
        return {row["file_name"]: row["num_rows"] for row in found.to_pylist()}

    try:
        counts = footers(files)
    except LimnosError:
        counts = {}
        for file in files:
            try:
                counts |= footers([file])
            except LimnosError as error:
                raise MalformedFile(
                    "A file is not a whole Parquet file",
                    subject=file.name,
                    seen=f"{file.size} bytes: {error.seen or error.what}",
                    expected="a Parquet footer at the end of the file",
                    hint="deliver the file again, whole",
                ) from error
    return [counts[file.path] for file in files]


def _shapes(files: Sequence[File], session: Session) -> Mapping[str, File]:
    """Pick one file for each different schema, in the order of the files."""
    said = "concat_ws('|', name, type, num_children, converted_type, scale, precision, logical_type, duckdb_type)"
    paths = ", ".join(file.sql for file in files)
    shape = f"md5(string_agg({said}, ',' ORDER BY column_id)) AS shape"
    found = session.run(f"SELECT file_name, {shape} FROM parquet_schema([{paths}]) GROUP BY file_name")
    shapes = {row["file_name"]: row["shape"] for row in found.to_pylist()}
    first: dict[str, File] = {}
    for file in files:
        first.setdefault(shapes[file.path], file)
    return first


def _schema(file: File, session: Session) -> pa.Schema:
    schema = session.run(f"SELECT * FROM read_parquet({file.sql}, hive_partitioning = false) LIMIT 0").schema
    for field in schema:
        try:
            canonical(field.type)
        except ProjectInvalid as error:
            raise Unsupported(
                f"Column {field.name} has a type that an Iceberg table has not",
                subject=file.name,
                seen=str(field.type),
                expected=error.expected,
                hint="write the column with another type",
            ) from error
    return schema


def _merge(columns: dict[str, pa.DataType], file: File, schema: pa.Schema, first: File) -> None:
    """Widen `columns` by those of one more file."""
    folded = {name.casefold(): name for name in columns}
    for field in schema:
        kind: pa.DataType = field.type
        known = folded.get(field.name.casefold(), field.name)
        old = columns.get(known) or kind
        wide = _wider(old, kind) if known == field.name else None
        if wide is None:
            raise SchemaDrift(
                f"Column {field.name} is not the same in {first.name} and {file.name}",
                subject=file.name,
                seen=f"{field.name} {type_name(kind)}",
                expected=f"{known} {type_name(old)}, as in the files before it",
                hint="write the files alike, or give them a table each in limnos.yml",
            )
        columns[field.name] = wide


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Give the type that holds both without loss; None if there is none in the same family."""
    if one == other or canonical(one) == canonical(other):
        return other if _finer(other) else one
    for narrow, wide in ((pa.int32(), pa.int64()), (pa.float32(), pa.float64())):
        if {canonical(one), canonical(other)} == {narrow, wide}:
            return wide
    if pa.types.is_decimal(one) and pa.types.is_decimal(other):
        scale = max(one.scale, other.scale)
        precision = max(one.precision - one.scale, other.precision - other.scale) + scale
        return pa.decimal128(precision, scale) if precision <= 38 else None
    return None


def _finer(kind: pa.DataType) -> bool:
    """Tell whether a type has nanoseconds: its values go on as they are, so that nothing is cut unseen."""
    return kind == pa.time64("ns") or (pa.types.is_timestamp(kind) and kind.unit == "ns" and kind.tz is None)


def _refuse_cut(file: File, columns: Mapping[str, pa.DataType], session: Session) -> None:
    """Make sure that no time has nanoseconds which the engine would cut: it keeps them only in timestamps without a zone."""
    with opened(file, session) as raw, pq.ParquetFile(raw) as parquet:
        cut = [field.name for field in parquet.schema_arrow if _NANOSECONDS.search(str(field.type)) and not _finer(columns[field.name])]
        for batch in parquet.iter_batches(columns=cut) if cut else ():
            for name, values in zip(batch.schema.names, batch.columns, strict=True):
                try:
                    values.cast(canonical(values.type))
                except pa.ArrowInvalid as error:
                    raise Unsupported(
                        f"Column {name} has nanoseconds that would be cut",
                        subject=file.name,
                        seen=str(error),
                        expected="times with microseconds at most",
                        hint="write the column in microseconds, or as text",
                    ) from error
