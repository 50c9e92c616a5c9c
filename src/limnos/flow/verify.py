"""Verify: compare published tables with their sources; nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import cast

import pyarrow as pa

from limnos.errors import LimnosError, UnknownName, Unsupported
from limnos.flow.feed import Feed
from limnos.flow.land import Stream
from limnos.flow.parts import Parts
from limnos.flow.pending import Standing, pending, standing
from limnos.flow.quarantine import entries_with_status
from limnos.flow.resolve import settle
from limnos.flow.sourcing import Candidate, config_of, targets
from limnos.ledger.events import COMPARED
from limnos.ledger.sums import KeptSums
from limnos.model.bookkeeping import Bookkeeping
from limnos.model.casts import Casts
from limnos.model.comparison import Comparison
from limnos.model.contract import Column, Contract
from limnos.model.data import Relation, Snapshot, WrittenFile
from limnos.model.decision import Action
from limnos.model.digest import DIGITS, Hash, form
from limnos.model.names import TableName, literal
from limnos.model.project import Capability, Mode
from limnos.ports import DigestReading, Reading, Session
from limnos.quality.comparison import Matter, Pending, compare, verdicts
from limnos.quality.comparison_lake import LakeSide
from limnos.quality.comparison_sides import EngineSide, SourceSide, written, written_rows
from limnos.quality.quarantine import rows_back
from limnos.tables.entries import QUARANTINE

ALL = ("*",)
_TEXTS, _ASIDE = "source_texts", "aside_texts"


def verify(parts: Parts, patterns: Sequence[str], *, content: tuple[str, ...] | None = None, limit: int = 20) -> tuple[Comparison, ...]:
    """Compare the chosen tables, as they are published, with what their sources hold now.

    `content` names the columns to compare, `("*",)` for all, none to count rows only; what the project declares where it is not given.

    Raises:
        UnknownName: If a pattern matches nothing.
    """
    with ExitStack() as stack:
        stands = standing(parts, stack, patterns)
        done: list[Comparison] = []
        for at, one in enumerate(stands.chosen):
            declared = parts.project.verify.get(one.table.target)
            wanted = content if content is not None else declared.content if declared else ALL
            parts.step("table.verify", one.table.target, done=at, total=len(stands.chosen))
            done.append(_verified(parts, one, stands, wanted, limit))
    parts.ledger.append(COMPARED, parts.project.name, recorded(done))
    return tuple(done)


def recorded(done: Sequence[Comparison]) -> Mapping[str, object]:
    """Give what the ledger keeps of comparisons: no values of rows."""
    return {"tables": [{name: said for name, said in one.as_json().items() if name != "differences"} for one in done]}


def _verified(parts: Parts, candidate: Candidate, stands: Standing, content: tuple[str, ...], limit: int) -> Comparison:
    start = time.perf_counter()
    table = candidate.table.target
    snapshot, mark = stands.pinned.get(table), stands.marks.get(table)
    try:
        parts.demand(Action.READ, table)
        if candidate.error is not None:
            raise candidate.error
        if snapshot is None:
            raise _unpublished(table)
        feed = stands.feeds.get(table) if table not in stands.untold else None
        found = compare_table(parts, candidate, parts.catalog.relation(snapshot), content, limit=limit, feed=feed)
        position = mark.position.place if mark is not None and mark.position is not None else ""
        notes = (*found.notes, *_notes(candidate, found, snapshot, stands))
        found = replace(found, snapshot_id=snapshot.snapshot_id, position=position, notes=notes)
    except LimnosError as error:
        found = Comparison(table, error=error.as_json())
    return replace(found, seconds=time.perf_counter() - start)


def compare_table(
    parts: Parts,
    candidate: Candidate,
    relation: Relation,
    content: tuple[str, ...] = ALL,
    *,
    limit: int = 20,
    entries: Sequence[WrittenFile] = (),
    feed: Feed | None = None,
) -> Comparison:
    """Compare one version of a table, published or staged, with its source at the point in time of the candidate's reading.

    `entries` are files of quarantine entries that belong to a version that is not published yet, `feed` has what happened to the table
    between that version and that point in time.

    Raises:
        UnknownName: If `content` names a column that the table does not have.
    """
    pair = _Pair.of(parts, candidate, relation)
    with entries_with_status(parts) as (session, waiting):
        fresh = session.relation(Relation(QUARANTINE.table, QUARANTINE.schema, tuple(file.path for file in entries), 0)) if entries else ""
        asked = pair.asked(session)
        aside = _aside(session, pair.contract, waiting, fresh, asked.digits)
        source, left_out = asked.side, asked.left_out
        columns = _columns(pair.contract, content, left_out)
        hashed = next((one for one in asked.hashes if one in session.hashes()), Hash.MD5)
        matter = Matter(pair.contract.schema, pair.contract.key, columns, relation.rows, limit, hash=hashed)
        lake = LakeSide(relation, pair.contract.schema, pair.kept.current, KeptSums(parts.state, candidate.table.target), asked.digits)
        if isinstance(source, SourceSide) and matter.by_value:
            matter = replace(matter, blocks=lake.blocks(session, matter.key, matter.buckets))
        told = pending(session, feed, pair.contract, asked.digits) if feed is not None and feed.rows else None
        found = compare(session, source, lake, matter, aside, told if isinstance(told, Pending) else None)
    return Comparison(
        candidate.table.target,
        found.source_rows + asked.rejected,
        found.lake_rows,
        found.quarantined + asked.rejected,
        found.missing,
        found.extra,
        found.changed,
        found.pending,
        columns=columns,
        left_out=left_out if content else {},
        differences=found.differences,
        pushed_down=isinstance(source, SourceSide),
        verdicts=verdicts(found, columns),
        notes=(_unexplained(told),) if isinstance(told, str) and found.missing + found.extra + found.changed else (),
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """Hold what answers for a source, and how many of its rows it could not read as rows.

    `left_out` says why columns cannot be compared, `digits` names those of floating point that are compared by their digits, `hashes`
    what it can compute of a text.
    """

    side: EngineSide | SourceSide
    left_out: Mapping[str, str]
    rejected: int = 0
    digits: frozenset[str] = frozenset()
    hashes: tuple[Hash, ...] = ()


@dataclass(frozen=True, slots=True)
class _Pair:
    """Hold a table's source beside the contract of its version in the lake, less the columns that only the lake has."""

    name: str
    reading: Reading
    contract: Contract
    kept: Bookkeeping
    pushes_down: bool

    @classmethod
    def of(cls, parts: Parts, candidate: Candidate, relation: Relation) -> _Pair:
        table, source, reading, adapter = candidate.table, candidate.source, candidate.reading, candidate.adapter
        assert reading is not None  # noqa: S101 a candidate without a reading bears an error
        assert adapter is not None  # noqa: S101 it comes with the reading
        config = config_of(parts, table.target)
        kept = Bookkeeping.of(table, config)
        schema = pa.schema([field for field in relation.schema if field.name not in kept.names])
        described = None
        if Capability.KEYS in adapter.capabilities:
            described = reading.describe(table.name, TableName(source.namespace, table.target.name))
        settled = settle(table, config, described, schema, targets(source, ())).contract
        key = settled.key if set(settled.key) <= set(schema.names) else ()
        contract = Contract(table.target, tuple(Column(field.name, field.type) for field in schema), key)
        return cls(table.name, reading, contract, kept, Capability.DIGEST in adapter.capabilities)

    def asked(self, session: Session) -> _Asked:
        """Have the source answer by itself where it can."""
        if self.pushes_down:
            digesting = cast("DigestReading", self.reading)
            comparable = digesting.comparable(self.name)
            left_out = _left_out(self.contract, comparable.forms) | dict(comparable.left_out)
            if not left_out.keys() & set(self.contract.key):
                digits = frozenset(name for name, kind in comparable.forms.items() if kind == DIGITS)
                side = SourceSide(lambda question: digesting.digest(self.name, question))
                return _Asked(side, left_out, digits=digits, hashes=comparable.hashes)
        return self._read(session)

    def _read(self, session: Session) -> _Asked:
        """Read all rows into the engine, of a source that cannot compare by itself."""
        extract = self.reading.read(self.name, self.contract)
        columns = written(Casts.of(extract.schema, self.contract), extract.schema)
        create = f"CREATE TEMP TABLE {_TEXTS} AS SELECT {columns} FROM"
        if extract.batches is None:
            session.run(f"{create} ({extract.scan})")
            # The engine read the outside world by itself: the source now makes sure that it stayed as it was.
            self.reading.position(self.name)
        else:
            Stream(extract).run(session, f"{create} raw")
        left_out = _left_out(self.contract, dict.fromkeys(extract.schema.names, ""), forms=False)
        return _Asked(EngineSide(written_rows(_TEXTS, self.contract.schema)), left_out, extract.rejected)


