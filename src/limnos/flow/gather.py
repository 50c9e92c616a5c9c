"""Gather the changes of one table into what is new in it and what is old, as temporary tables of a session.

All of it is SQL of the embedded engine. Changes stay raw until they are landed, so that a value that does not fit its type is quarantined
with its original text; only the identity of a row is typed, to find it in the lake.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from limnos.flow.feed import scan
from limnos.flow.set_aside import FAILED
from limnos.model.bookkeeping import DELETED_AT, VALID_FROM, VALID_TO, Bookkeeping
from limnos.model.casts import RECORD, Casts, names
from limnos.model.changes import COMMITTED_AT, ENVELOPE, KEPT, OPERATION, SEQUENCE, Operation
from limnos.model.contract import Contract
from limnos.model.conversion import as_text
from limnos.model.names import literal, quoted
from limnos.model.types import sql_type
from limnos.ports import Session

CHANGES, LAST, OLD, NEW, TYPED = "limnos_changes", "limnos_last", "limnos_old", "limnos_new", "limnos_typed"
_DELETE = f"{OPERATION} = {literal(Operation.DELETE)}"


@dataclass(frozen=True, slots=True)
class Gathered:
    """Count what was gathered.

    `OLD` holds `_file, _row` of the rows that leave the lake, `NEW` the raw rows that come, `TYPED` the same rows typed, with `_misfit`,
    and `FAILED` the raw ones that do not fit. `truncated` says that every row of before leaves, too, and `OLD` is then empty.
    `removed` counts the changes that take a row out and bring none, `beside` the rows in `NEW` that stand for no change of their own.
    `unresolved` says that a column which was not sent is nowhere to be found, so that only the source can tell.
    """

    read: int
    new: int
    failed: int
    removed: int
    beside: int
    truncated: bool
    unresolved: bool = False


@dataclass(slots=True)
class Gathering:
    """Gather the rows of `CHANGES` for a table of which `live` is a relation of the published rows with `_file` and `_row`.

    Changes that lie in files are read from there as often as they are needed, and only the columns that are: what is kept of each is its
    identity. What does not fit into the memory of the session, the engine puts on disk.

    `raw` is the schema of the source's own columns, `contract` has the columns kept beside them as well. `compare` looks for rows that came
    again as they are, which costs reading their columns in the lake. `absent` deletes the rows that did not come at all.
    """

    session: Session
    raw: pa.Schema
    contract: Contract
    identity: tuple[str, ...]
    bookkeeping: Bookkeeping
    live: str
    compare: bool = False
    absent: bool = False
    _unresolved: bool = False
    _beside: int = 0
    _scan: str = ""
    _as_many: str = TYPED
    """What has as many rows as `TYPED`, and costs the least to count."""

    def read(self, files: Sequence[Path]) -> None:
        """Take changes from Parquet files: the columns of `ENVELOPE` and the raw ones."""
        self._scan = scan(files, self._schema)
        self.session.run(f"CREATE TEMP VIEW {CHANGES} AS {self._scan}")

    def prepare(self) -> None:
        """Lay `CHANGES` down as a table, empty, unless it is there."""
        columns = ", ".join(f"{quoted(field.name)} {sql_type(field.type)}" for field in self._schema)
        if not self._scan:
            self.session.run(f"CREATE TEMP TABLE IF NOT EXISTS {CHANGES} ({columns})")

    def ignore_deletes(self) -> int:
        """Forget deletes and truncations; gives how many deletes."""
        count = self._count(CHANGES, _DELETE)
        self._keep(f"{OPERATION} NOT IN ({literal(Operation.DELETE)}, {literal(Operation.TRUNCATE)})")
        return count

    @property
    def _schema(self) -> pa.Schema:
        return pa.schema([*ENVELOPE, *self.raw])

    def _keep(self, condition: str) -> None:
        """Forget the changes that do not meet a condition."""
        if self._scan:
            self._scan = f"SELECT * FROM ({self._scan}) WHERE {condition}"
            self.session.run(f"CREATE OR REPLACE TEMP VIEW {CHANGES} AS {self._scan}")
        else:
            self.session.run(f"DELETE FROM {CHANGES} WHERE NOT ({condition})")

    def _own(self) -> None:
        """Make a table of `CHANGES`, to write into it."""
        if self._scan:
            self.session.run(f"CREATE TEMP TABLE limnos_own AS {self._scan}")
            self.session.run(f"DROP VIEW {CHANGES}")
            self.session.run(f"ALTER TABLE limnos_own RENAME TO {CHANGES}")
            self._scan = ""

    @property
    def keyed(self) -> bool:
        """Whether a key tells rows apart, and not all of their columns together, as where a change stream knows no key."""
        return bool(self.identity) and (bool(self.bookkeeping.names) or self.compare or set(self.identity) != set(self.raw.names))

    def gathered(self) -> Gathered:
        """Settle what is new and what is old."""
        self.prepare()
        # In one scan: what came may lie in files.
        truncation = f"{OPERATION} = {literal(Operation.TRUNCATE)}"
        found = self.session.run(
            f"SELECT count(*) FILTER (WHERE NOT {truncation} AND {SEQUENCE} >= 0), max({SEQUENCE}) FILTER (WHERE {truncation}), "
            f"count({KEPT}) FROM {CHANGES}"
        )
        read, cut, kept = (column[0].as_py() for column in found.columns)
        truncated = cut is not None
        if truncated:
            self._keep(f"{SEQUENCE} > {cut}")
            kept = self._count(CHANGES, f"{KEPT} IS NOT NULL")
        removed = self._keyed(truncated=truncated, kept=kept > 0) if self.keyed else self._keyless(truncated=truncated)
        failed = self._type()
        return Gathered(read, self._count(self._as_many), failed, removed, self._beside, truncated, self._unresolved)

    def replace(self, condition: str) -> None:
        """Delete every published row under a condition: the changes added hold all there is under it now."""
        self.prepare()
        values = ", ".join(f"{self._as_raw(name, f'live.{quoted(name)}')} AS {quoted(name)}" for name in self.raw.names)
        self.session.run(
            f"INSERT INTO {CHANGES} BY NAME SELECT -1 AS {SEQUENCE}, {literal(Operation.DELETE)} AS {OPERATION}, {values} "
            f"FROM {self.live} AS live WHERE {condition}"
        )

    def _count(self, table: str, where: str = "TRUE") -> int:
        return int(self.session.run(f"SELECT count(*) FROM {table} WHERE {where}").column(0)[0].as_py())

    @property
    def _casts(self) -> Casts:
        return Casts.of(pa.schema([*self.raw, *self.bookkeeping.fields]), self.contract)

    def _typed_identity(self) -> str:
        casts = self._casts
        return ", ".join(
            f"CAST({casts.columns[name].value} AS {sql_type(self.contract.column(name).type)}) AS _k{at}"
            for at, name in enumerate(self.identity)
        )

    def _keyed(self, *, truncated: bool, kept: bool) -> int:
        """Settle a table whose rows are told apart by a key: of each row, its last change counts; `kept`: not all came with all columns."""
        key = names(self.identity)
        # Rows without a whole key are nobody's successors; the key's own rule quarantines each of them.
        alone = " OR ".join(f"{quoted(name)} IS NULL" for name in self.identity)
        newest = f"SELECT max({SEQUENCE}) FROM {CHANGES} GROUP BY {key}, CASE WHEN {alone} THEN {SEQUENCE} END"
        # Rows of which nothing more is asked than which they are stay where they lie.
        whole = kept or self.compare or bool(self.bookkeeping.names)
        columns = "*" if whole else f"{SEQUENCE}, {OPERATION}, {key}"
        # A window over whole rows would take more than twice as long.
        self.session.run(
            f"CREATE TEMP TABLE {LAST} AS SELECT {columns}, {self._typed_identity()} FROM {CHANGES} WHERE {SEQUENCE} IN ({newest})"
        )
        self._find_old(truncated=truncated, values=whole)
        if kept:
            self._fill_kept()
        removed = self._count(f"{LAST} AS last SEMI JOIN {OLD} AS old USING ({SEQUENCE})", _DELETE)
        if self.absent or (truncated and self.bookkeeping.names):
            self._add_absent()
        if self.bookkeeping.history:
            self._history()
            return removed
        if self.bookkeeping.marks_deletes:
            self._marked()
            return 0
        kind, columns = "TABLE" if self.compare else "VIEW", names(self.raw.names)
        rows = f"{LAST} WHERE NOT {_DELETE}"
        source = rows if whole else f"{CHANGES} SEMI JOIN (SELECT {SEQUENCE} FROM {rows}) USING ({SEQUENCE})"
        self.session.run(f"CREATE TEMP {kind} {NEW} AS SELECT {SEQUENCE} AS {RECORD}, {SEQUENCE}, {columns} FROM {source}")
        if kind == "VIEW":
            self._as_many = f"(FROM {rows})"
        if whole and not self._scan:
            self.session.run(f"DROP TABLE {CHANGES}")
        return removed

    def _find_old(self, *, truncated: bool, values: bool) -> None:
        """Find the published rows that the changes are about, with their values where those are wanted."""
        columns = f", {names(self.contract.names, 'live')}" if values else ""
        same = " AND ".join(f"live.{quoted(name)} = last._k{at}" for at, name in enumerate(self.identity))
        current = f"(SELECT * FROM {self.live} WHERE {self.bookkeeping.current})" if self.bookkeeping.history else self.live
        nothing = " WHERE FALSE" if truncated and not self.bookkeeping.names else ""
        self.session.run(
            f"CREATE TEMP TABLE {OLD} AS SELECT live._file, live._row, last.{SEQUENCE}{columns} "
            f"FROM {current} AS live JOIN {LAST} AS last ON {same}{nothing}"
        )

    def _add_absent(self) -> None:
        """Add a delete for each current row of the lake whose key did not come."""
        same = " AND ".join(f"live.{quoted(name)} = last._k{at}" for at, name in enumerate(self.identity))
        first = int(self.session.run(f"SELECT coalesce(max({SEQUENCE}), 0) FROM {CHANGES}").column(0)[0].as_py())
        keys = ", ".join(f"{self._as_raw(name, f'live.{quoted(name)}')} AS {quoted(name)}" for name in self.identity)
        typed = ", ".join(f"live.{quoted(name)} AS _k{at}" for at, name in enumerate(self.identity))
        self.session.run(
            f"INSERT INTO {LAST} BY NAME SELECT {first} + row_number() OVER () AS {SEQUENCE}, {literal(Operation.DELETE)} AS {OPERATION}, "
            f"now() AS {COMMITTED_AT}, {keys}, {typed} FROM {self.live} AS live ANTI JOIN {LAST} AS last ON {same} "
            f"WHERE {self.bookkeeping.current}"
        )
        self._beside = self._count(LAST, f"{SEQUENCE} > {first}")
        values = names(self.contract.names, "live")
        self.session.run(
            f"INSERT INTO {OLD} BY NAME SELECT live._file, live._row, last.{SEQUENCE}, {values} FROM {self.live} AS live "
            f"JOIN (SELECT * FROM {LAST} WHERE {SEQUENCE} > {first}) AS last ON {same} WHERE {self.bookkeeping.current}"
        )

    def _as_raw(self, name: str, expression: str) -> str:
        """Write a lake value as the source would have sent it."""
        raw, typed = self.raw.field(name).type, self.contract.column(name).type
        if raw == typed:
            return expression
        return as_text(expression, typed) if pa.types.is_string(raw) else f"CAST({expression} AS {sql_type(raw)})"

    def _fill_kept(self) -> None:
        """Complete the rows of which some columns were not sent, from the change of the same row before, or from the lake."""
        tables = (CHANGES, LAST) if self.bookkeeping.names else (LAST,)
        if CHANGES in tables:
            self._own()
        found = self.session.run(f"SELECT DISTINCT unnest({KEPT}) FROM {CHANGES} WHERE {KEPT} IS NOT NULL")
        key = names(self.identity)
        same = " AND ".join(f"last.{quoted(name)} = one.{quoted(name)}" for name in self.identity)
        for name in map(str, found.column(0).to_pylist()):
            column, held = quoted(name), f"list_contains(coalesce({KEPT}, []), {literal(name)})"
            sent = f"CASE WHEN NOT {held} AND NOT {_DELETE} THEN struct_pack(v := {column}) END"
            before = (
                f"SELECT {SEQUENCE}, {key}, {held} AS held, last_value({sent} IGNORE NULLS) OVER (PARTITION BY {key} ORDER BY {SEQUENCE} "
                f"ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS sent FROM {CHANGES}"
            )
            lake = f"struct_pack(v := {self._as_raw(name, f'old.{column}')})"
            self.session.run(
                f"CREATE OR REPLACE TEMP TABLE limnos_kept AS SELECT one.{SEQUENCE}, coalesce(one.sent, CASE WHEN old._file IS NOT NULL "
                f"THEN {lake} END) AS found FROM ({before}) AS one LEFT JOIN {LAST} AS last ON {same} "
                f"LEFT JOIN {OLD} AS old ON old.{SEQUENCE} = last.{SEQUENCE} WHERE one.held"
            )
            self._unresolved = self._unresolved or self._count("limnos_kept", "found IS NULL") > 0
            for table in tables:
                self.session.run(
                    f"UPDATE {table} SET {column} = kept.found.v FROM limnos_kept AS kept WHERE kept.{SEQUENCE} = {table}.{SEQUENCE}"
                )

    def _marked(self) -> None:
        """Keep deleted rows, with the instant; a row that came and went within the changes is kept as it last was."""
        columns = names(self.raw.names)
        lake = ", ".join(f"{self._as_raw(name, f'old.{quoted(name)}')} AS {quoted(name)}" for name in self.raw.names)
        key = names(self.identity)
        newest = f"SELECT max({SEQUENCE}) FROM {CHANGES} WHERE NOT {_DELETE} GROUP BY {key}"
        came = f"SELECT {columns} FROM {CHANGES} WHERE {SEQUENCE} IN ({newest})"
        gone = f"SELECT * FROM {LAST} WHERE {_DELETE}"
        sent = ", ".join(f"came.{quoted(name)}" for name in self.raw.names)
        same = " AND ".join(f"came.{quoted(name)} = gone.{quoted(name)}" for name in self.identity)
        self.session.run(
            f"CREATE TEMP TABLE {NEW} AS SELECT row_number() OVER () - 1 AS {RECORD}, * FROM ("
            f"SELECT {SEQUENCE}, {columns}, NULL::TIMESTAMPTZ AS {quoted(DELETED_AT)} FROM {LAST} WHERE NOT {_DELETE} "
            f"UNION ALL SELECT gone.{SEQUENCE}, {sent}, gone.{COMMITTED_AT} FROM ({gone}) AS gone JOIN ({came}) AS came ON {same} "
            f"UNION ALL SELECT gone.{SEQUENCE}, {lake}, coalesce(old.{quoted(DELETED_AT)}, gone.{COMMITTED_AT}) FROM ({gone}) AS gone "
            f"JOIN {OLD} AS old USING ({SEQUENCE}) ANTI JOIN ({came}) AS came ON {same})"
        )

    def _history(self) -> None:
        """Close the version that held, and open one for each change; a row that was deleted has no open version."""
        columns, key = names(self.raw.names), names(self.identity)
        sequence, at = quoted(SEQUENCE), quoted(COMMITTED_AT)
        lake = ", ".join(f"{self._as_raw(name, f'old.{quoted(name)}')} AS {quoted(name)}" for name in self.raw.names)
        source = LAST if self.absent else CHANGES
        first = f"SELECT {key}, min({at}) AS _first, max({sequence}) AS {sequence} FROM {source} GROUP BY {key}"
        same = " AND ".join(f"first.{quoted(name)} = last.{quoted(name)}" for name in self.identity)
        versions = (
            f"SELECT {sequence}, {OPERATION}, {columns}, {at} AS {quoted(VALID_FROM)}, "
            f"lead({at}) OVER (PARTITION BY {key} ORDER BY {sequence}) AS {quoted(VALID_TO)} FROM {source}"
        )
        closed = (
            f"SELECT old.{sequence}, {lake}, old.{quoted(VALID_FROM)}, first._first AS {quoted(VALID_TO)} FROM {OLD} AS old "
            f"JOIN {LAST} AS last USING ({sequence}) JOIN ({first}) AS first ON {same}"
        )
        opened = f"SELECT * EXCLUDE ({OPERATION}) FROM ({versions}) WHERE NOT {_DELETE}"
        if self.compare:
            self._drop_unchanged_history()
        self.session.run(
            f"CREATE TEMP TABLE {NEW} AS SELECT row_number() OVER () - 1 AS {RECORD}, * FROM ({closed} UNION ALL BY NAME {opened})"
        )
        self._beside = self._count(OLD)

    def _drop_unchanged_history(self) -> None:
        """Forget rows that came as they are: they open no version."""
        casts = self._casts
        same = " AND ".join(
            f"CAST({casts.columns[name].value} AS {sql_type(self.contract.column(name).type)}) IS NOT DISTINCT FROM _{at}"
            for at, name in enumerate(self.raw.names)
        )
        old = ", ".join(f"old.{quoted(name)} AS _{at}" for at, name in enumerate(self.raw.names))
        self.session.run(
            f"CREATE TEMP TABLE limnos_same AS SELECT {SEQUENCE} FROM (SELECT last.*, {old} FROM {LAST} AS last "
            f"JOIN {OLD} AS old USING ({SEQUENCE})) WHERE NOT {_DELETE} AND {same}"
        )
        for table in (LAST, OLD, CHANGES):
            self.session.run(f"DELETE FROM {table} WHERE {SEQUENCE} IN (SELECT {SEQUENCE} FROM limnos_same)")

    def _keyless(self, *, truncated: bool) -> int:
        """Settle a table whose rows are told apart by nothing: what counts is how often each equal row came and went."""
        casts = self._casts
        typed = ", ".join(
            f"CAST({casts.columns[name].value} AS {sql_type(self.contract.column(name).type)}) AS _k{at}"
            for at, name in enumerate(self.raw.names)
        )
        columns, keys = names(self.raw.names), [f"_k{at}" for at in range(len(self.raw.names))]
        balance = f"sum(CASE WHEN {_DELETE} THEN -1 ELSE 1 END)::BIGINT"
        self.session.run(
            f"CREATE TEMP TABLE {LAST} AS SELECT *, {typed}, {casts.fails or 'FALSE'} AS _misfit FROM (SELECT {columns}, {balance} AS _n, "
            f"row_number() OVER () AS {SEQUENCE} FROM {CHANGES} GROUP BY {columns})"
        )
        self.session.run(
            f"CREATE TEMP TABLE {NEW} AS SELECT row_number() OVER () - 1 AS {RECORD}, {SEQUENCE}, {columns} "
            f"FROM (SELECT *, unnest(range(_n)) FROM {LAST} WHERE _n > 0)"
        )
        same = " AND ".join(f"live.{quoted(name)} IS NOT DISTINCT FROM last.{key}" for name, key in zip(self.raw.names, keys, strict=True))
        nothing = " AND FALSE" if truncated else ""
        self.session.run(
            f"CREATE TEMP TABLE {OLD} AS SELECT _file, _row, {SEQUENCE} FROM (SELECT live._file, live._row, last.{SEQUENCE}, last._n, "
            f"row_number() OVER (PARTITION BY last.{SEQUENCE} ORDER BY live._file, live._row) AS _copy FROM {self.live} AS live "
            f"JOIN {LAST} AS last ON {same} WHERE last._n < 0 AND NOT last._misfit{nothing}) WHERE _copy <= -_n"
        )
        return self._count(OLD) if not self._count(CHANGES, f"{SEQUENCE} < 0") else 0

    def _type(self) -> int:
        """Type the new rows; drop those that came as they are."""
        casts = self._casts
        kind = "TABLE" if casts.fails or self.compare else "VIEW"
        self.session.run(
            f"CREATE TEMP {kind} {TYPED} AS SELECT {RECORD}, {SEQUENCE}, {casts.select}, {casts.fails or 'FALSE'} AS _misfit "
            f"FROM {NEW} AS raw"
        )
        if self.compare and not self.bookkeeping.history:
            self._drop_unchanged(self.contract.names)
        failed = f"WHERE {RECORD} IN (SELECT {RECORD} FROM {TYPED} WHERE _misfit)" if casts.fails else "LIMIT 0"
        self.session.run(f"CREATE OR REPLACE TEMP TABLE {FAILED} AS SELECT * EXCLUDE ({SEQUENCE}) FROM {NEW} {failed}")
        return self._count(FAILED)

    def _drop_unchanged(self, columns: Iterable[str]) -> None:
        same = " AND ".join(f"new.{quoted(name)} IS NOT DISTINCT FROM old.{quoted(name)}" for name in columns)
        self.session.run(
            f"CREATE TEMP TABLE limnos_same AS SELECT new.{SEQUENCE} FROM {TYPED} AS new JOIN {OLD} AS old USING ({SEQUENCE}) "
            f"WHERE NOT new._misfit AND {same}"
        )
        for table in (NEW, TYPED, OLD):
            self.session.run(f"DELETE FROM {table} WHERE {SEQUENCE} IN (SELECT {SEQUENCE} FROM limnos_same)")
