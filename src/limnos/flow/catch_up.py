"""Catch up: bring a published table to where its source is by reading only what changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from limnos.errors import Unsupported
from limnos.flow.gather import CHANGES, OLD, Gathering
from limnos.flow.land import Memory, Stream, land_raw
from limnos.flow.loading import Load, Loading
from limnos.flow.merge import Merged, Merging
from limnos.flow.quarantine import open_rows
from limnos.flow.resolve import Settled
from limnos.model.changes import ENVELOPE, OPERATION, SEQUENCE, Operation, Window
from limnos.model.contract import Column, Contract
from limnos.model.conversion import convert
from limnos.model.data import Relation
from limnos.model.extract import Extract
from limnos.model.names import literal, quoted
from limnos.model.position import Position
from limnos.model.project import Deletes, Mode
from limnos.model.run import TableResult, TableStatus
from limnos.model.types import canonical, sql_type
from limnos.ports import Session

CURSOR, COLUMN = "cursor", "column"
_MEMORY_BYTES, _PARTITIONED_BYTES = 144 * 1024 * 1024, 512 * 1024 * 1024
"""What merging changes may hold in memory, however many there are; of a partitioned table, a file is open for each partition."""


def catch_up(loading: Loading, settled: Settled) -> Load | str:
    """Merge what changed since the last load; gives the reason instead where the table is to be read in full, empty for the first time."""
    mode, mark = loading.candidate.table.mode, loading.mark
    if mode is Mode.FULL or mark is None or mark.position is None or loading.table not in loading.versions.published:
        return ""
    if not loading.same_mode():
        return "it was read another way before"
    if not loading.same_contract(loading.bookkeeping.kept_in(settled.contract)):
        return "its contract changed"
    if mode is Mode.CDC:
        return _follow(loading, settled)
    if mark.position.value.get(COLUMN) != loading.candidate.table.cursor:
        return "its cursor is another column now"
    return _increment(loading, settled, mark.position)


def _follow(loading: Loading, settled: Settled) -> Load | str:
    """Merge what the source's own log says."""
    loading.step("table.read", "changes")
    feed = loading.feeds.of(loading.candidate)
    if feed.reload:
        return feed.reload
    position = loading.changing.cut(loading.name)
    if not feed.rows:
        return _unchanged(loading, position)
    raw = pa.schema([field for field in feed.schemas[0] if field.name not in ENVELOPE.names])
    if set(raw.names) != set(settled.contract.names) or any(schema != feed.schemas[0] for schema in feed.schemas):
        return "its columns changed"
    memory_bytes = _PARTITIONED_BYTES if settled.contract.partitions else _MEMORY_BYTES
    with loading.parts.engine.session(memory_bytes=memory_bytes) as session:
        gathering = _gathering(loading, session, settled.contract, raw, _identity(settled.contract, loading, feed.identity))
        gathering.read(feed.files)
        ignored = gathering.ignore_deletes() if loading.candidate.table.deletes is Deletes.IGNORE else 0
        gathered = gathering.gathered()
        if gathered.unresolved:
            return "a change left out a value that the lake does not have"
        gathered = replace(gathered, read=gathered.read + ignored)
        done = Merging(loading, session, Merged(gathering, gathered, settled, position)).done()
    lag_s = (datetime.now(UTC) - feed.oldest).total_seconds() if feed.oldest else None
    return replace(done, result=replace(done.result, lag_s=lag_s))


def demand_key(loading: Loading, contract: Contract) -> None:
    """Stop where deleted or replaced rows are to be kept of a table whose rows nothing tells apart.

    Raises:
        Unsupported: If there is no key.
    """
    if loading.bookkeeping.names and not contract.key:
        raise Unsupported(
            f"{loading.table} cannot keep deleted or replaced rows without a key",
            subject=str(loading.table),
            seen="no key",
            expected="a key that tells rows apart",
            hint=f"write `key:` under tables: {loading.table}: in limnos.yml",
        )


def _identity(contract: Contract, loading: Loading, told: tuple[str, ...]) -> tuple[str, ...]:
    """Choose what tells rows apart: the source's word, or the key where rows are kept that the source has no more."""
    return contract.key if loading.bookkeeping.names else told


def _unchanged(loading: Loading, position: Position) -> Load:
    mark, snapshot = loading.mark, loading.versions.published[loading.table]
    assert mark is not None  # noqa: S101 only a marked table catches up
    result = TableResult(loading.table, TableStatus.UNCHANGED, snapshot_id=snapshot.snapshot_id, score=mark.score)
    return Load(result, mark=replace(mark, position=position))


def _gathering(loading: Loading, session: Session, contract: Contract, raw: pa.Schema, identity: tuple[str, ...]) -> Gathering:
    """Start gathering for a table; a position in the published rows stands for each of them."""
    snapshot = loading.base
    kept = loading.bookkeeping.kept_in(contract)
    relation = loading.parts.catalog.relation(snapshot) if snapshot else Relation(loading.table, kept.schema, (), 0)
    published = {contract.drifted.renamed.get(field.name, field.name): field for field in relation.schema}
    columns = ", ".join(f"{_as_promised(column, published.get(column.name))} AS {quoted(column.name)}" for column in kept.columns)
    live = f"(SELECT {columns}, _file, _row FROM ({session.relation(relation, positions=True)}))"
    return Gathering(session, raw, kept, identity, loading.bookkeeping, live)


