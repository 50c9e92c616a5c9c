"""The lake's side of a comparison: the sums of each data file are computed once, for a file never changes.

That it did not is looked at each time: its bytes are hashed, which costs a tenth of decoding its rows and hashing them one by one.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pyarrow as pa

from limnos.errors import LimnosError
from limnos.model.casts import names
from limnos.model.data import Relation
from limnos.model.digest import Ask, Blocks, Cell, Digestible, FileSums, Hash, Question
from limnos.model.names import literal, quoted
from limnos.model.types import sql_type
from limnos.ports import Session
from limnos.quality.comparison_compiled import Kind, Sums, library
from limnos.quality.comparison_sides import EngineSide, typed_rows

_NEAR = "limnos_near"
_BATCH_ROWS = 8_192
_ROWS_WORTH_IT = 2_000
"""From this size of files on, a statement for each of them costs less than hashing in SQL."""
_FIELDS: dict[str, pa.DataType] = {"bucket": pa.int64(), "n": pa.int64(), "total": pa.decimal128(38, 0)}
_SUMS = pa.schema(_FIELDS)


class Memory(Protocol):
    """Keep the sums of files from one comparison to the next."""

    def recall(self, form: str) -> Mapping[str, FileSums]:
        """Give what is kept in a form, by file."""
        ...

    def keep(self, form: str, found: Mapping[str, FileSums], live: Collection[str]) -> None:
        """Keep the sums of more files, and forget those of files that are not `live` or of another form."""
        ...


@dataclass(slots=True)
class LakeSide:
    """Answer questions of the rows of a version that are `current`; `schema` has its columns, `digits` as in `typed_rows`."""

    relation: Relation
    schema: pa.Schema
    current: str
    memory: Memory
    digits: frozenset[str] = frozenset()
    _near: bool = False

    def keep(self, session: Session, question: Question, name: str) -> None:
        """Put the answer into a temporary table."""
        match question.ask:
            case Ask.BUCKETS:
                self._sums(session, question, name)
            case Ask.NUMBERS if len(question.within) * 8 < question.buckets:
                # What follows asks for rows in the same buckets.
                near = self._typed("").near(question)
                session.run(f"CREATE TEMP TABLE {_NEAR} AS SELECT * FROM {self._live(session, self.relation)} WHERE {near}")
                self._near = True
                self._rows(session).keep(session, replace(question, within=()), name)
            case _:
                self._rows(session).keep(session, question, name)

    def blocks(self, session: Session, key: Sequence[str], buckets: int) -> Blocks | None:
        """Choose blocks of a key's column that spread the rows over the buckets; none if there is no such column."""
        live = self._live(session, self.relation)
        for name in key:
            found = session.run(f"SELECT min({quoted(name)}), max({quoted(name)}) FROM {live}")
            low, high = (column[0].as_py() for column in found.columns)
            if low is None:
                return None
            width = 1
            while width * 4 * buckets <= high - low:
                width *= 4
            spread = session.run(f"SELECT approx_count_distinct({quoted(name)} // {width}), count(*) FROM {live}")
            blocks, rows = (int(column[0].as_py()) for column in spread.columns)
            if 2 * blocks >= min(buckets, rows):
                return Blocks(name, width, int(low), int(high))
        return None

    def _typed(self, relation: str) -> Digestible:
        return typed_rows(relation, self.schema, self.digits)

    def _live(self, session: Session, relation: Relation, more: str = "") -> str:
        rows = session.relation(relation, positions=bool(more))
        return f"(SELECT {names(self.schema.names)}{more} FROM ({rows}) WHERE {self.current}) AS live"

    def _rows(self, session: Session) -> EngineSide:
        return EngineSide(self._typed(_NEAR if self._near else self._live(session, self.relation)))

    def _sums(self, session: Session, question: Question, name: str) -> None:
        """Add up the sums of all files, less those of the rows that deletes take out of them."""
        form = self._form(session, question)
        content = _content(session, self.relation.files)
        kept = {file: one for file, one in self.memory.recall(form).items() if content.get(file) == one.content}
        missing = [file for file in self.relation.files if file not in kept]
        if missing:
            found = self._computed(session, question, missing, content)
            self.memory.keep(form, found, self.relation.files)
            kept |= found
        sums = pa.concat_tables([_SUMS.empty_table(), *(one.sums for one in kept.values())])
        less = f" UNION ALL SELECT bucket, -n, -total FROM ({self._deleted(session, question)})" if self.relation.deletes else ""
        session.run(
            f"CREATE TEMP TABLE {quoted(name)} AS SELECT bucket, sum(n)::BIGINT AS rows, sum(total)::HUGEINT::VARCHAR AS total "
            f"FROM (SELECT * FROM sums{less}) GROUP BY bucket HAVING sum(n) > 0",
            sums=sums,
        )

    def _form(self, session: Session, question: Question) -> str:
        """Name all that the sums of a file depend on, but the file."""
        version = session.run("SELECT version()").column(0)[0].as_py()
        select = self._typed("").sums(question)
        said = [version, select, self.current, self.relation.schema.to_string(truncate_metadata=False)]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    def _computed(self, session: Session, question: Question, files: Sequence[str], content: Mapping[str, str]) -> Mapping[str, FileSums]:
        whole = replace(self.relation, files=tuple(files), deletes=(), gone={})
        native = library()
        large = self.relation.rows >= _ROWS_WORTH_IT * len(self.relation.files)
        if native and large and question.hash is Hash.LOOKUP3 and question.key and question.columns:
            each = {file: self._added_up(session, question, native, replace(whole, files=(file,))) for file in files}
            added = {file: FileSums(content[file], sums) for file, sums in each.items() if sums is not None}
            if len(added) == len(files):
                return added
        rows = self._live(session, whole, ", _file")
        found = session.run(f"{self._added(question, rows, '_file, ')} ORDER BY _file")
        parts, start = dict[str, pa.Table](), 0
        for file, buckets in Counter(map(str, found["_file"].to_pylist())).items():
            parts[_bare(file)] = found.slice(start, buckets).drop_columns("_file")
            start += buckets
        return {file: FileSums(content[file], parts.get(_bare(file), _SUMS.empty_table())) for file in files}

    def _added_up(self, session: Session, question: Question, native: ctypes.CDLL, file: Relation) -> pa.Table | None:
        """Have compiled code write and hash the rows of a file; none where it cannot."""
        typed = self._typed(self._live(session, file))
        cells = {name: _native(self.schema.field(name), typed.cells[name]) for name in question.columns}
        listed = ", ".join(f"{sql} AS _{at}" for at, (_, sql) in enumerate(cells.values()))
        sums = Sums(native, [kind for kind, _ in cells.values()], question.buckets)
        select = f"SELECT CAST({typed.bucket(question)} AS BIGINT) AS bucket, {listed} FROM {typed.relation}"
        try:
            return sums.table() if sums.add(session.stream(select, batch_rows=_BATCH_ROWS)) else None
        except LimnosError:
            # A batch holds 2 GB of texts at most. What else may be wrong, the engine says again.
            return None

    def _deleted(self, session: Session, question: Question) -> str:
        hit = tuple(file for file in self.relation.files if not self.relation.gone or file in self.relation.gone)
        every = self._live(session, replace(self.relation, files=hit, deletes=(), gone={}), ", _file, _row")
        left = session.relation(replace(self.relation, files=hit), positions=True)
        rows = f"{every} ANTI JOIN (SELECT _file, _row FROM ({left})) AS stay USING (_file, _row)"
        return self._added(question, f"(SELECT * FROM {rows}) AS live")

    def _added(self, question: Question, rows: str, beside: str = "") -> str:
        sums = f"SELECT {beside}{self._typed('').sums(question)} FROM {rows} GROUP BY ALL"
        return f"SELECT {beside}bucket::BIGINT AS bucket, n::BIGINT AS n, total::DECIMAL(38, 0) AS total FROM ({sums})"


def _native(field: pa.Field[Any], cell: Cell) -> tuple[Kind, str]:
    """Say how compiled code writes a column, and what it is given; other types come as canonical text."""
    kind, name = field.type, quoted(field.name)
    if pa.types.is_integer(kind):
        return Kind.INTEGER, f"CAST({name} AS BIGINT)"
    if pa.types.is_decimal(kind):
        return Kind.DECIMAL, f"CAST({name} AS {sql_type(kind)})"
    if pa.types.is_date(kind):
        return Kind.DAY, name
    return Kind.FREE if cell.is_free else Kind.TEXT, cell.sql


def _content(session: Session, files: Sequence[str]) -> Mapping[str, str]:
    """Hash the bytes of files."""
    listed = ", ".join(literal(file) for file in files)
    if not listed:
        return {}
    found = session.run(f"SELECT filename, hash(content)::VARCHAR AS content FROM read_blob([{listed}])")
    by_place = {_bare(str(row["filename"])): str(row["content"]) for row in found.to_pylist()}
    return {file: by_place[_bare(file)] for file in files}


def _bare(file: str) -> str:
    """Write a path as the engine does, which leaves the scheme of local files out."""
    return file.removeprefix("file://").removeprefix("file:")
