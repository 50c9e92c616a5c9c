"""Find what the declared sources hold, and open the ones that a verb needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from limnos.errors import LimnosError
from limnos.flow.parts import Parts
from limnos.flow.select import matching
from limnos.model.names import TableName
from limnos.model.project import SourceConfig, SourceTable, TableConfig
from limnos.ports import Reading, Source


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
    """Keep each source open once, at one point in time, until the stack closes."""

    parts: Parts
    stack: ExitStack
    _found: dict[str, tuple[Source, Reading] | LimnosError] = field(default_factory=dict[str, "tuple[Source, Reading] | LimnosError"])

    def open(self, source: SourceConfig) -> tuple[Source, Reading] | LimnosError:
        """Open a source, or give the error that it ends in."""
        if source.name not in self._found:
            try:
                adapter = self.parts.source(source.name)
                self._found[source.name] = (adapter, self.stack.enter_context(adapter.open()))
            except LimnosError as error:
                self._found[source.name] = error
        return self._found[source.name]


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
    return Candidate(source, table, reading, adapter)


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
    return {TableName(source.namespace, name): declared.get(name, TableName(source.namespace, name)) for name in names}


def config_of(parts: Parts, table: TableName) -> TableConfig:
    """Give what was declared of a table; nothing if nothing was."""
    return parts.project.tables.get(table) or TableConfig(table)
