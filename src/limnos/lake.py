"""The lake: the composition root, the only module that knows every adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from limnos.errors import UnknownName
from limnos.model.names import TableName
from limnos.model.project import Project
from limnos.model.run import Finding, Plan, RunResult, Step, TableResult
from limnos.model.state import EntryStatus, HistoryEntry, QuarantineCount, QuarantineEntry, ReleaseResult, TableState, Trust

if TYPE_CHECKING:
    from limnos.flow.parts import Parts
    from limnos.flow.query import Result
    from limnos.ledger.events import StateLedger
    from limnos.ports import Engine, Observer, Source

SOURCES = "limnos.sources"
LOCK_WAIT_S = 20.0
_ENGINE_MEMORY_BYTES = 0


def _silent(_step: Step) -> None:
    """Tell nobody."""


class Lake:
    """Open the lake of a project directory; every verb of the command line is a method of the same name.

    Opening reads `limnos.yml` and connects to nothing; a verb connects to what it needs. `environment` chooses an overlay of the project
    file, `observer` is told each step boundary that a verb passes.

    Raises:
        ProjectMissing: If the directory has no `limnos.yml`.
        ProjectInvalid: If the project file breaks a rule of its format.
    """

    def __init__(self, directory: str | Path = ".", *, environment: str = "", observer: Observer | None = None) -> None:
        from limnos.project import load_project  # noqa: PLC0415 start-up

        self.project: Project = load_project(Path(directory), environment=environment)
        self._observer = observer or _silent

    @staticmethod
    def init(directory: str | Path, *, example: str = "") -> tuple[str, ...]:
        """Lay a new project down, empty or with an example; gives the files made.

        Raises:
            TargetExists: If the directory has a `limnos.yml` already.
            UnknownName: If there is no such example.
        """
        from limnos.flow.init import init  # noqa: PLC0415 start-up

        return init(Path(directory), example=example)

    @cached_property
    def _parts(self) -> Parts:
        # Imported here, for `limnos --help` and an error in the project file are to come at once.
        from limnos.access.owner import OwnerPolicy, local_principal  # noqa: PLC0415 start-up
        from limnos.engines.duckdb import DuckEngine  # noqa: PLC0415 start-up
        from limnos.flow.parts import Parts  # noqa: PLC0415 start-up
        from limnos.ledger.events import StateLedger  # noqa: PLC0415 start-up
        from limnos.ledger.state import State  # noqa: PLC0415 start-up
        from limnos.tables.catalog import LakeCatalog  # noqa: PLC0415 start-up
        from limnos.tables.storage import Storage  # noqa: PLC0415 start-up

        principal = local_principal()
        state = State(self.project.state)
        ledger = StateLedger(state, principal.name)
        engine = DuckEngine(memory_bytes=_ENGINE_MEMORY_BYTES, s3=self.project.lake.options)
        return Parts(
            project=self.project,
            state=state,
            ledger=ledger,
            catalog=LakeCatalog(state.engine, Storage(self.project.lake)),
            engine=engine,
            policy=OwnerPolicy(principal),
            principal=principal,
            source=self._source_of(engine, ledger),
            observer=self._observer,
        )

    def _source_of(self, engine: Engine, ledger: StateLedger) -> Callable[[str], Source]:
        from limnos.project import check_options  # noqa: PLC0415 start-up

        def build(name: str) -> Source:
            config = next(one for one in self.project.sources if one.name == name)
            kind = source_kind(config.type, hint=f"change type: at {config.place}")
            positions = ledger.positions()
            named = {table.target: table.name for table in config.tables}
            known = {named.get(table, table.name): position for table, position in positions.items() if table.namespace == config.namespace}
            return kind(replace(check_options(config, kind.options), known=known), engine)

        return build

    def plan(self, *patterns: str) -> Plan:
        """Say what a run of the chosen tables would do, without doing it; `shop.*` chooses by pattern, nothing chooses all.

        Raises:
            UnknownName: If a pattern matches nothing.
        """
        from limnos.flow.plan import plan  # noqa: PLC0415 start-up

        return plan(self._parts, patterns)

    def run(self, *patterns: str, wait_s: float = LOCK_WAIT_S) -> RunResult:
        """Load the chosen tables and publish all of them in one transaction, after waiting for another run to end.

        Raises:
            UnknownName: If a pattern matches nothing.
            RunInProgress: If another process holds the lake for longer than `wait_s`.
        """
        from limnos.flow.run import run  # noqa: PLC0415 start-up

        return run(self._parts, patterns, wait_s=wait_s)

    def check(self, *patterns: str) -> tuple[TableResult, ...]:
        """Judge the published versions by the rules of today; nothing is changed.

        Raises:
            UnknownName: If a pattern matches no published table.
        """
        from limnos.flow.check import check  # noqa: PLC0415 start-up

        return check(self._parts, patterns)

    def query(self, sql: str, *, as_of: datetime | None = None) -> Result:
        """Run one SELECT over the published tables, all as of one instant; `as_of` goes back in time.

        Raises:
            QueryInvalid: If it is not one SELECT, or does not bind or run.
            UnknownName: If it reads a table that does not exist.
            Refused: If the policy refuses a table that it reads.
        """
        from limnos.flow.query import query  # noqa: PLC0415 start-up

        return query(self._parts, sql, as_of=as_of)

    @cached_property
    def quarantine(self) -> Quarantine:
        """The rows that wait outside their tables."""
        return Quarantine(lambda: self._parts)

    def status(self) -> tuple[TableState, ...]:
        """Say of each table how it stands."""
        from limnos.flow.report import status  # noqa: PLC0415 start-up

        return status(self._parts)

    def why(self, table: str) -> Trust:
        """Answer whether a table can be trusted now, with the evidence.

        Raises:
            UnknownName: If there is no such table.
        """
        from limnos.flow.report import why  # noqa: PLC0415 start-up

        return why(self._parts, TableName.parse(table))

    def history(self, table: str = "") -> tuple[HistoryEntry, ...]:
        """List the published versions of one table or of all, oldest first.

        Raises:
            UnknownName: If the table was never published.
        """
        from limnos.flow.report import history  # noqa: PLC0415 start-up

        return history(self._parts, TableName.parse(table) if table else None)

    def doctor(self, source: str = "") -> tuple[Finding, ...]:
        """Examine storage, state, ledger and sources.

        Raises:
            UnknownName: If there is no such source.
        """
        from limnos.flow.doctor import doctor  # noqa: PLC0415 start-up

        return doctor(self._parts, source)


class Quarantine:
    """Look at the rows that wait outside their tables, and decide on them."""

    def __init__(self, parts: Callable[[], Parts]) -> None:
        self._parts = parts

    def counts(self, table: str = "", *, status: EntryStatus | None = EntryStatus.OPEN) -> tuple[QuarantineCount, ...]:
        """Count rows by table and rule; a row that broke two rules counts under both."""
        from limnos.flow import quarantine  # noqa: PLC0415 start-up

        return quarantine.counts(self._parts(), TableName.parse(table) if table else None, status=status)

    def entries(
        self, table: str, *, rule: str = "", status: EntryStatus | None = EntryStatus.OPEN, limit: int = 20
    ) -> tuple[QuarantineEntry, ...]:
        """Give rows with their original values, origin and reasons."""
        from limnos.flow import quarantine  # noqa: PLC0415 start-up

        return quarantine.show(self._parts(), quarantine.parsed(table, rule), status=status, limit=limit)

    def release(self, table: str, *, rule: str = "", ids: Sequence[str] = ()) -> ReleaseResult:
        """Judge the chosen rows by the rules of today and publish those that break none; the others stay.

        Raises:
            UnknownName: If the table was never published.
            RunInProgress: If another process holds the lake.
        """
        from limnos.flow.quarantine import parsed  # noqa: PLC0415 start-up
        from limnos.flow.release import release  # noqa: PLC0415 start-up

        return release(self._parts(), parsed(table, rule, ids), wait_s=LOCK_WAIT_S)

    def reject(self, table: str, *, rule: str = "", ids: Sequence[str] = ()) -> ReleaseResult:
        """Decide that the chosen rows stay out for good."""
        from limnos.flow.quarantine import parsed  # noqa: PLC0415 start-up
        from limnos.flow.release import reject  # noqa: PLC0415 start-up

        return reject(self._parts(), parsed(table, rule, ids), wait_s=LOCK_WAIT_S)


def source_kinds() -> tuple[str, ...]:
    """Name every registered source type, our own and those of plug-ins."""
    return tuple(sorted(point.name for point in entry_points(group=SOURCES)))


def source_kind(name: str, *, hint: str) -> type[Source]:
    """Give the source type of a name; only its own driver is imported.

    Raises:
        UnknownName: If no such type is registered.
    """
    for point in entry_points(group=SOURCES, name=name):
        kind: type[Source] = point.load()
        return kind
    raise UnknownName.among("source type", name, source_kinds(), hint=hint)