def _left_out(contract: Contract, source: Mapping[str, str], *, forms: bool = True) -> dict[str, str]:
    said: dict[str, str] = dict.fromkeys((name for name in source if name not in contract.names), "not in the lake yet")
    for column in contract.columns:
        mine = form(column.type)
        if column.name not in source:
            said[column.name] = "not at the source"
        elif forms and source[column.name] != mine and not (source[column.name] == DIGITS and pa.types.is_floating(column.type)):
            said[column.name] = f"{source[column.name]} at the source, {mine} in the lake"
    return said


def _columns(contract: Contract, content: tuple[str, ...], left_out: Mapping[str, str]) -> tuple[str, ...]:
    for name in content:
        if name != "*" and name not in contract.names:
            raise UnknownName.among("column", name, contract.names, hint=f"limnos verify {contract.table}")
    return tuple(name for name in contract.names if name not in left_out and ("*" in content or name in content))


def _aside(session: Session, contract: Contract, waiting: str, fresh: str, digits: frozenset[str]) -> EngineSide:
    """Write the rows that wait in quarantine, or were rejected, as canonical texts."""
    mine = f"table_name = {literal(str(contract.table))}"
    entries = f"SELECT id, row FROM {waiting} WHERE {mine} AND status IN ('open', 'rejected')"
    if fresh:
        entries += f" UNION ALL SELECT id, row FROM ({fresh}) WHERE {mine}"
    raw = pa.schema([pa.field(name, pa.string()) for name in contract.names])
    texts = written(Casts.of(raw, contract), raw, digits)
    session.run(f"CREATE TEMP TABLE {_ASIDE} AS SELECT {texts} FROM ({rows_back(entries, contract)})")
    return EngineSide(written_rows(_ASIDE, contract.schema))


