"""The SQL of the views that a governed query reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from limnos.engines.duckdb.footers import FileGroup
from limnos.errors import Unsupported
from limnos.model.data import Relation
from limnos.model.decision import Decision
from limnos.model.names import literal, quoted
from limnos.model.types import sql_type

_FIELD_ID = b"PARQUET:field_id"
_LOCAL = re.compile("^file:(//)?")
_SCHEME = re.compile("^[a-z0-9]+://")


def governed(base: str, columns: Iterable[str], decision: Decision) -> str:
    """Write the SELECT that a decision leaves of `base`: its row filter sees the raw values, its masks what is left."""
    masks = {column.casefold(): mask for column, mask in decision.masks.items()}
    filtered = f"SELECT * FROM ({base}) WHERE ({decision.row_filter})" if decision.row_filter else base
    if not masks:
        return filtered
    chosen = ", ".join(f"({masks[name.casefold()]}) AS {quoted(name)}" if name.casefold() in masks else quoted(name) for name in columns)
    return f"SELECT {chosen} FROM ({filtered})"


def live_rows(relation: Relation, groups: Sequence[FileGroup], *, positions: bool = False) -> str:
    """Write the SELECT of all live rows of a version; columns are found by field id, so renamed, added and widened ones are right.

    With `positions`, `_file VARCHAR, _row BIGINT` say where each row is. Columns without an id are found by name. The engine can map
    ids by itself (`read_parquet(schema = ...)`), but then reads three times slower.

    Source: Apache Iceberg table specification, version 2, "Column Projection" and "Position Delete Files".

    Raises:
        Unsupported: If a field inside a nested column was renamed since a file was written.
    """
    if not groups:
        empty = [f"NULL::{sql_type(field.type)} AS {quoted(field.name)}" for field in relation.schema]
        return f"SELECT {', '.join([*empty, *(['NULL::VARCHAR AS _file', 'NULL::BIGINT AS _row'] if positions else [])])} WHERE FALSE"
    return " UNION ALL ".join(
        _live_rows(relation, group, files, positions=positions, deleted=deleted)
        for group in groups
        for files, deleted in _split(relation, group)
    )


def _split(relation: Relation, group: FileGroup) -> Iterator[tuple[Sequence[str], bool]]:
    """Keep the files that no delete concerns apart: they are read as fast as in a table without any."""
    hit = [file for file in group.files if not relation.gone or file in relation.gone] if relation.deletes else []
    if len(hit) < len(group.files):
        yield (group.files if not hit else [file for file in group.files if file not in set(hit)]), False
    if hit:
        yield hit, True


def _live_rows(relation: Relation, group: FileGroup, files: Sequence[str], *, positions: bool, deleted: bool) -> str:
    chosen = [_column(field, group, relation) for field in relation.schema]
    if positions:
        chosen += ["live.__file AS _file", "live.file_row_number AS _row"]
    named = ", filename = '__file'" if positions else ""
    rows = f"SELECT {', '.join(chosen)} FROM read_parquet({_paths(files)}, hive_partitioning = false{named}) AS live"
    if not deleted:
        return rows
    places = ", ".join(f"({literal(spelled)}, {place})" for place, file in enumerate(files) for spelled in _spellings(file))
    return (
        f"{rows} ANTI JOIN (SELECT files.place AS place, gone.pos AS pos "
        f"FROM read_parquet({_paths(relation.deletes)}, hive_partitioning = false) AS gone "
        f"JOIN (VALUES {places}) AS files(path, place) ON gone.file_path = files.path) AS gone "
        "ON live.file_index = gone.place AND live.file_row_number = gone.pos"
    )


def _spellings(file: str) -> Iterable[str]:
    """Write a local path in all ways that writers write it, with and without `file://`."""
    bare = _LOCAL.sub("", file)
    return (file,) if _SCHEME.match(bare) else (bare, f"file:{bare}", f"file://{bare}")


def _column(field: pa.Field[Any], group: FileGroup, relation: Relation) -> str:
    number = _field_id(field)
    name = group.columns.get(number) if number is not None and group.columns else field.name if field.name in group.names else None
    for inner in _inside(field.type):
        spelled = group.nested.get(_field_id(inner) or -1, inner.name)
        # Lists and maps have fixed names inside, which writers spell differently.
        if spelled != inner.name and {spelled, inner.name}.isdisjoint({"element", "item", "key", "value"}):
            raise Unsupported(
                "A field inside a nested column was renamed, which this engine cannot read",
                subject=f"{relation.table}.{field.name}",
                seen=f"{spelled} in {group.files[0]}",
                expected=inner.name,
                hint="rename it back, or load the table again",
            )
    value = "NULL" if name is None else f"live.{quoted(name)}"
    return f"CAST({value} AS {sql_type(field.type)}) AS {quoted(field.name)}"


def _field_id(field: pa.Field[Any]) -> int | None:
    text = (field.metadata or {}).get(_FIELD_ID)
    return int(text) if text is not None else None


def _inside(kind: pa.DataType) -> Iterator[pa.Field[Any]]:
    for at in range(kind.num_fields):
        inner = kind.field(at)
        yield inner
        yield from _inside(inner.type)


def _paths(paths: Iterable[str]) -> str:
    return "[" + ", ".join(literal(path) for path in paths) + "]"
