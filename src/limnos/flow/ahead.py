"""Read ahead: land the chunks of large loads before the point in time that they are read for, and hold no snapshot for as long.

What is landed is remembered as that of a load which was killed. The run that follows has one snapshot for all tables, asks under it which
chunks are as they were when they were read, and reads the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace

from limnos.errors import LimnosError, UnknownName
from limnos.flow import land as landing
from limnos.flow.feed import Feeds
from limnos.flow.load import Remembering
from limnos.flow.loading import Loading, Versions
from limnos.flow.parts import Parts
from limnos.flow.sourcing import Opened, candidates
from limnos.ledger.events import AHEAD, FAILED, STARTED
from limnos.model.chunk import Chunk
from limnos.model.contract import Contract
from limnos.model.data import Layout
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.project import Mode
from limnos.model.run_id import new_run_id
from limnos.ports import Ahead, AheadReading


def read_ahead(parts: Parts, patterns: Sequence[str]) -> Mapping[TableName, LimnosError]:
    """Read ahead the chosen tables of sources with `max_snapshot_age`; gives why some could not be. The caller holds the lock."""
    protected = tuple(source for source in parts.project.sources if source.protect.max_snapshot_age_s)
    if not protected:
        return {}
    run_id = new_run_id()
    with ExitStack() as tables:
        planned: list[_Table] = []
        with ExitStack() as sources, suppress(UnknownName):
            opened = Opened(replace(parts, project=replace(parts.project, sources=protected)), sources)
            versions = Versions(parts.catalog.pin(), parts.ledger.marks())
            chosen = [Loading(parts, run_id, one, versions, Feeds(sources, {})) for one in candidates(opened, patterns)]
            planned += [tables.enter_context(closing(one)) for loading in chosen for one in _planned(loading)]
        return _read(parts, planned, run_id) if planned else {}


@dataclass(frozen=True, slots=True)
class _Table:
    """Read one table ahead; `contract` and `layout` are those that its load will have."""

    loading: Loading
    ahead: Ahead
    contract: Contract
    layout: Layout

    def close(self) -> None:
        self.ahead.close()

    def read(self) -> int:
        """Land what is not remembered, and again what changed meanwhile, while that is worth it; gives how many chunks."""
        landed, rate, before = 0, 0.0, 0
        while True:
            missing = self._missing()
            rows = sum(chunk.rows for chunk in missing)
            quick = rate and rows / rate <= self.loading.candidate.source.protect.max_snapshot_age_s
            if not rows or quick or (before and rows > before / 2):
                return landed
            began, before = time.monotonic(), rows
            landed += self._land([chunk.name for chunk in missing])
            rate = rows / (time.monotonic() - began)

    def _missing(self) -> Sequence[Chunk]:
        """Give the chunks that changed, or were never read; none if all is as it is published."""
        chunks = self.ahead.count()
        mark = self.loading.mark
        published = self.loading.table in self.loading.versions.published
        if published and mark is not None and mark.position is not None and mark.basis == self.loading.basis(self.contract):
            total = {"rows": sum(chunk.rows for chunk in chunks), "versions": str(sum(int(chunk.content) for chunk in chunks))}
            if total.items() <= mark.position.value.items():
                return ()
        basis = landing.basis_of(self.ahead.basis, self.ahead.schema, self.contract, self.layout)
        there = {one.chunk for one in self.loading.parts.catalog.remembered(self.loading.table, basis, frozenset(chunks).intersection)}
        return [chunk for chunk in chunks if chunk not in there]

    def _land(self, names: Sequence[str]) -> int:
        engine, memory, landed = self.loading.parts.engine, Remembering(self.loading), 0
        with engine.session() as session:
            for one in landing.land_ahead(engine, session, self.ahead, names, self.contract, self.layout):
                if one.rows == one.chunk.rows:
                    landed += 1
                    memory.remember(one, landed, len(names))
        return landed


def _planned(loading: Loading) -> Iterator[_Table]:
    """Plan for a table whose rows will all be read, and that comes in chunks; what is wrong with another, its load will say."""
    mode, bookkeeping = loading.candidate.table.mode, loading.bookkeeping
    published = loading.table in loading.versions.published
    if mode is Mode.INCREMENTAL or (published and (mode is Mode.CDC or bookkeeping.names)) or bookkeeping.history:
        return
    reading = loading.candidate.reading
    with suppress(LimnosError):
        if isinstance(reading, AheadReading) and loading.candidate.error is None:
            settled = loading.settled()
            ahead = reading.ahead(loading.name, settled.contract)
            if ahead is not None:
                contract = bookkeeping.kept_in(loading.met(settled, Extract(ahead.schema, 0, None)).contract)
                layout = loading.parts.catalog.layout(contract, loading.run_id, replace=True)
                if not layout.partitions:
                    yield _Table(loading, ahead, contract, layout)


def _read(parts: Parts, planned: Sequence[_Table], run_id: str) -> Mapping[TableName, LimnosError]:
    parts.ledger.append(STARTED, parts.project.name, {"verb": "ahead"}, run_id=run_id)
    landed: dict[str, int] = {}
    errors: dict[TableName, LimnosError] = {}
    try:
        for one in planned:
            one.loading.step("table.ahead")
            try:
                landed[str(one.loading.table)] = one.read()
            except LimnosError as error:
                errors[one.loading.table] = error
        # A chunk that changed while it was read again, or that nobody remembers.
        parts.catalog.discard(run_id)
    except LimnosError as error:
        parts.ledger.append(FAILED, parts.project.name, {"error": error.as_json()}, run_id=run_id)
        raise
    parts.ledger.append(AHEAD, parts.project.name, {"chunks": landed}, run_id=run_id)
    return errors