def _notes(candidate: Candidate, found: Comparison, snapshot: Snapshot, stands: Standing) -> tuple[str, ...]:
    """Say what a difference may come from: only a source that is as it was when it was read leaves the lake to blame."""
    table, at = candidate.table.target, f"{snapshot.at:%Y-%m-%d %H:%M:%S} UTC"
    pending = (f"rows whose change at the source is still to be merged: {found.pending:,}; they do not count",) if found.pending else ()
    if not found.differing or found.notes:
        return pending
    if candidate.table.mode is Mode.CDC and table in {*stands.feeds, *stands.untold}:
        return (
            *pending,
            _unexplained(stands.untold[table]) if table in stands.untold else "no change of the source explains the differences",
        )
    if candidate.table.mode is not Mode.FULL:
        return (f"rows that changed at the source after the run of {at} count as differences",)
    assert candidate.reading is not None  # noqa: S101 it was just compared
    mark = stands.marks.get(table)
    try:
        position = candidate.reading.position(candidate.table.name)
    except Unsupported:
        return (f"whether the source changed since the run of {at} is not known",)
    if mark is None or mark.position is None or mark.position.content != position.content:
        return (f"the source changed since the run of {at}",)
    return (f"the source is as it was in the run of {at}",)


def _unexplained(why: str) -> str:
    return f"rows that changed at the source since the last run count as differences: {why}"


def _unpublished(table: TableName) -> UnknownName:
    return UnknownName(
        f"{table} was never published, so there is nothing to compare",
        subject=str(table),
        seen="no version",
        expected="a published table",
        hint=f"limnos run {table}",
    )
