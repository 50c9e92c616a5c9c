"""Find what the declared sources hold, and open the ones that a verb needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import cast

from limnos.errors import LimnosError, SourceUnreachable, Unsupported
from limnos.flow.parts import Parts
from limnos.flow.select import matching
from limnos.model.bookkeeping import Bookkeeping
from limnos.model.data import Relation
from limnos.model.names import TableName
from limnos.model.project import Capability, Mode, SourceConfig, SourceTable, TableConfig
from limnos.ports import AheadReading, ChangeSource, Reading, Session, Source


@dataclass(frozen=True, slots=True)
class Candidate:
    """Pair a table of a source with the reading that it comes from, or with why the source cannot be read."""

    source: SourceConfig
    table: SourceTable
    reading: Reading | None = None
    adapter: Source | None = None
    error: LimnosError | None = None


@dataclass(slots=True)
class Opened:
    """Keep each source open once, at one point in time, until the stack closes.

    `prepares` has a source keep its log for the tables whose changes are read, before it is opened; `unprepared` says why one does not.
    """

    parts: Parts
    stack: ExitStack
    prepares: bool = False
    unprepared: dict[str, LimnosError] = field(default_factory=dict[str, LimnosError])
    _found: dict[str, tuple[Source, Reading] | LimnosError] = field(default_factory=dict[str, "tuple[Source, Reading] | LimnosError"])

    def open(self, source: SourceConfig) -> tuple[Source, Reading] | LimnosError:
        """Open a source, or give the error that it ends in."""
        if source.name not in self._found:
            try:
                adapter = self.parts.source(source.name)
                if self.prepares and follows_changes(source, adapter):
                    self._prepare(source, cast("ChangeSource", adapter))
                self._found[source.name] = (adapter, self.stack.enter_context(adapter.open()))
            except LimnosError as error:
                self._found[source.name] = error
        return self._found[source.name]

    def _prepare(self, source: SourceConfig, adapter: ChangeSource) -> None:
        try:
            adapter.prepare()
        except SourceUnreachable:
            raise
        except LimnosError as error:
            # Tables that are read in another mode need nothing of this.
            self.unprepared[source.name] = error

    def changing(self) -> Iterator[tuple[SourceConfig, ChangeSource]]:
        """Give the open sources whose changes are read."""
        for source in self.parts.project.sources:
            found = self._found.get(source.name)
            if isinstance(found, tuple) and source.name not in self.unprepared and follows_changes(source, found[0]):
                yield source, cast("ChangeSource", found[0])


def follows_changes(source: SourceConfig, adapter: Source) -> bool:
    """Whether changes of some table are read, by a source that can tell them."""
    return Capability.CHANGES in adapter.capabilities and any(table.mode is Mode.CDC for table in source.tables)


def candidates(opened: Opened, patterns: Sequence[str]) -> tuple[Candidate, ...]:
    """Give the chosen tables with their readings; a source of which nothing was chosen is not opened.

    Raises:
        UnknownName: If a pattern matches nothing.
        LimnosError: If a source that is to give all its tables cannot be opened and none of them was ever published.
    """
    listed = {table.target: (source, table) for source in opened.parts.project.sources for table in _tables(opened, source)}
    chosen = matching(listed, patterns)
    return tuple(_candidate(opened, *listed[target]) for target in chosen)


def _candidate(opened: Opened, source: SourceConfig, table: SourceTable) -> Candidate:
    found = opened.open(source)
    if isinstance(found, LimnosError):
        return Candidate(source, table, error=found)
    adapter, reading = found
    if table.mode not in (modes := _modes(adapter)):
        return Candidate(source, table, error=_unsupported(source, table, modes))
    if source.protect.max_snapshot_age_s and not isinstance(reading, AheadReading):
        return Candidate(source, table, error=_one_snapshot(source))
    if table.mode is Mode.CDC and source.name in opened.unprepared:
        return Candidate(source, table, error=opened.unprepared[source.name])
    return Candidate(source, table, reading, adapter)


def _modes(adapter: Source) -> tuple[Mode, ...]:
    needed = {Mode.INCREMENTAL: Capability.INCREMENTAL, Mode.CDC: Capability.CHANGES}
    return tuple(mode for mode in Mode if mode not in needed or needed[mode] in adapter.capabilities)


def _unsupported(source: SourceConfig, table: SourceTable, modes: Sequence[Mode]) -> Unsupported:
    return Unsupported(
        f"A source of type {source.type} cannot be read in the mode {table.mode}",
        subject=str(table.places.get("mode", table.place)),
        seen=f"mode: {table.mode}",
        expected=" or ".join(f"mode: {mode}" for mode in modes),
        hint=f"write mode: {modes[-1]} for {table.name} of {source.name} in limnos.yml",
    )


def _one_snapshot(source: SourceConfig) -> Unsupported:
    return Unsupported(
        f"A source of type {source.type} is read under one snapshot",
        subject=str(source.places.get("protect.max_snapshot_age", source.place)),
        seen="max_snapshot_age",
        expected="a source of type postgres, which can tell whether rows are as they were when they were read",
        hint=f"take max_snapshot_age out of `protect` of {source.name} in limnos.yml",
    )


def _tables(opened: Opened, source: SourceConfig) -> Sequence[SourceTable]:
    if not source.every:
        return source.tables
    declared = {table.name: table for table in source.tables}
    found = opened.open(source)
    if isinstance(found, LimnosError):
        known = [name for name in opened.parts.catalog.pin() if name.namespace == source.namespace]
        if not known:
            raise found
        return [SourceTable(name.name, name) for name in known]
    names = found[1].tables()
    return [declared.get(name) or SourceTable(name, TableName(source.namespace, name)) for name in names]


def targets(source: SourceConfig, names: Sequence[str]) -> Mapping[TableName, TableName]:
    """Map the default lake name of each table of a source to the lake table it lands in."""
    declared = {table.name: table.target for table in source.tables}
    plain = [TableName(source.namespace, name) for name in names if TableName.fits(source.namespace, name)]
    return {table: declared.get(table.name, table) for table in plain}


def config_of(parts: Parts, table: TableName) -> TableConfig:
    """Give what was declared of a table; nothing if nothing was."""
    return parts.project.tables.get(table) or TableConfig(table)


def bookkeeping_of(parts: Parts, table: TableName) -> Bookkeeping:
    """Say what is kept in a table beside its source's own columns."""
    declared = (one for source in parts.project.sources for one in source.tables if one.target == table)
    return Bookkeeping.of(next(declared, SourceTable(table.name, table)), config_of(parts, table))


def current_rows(parts: Parts, session: Session, relation: Relation) -> str:
    """Write the SQL relation of the rows that stand for what the source has: what others refer to."""
    return f"(SELECT * FROM ({session.relation(relation)}) WHERE {bookkeeping_of(parts, relation.table).current})"
