"""How the files of a table spell its columns, read from their Parquet footers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import duckdb

from limnos.model.names import literal

_Entry: TypeAlias = tuple[str, int, int | None]


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Hold files that spell and type their columns alike.

    `columns` maps field ids to names at the top level, `nested` those below it; `names` are all names at the top level.
    """

    files: tuple[str, ...]
    columns: Mapping[int, str]
    nested: Mapping[int, str]
    names: frozenset[str]


def file_groups(cursor: duckdb.DuckDBPyConnection, files: Sequence[str]) -> tuple[FileGroup, ...]:
    """Group files by how they spell and type their columns, for the engine takes both from the first of a group; reads each footer once."""
    if not files:
        return ()
    paths = ", ".join(literal(file) for file in files)
    kind = "concat_ws(' ', type, logical_type, precision, scale)"
    entry = f"{{'name': name, 'children': coalesce(num_children, 0), 'id': field_id, 'kind': {kind}}}"
    rows = cursor.execute(
        "SELECT list(file_name ORDER BY file_name), spelling "
        f"FROM (SELECT file_name, list({entry} ORDER BY column_id) AS spelling FROM parquet_schema([{paths}]) GROUP BY file_name) "
        "GROUP BY spelling ORDER BY ALL"
    ).fetchall()
    return tuple(_group(tuple(paths), [(each["name"], each["children"], each["id"]) for each in spelling]) for paths, spelling in rows)


def _group(files: tuple[str, ...], spelling: list[_Entry]) -> FileGroup:
    top: list[_Entry] = []
    below: list[_Entry] = []
    entries = iter(spelling)
    _, columns, _ = next(entries)
    for _ in range(columns):
        column = next(entries)
        top.append(column)
        below += _below(entries, column[1])
    return FileGroup(files, _by_id(top), _by_id(below), frozenset(name for name, _, _ in top))


def _below(entries: Iterator[_Entry], children: int) -> list[_Entry]:
    found: list[_Entry] = []
    for _ in range(children):
        child = next(entries)
        found += [child, *_below(entries, child[1])]
    return found


def _by_id(entries: Sequence[_Entry]) -> Mapping[int, str]:
    return {number: name for name, _, number in entries if number is not None}