def _as_promised(column: Column, published: pa.Field[pa.DataType] | None) -> str:
    """Write the published value of a column; a column that is new has none, and a type that cannot be widened is refused when staged."""
    if published is None:
        return f"NULL::{sql_type(column.type)}"
    value = quoted(published.name)
    return value if canonical(published.type) == column.type else f"TRY_CAST({value} AS {sql_type(column.type)})"


def above(loading: Loading, settled: Settled, window: Window) -> Extract:
    """Read a window of a table; the position remembers by which column."""
    extract = loading.incremental.read_since(loading.name, settled.contract, window)
    assert extract.position is not None  # noqa: S101 the seam says so
    return replace(extract, position=Position(CURSOR, {**extract.position.value, COLUMN: window.cursor}))


def _increment(loading: Loading, settled: Settled, last: Position) -> Load | str:
    """Merge the rows above the cursor; by key, or in place of the published rows in the same window."""
    table = loading.candidate.table
    loading.step("table.read", "above the cursor")
    window = Window(table.cursor, str(last.value["max"] or ""), table.lookback)
    extract = above(loading, settled, window)
    settled = loading.met(settled, extract)
    assert extract.position is not None  # noqa: S101 the seam says so
    low = str(extract.position.value["low"] or "")
    if not low:
        return "its cursor has no value yet"
    contract = settled.contract
    column = contract.column(table.cursor)
    bound = convert(f"CAST({literal(low)} AS VARCHAR)", pa.string(), column.type).value
    with loading.parts.engine.session() as session:
        gathering = _gathering(loading, session, contract, extract.schema, contract.key)
        gathering.compare = bool(contract.key)
        _add(gathering, session, extract, Operation.UPDATE)
        again = "" if contract.key else f"({quoted(column.name)} >= {bound} OR {quoted(column.name)} IS NULL)"
        if again:
            gathering.replace(again)
        gathered = gathering.gathered()
        stay = session.run(
            f"SELECT count(*) FROM {gathering.live} AS live ANTI JOIN {OLD} AS old USING (_file, _row) "
            f"WHERE live.{quoted(column.name)} < {bound} AND {loading.bookkeeping.current}"
        )
        missing = int(str(extract.position.value["below"])) - int(stay.column(0)[0].as_py()) - _waiting_below(loading, column.name, bound)
        if missing > 0:
            return f"below the cursor there are {missing:,} more rows than were read"
        if missing < 0:
            note = f"of the published rows {-missing:,} no longer at the source; mode incremental does not see deletes"
            settled = settled.noted(note)
        return Merging(loading, session, Merged(gathering, gathered, settled, extract.position, window=again)).done()


def _waiting_below(loading: Loading, cursor: str, bound: str) -> int:
    """Count the quarantined rows under the bound: they are at the source, too."""
    if loading.mark is None or not loading.mark.quarantined:
        return 0
    waiting = open_rows(loading.parts, loading.table, loading.bookkeeping.kept_in(loading.settled().contract))
    with loading.parts.engine.session() as session:
        return int(session.run(f"SELECT count(*) FROM waiting WHERE {quoted(cursor)} < {bound}", waiting=waiting).column(0)[0].as_py())


def _add(gathering: Gathering, session: Session, extract: Extract, operation: Operation) -> None:
    """Take the rows of an extract for changes, in their order."""
    gathering.prepare()
    columns = f"row_number() OVER () - 1 AS {SEQUENCE}, {literal(operation)} AS {OPERATION}, now() AS _at"
    insert = f"INSERT INTO {CHANGES} BY NAME SELECT {columns}, raw.* FROM "
    if extract.scan:
        session.run(f"{insert} ({extract.scan}) AS raw")
    else:
        Stream(extract).run(session, f"{insert} raw")


def snapshot_merge(loading: Loading, settled: Settled, extract: Extract, memory: Memory) -> Load:
    """Merge all rows of a source into a table that keeps more than it: what did not come is deleted, what is as it was stays."""
    contract = settled.contract
    with loading.parts.engine.session() as session:
        gathering = _gathering(loading, session, contract, extract.schema, contract.key)
        gathering.compare = gathering.absent = True
        if extract.chunks is not None:
            layout = loading.parts.catalog.layout(gathering.contract, loading.run_id, replace=loading.base is None)
            landed = land_raw(session, extract, gathering.contract, layout, memory)
            settled = settled.noted(*landed.notes())
            paths = ", ".join(literal(file.path) for file in landed.files)
            extract = replace(extract, scan=f"SELECT * FROM read_parquet([{paths}], hive_partitioning = false)", batches=None)
        _add(gathering, session, extract, Operation.INSERT)
        gathered = gathering.gathered()
        merged = Merged(gathering, gathered, settled, extract.position, whole=True, rejects=extract.rejects, rejected=extract.rejected)
        done = Merging(loading, session, merged).done()
    if done.staged is None:
        loading.parts.catalog.forget_chunks(loading.table)
    return done
