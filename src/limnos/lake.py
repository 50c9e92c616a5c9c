"""The lake: the composition root, the only module that knows every adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from limnos.errors import RequestError, UnknownName, WorldError
from limnos.model.anomaly import Anomaly, Backtest
from limnos.model.comparison import Comparison
from limnos.model.imported import ExportedContract, ImportedTable
from limnos.model.names import TableName
from limnos.model.place import Place
from limnos.model.profile import Suggestions, TableProfile
from limnos.model.project import Project
from limnos.model.run import Finding, Plan, RunResult, Step, TableResult
from limnos.model.state import EntryStatus, HistoryEntry, QuarantineCount, QuarantineEntry, ReleaseResult, TableState, Trust
from limnos.model.upkeep import Upkept

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


def _never(seconds: float) -> bool:
    """Wait, and go on."""
    time.sleep(seconds)
    return False


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
    def init(directory: str | Path, *, example: str = "", source: str = "", schema: str = "", sample: bool = True) -> tuple[str, ...]:
        """Lay a new project down, empty, with an example, or drafted out of the database at the URL `source`; gives the files made.

        Of a database the catalog is read and, with `sample`, at most 1,000 rows of each table, to propose classes of data. The URL may be
        `secret://NAME`; else it goes to the project's `.limnos/secrets`, which no version control sees.

        Raises:
            TargetExists: If the directory has a `limnos.yml` already.
            UnknownName: If there is no such example.
            RequestError: If `source` is no URL, or the database has no tables.
            SourceUnreachable: If the database does not answer.
            SourceRefused: If it answers and says no.
        """
        from limnos.flow.init import init  # noqa: PLC0415 start-up

        return init(Path(directory), example=example, build=_drafting(Path(directory), source, schema, sample=sample) if source else None)

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

    def follow(
        self,
        *patterns: str,
        told: Callable[[RunResult | WorldError], None],
        stopped: Callable[[float], bool] = _never,
        wait_s: float = LOCK_WAIT_S,
    ) -> None:
        """Load the chosen tables, then merge the changes of those of mode `cdc` in small runs, until `stopped`.

        `told` hears of each round that did something, and of each that failed and will be tried again. `stopped` waits the seconds that
        it is given, or less, and says whether to end; `threading.Event().wait` is one.

        Raises:
            UnknownName: If a pattern matches nothing.
            Unsupported: If none of the chosen tables is of mode `cdc`.
        """
        from limnos.flow.follow import follow  # noqa: PLC0415 start-up

        follow(self._parts, patterns, wait_s=wait_s, told=told, stopped=stopped)

    def check(self, *patterns: str) -> tuple[TableResult, ...]:
        """Judge the published versions by the rules of today; nothing is changed.

        Raises:
            UnknownName: If a pattern matches no published table.
        """
        from limnos.flow.check import check  # noqa: PLC0415 start-up

        return check(self._parts, patterns)

    def verify(self, *patterns: str, columns: Sequence[str] | None = None, limit: int = 20) -> tuple[Comparison, ...]:
        """Compare the chosen published tables with their sources, down to rows and columns; nothing is changed.

        `columns` are those whose content is compared: what the project declares if not given, rows alone are counted where it is
        empty, and `["*"]` means all. All differences are counted, `limit` of each kind are shown.

        Raises:
            UnknownName: If a pattern or a column matches nothing.
        """
        from limnos.flow.verify import verify  # noqa: PLC0415 start-up

        return verify(self._parts, patterns, content=None if columns is None else tuple(columns), limit=limit)

    def upkeep(
        self, *patterns: str, keep: str = "", grace: str = "", dry_run: bool = False, wait_s: float = LOCK_WAIT_S
    ) -> tuple[Upkept, ...]:
        """Write the files of the chosen tables anew where that makes them fewer or free of deleted rows, and let old versions go.

        No row changes. `keep` is a duration such as `30d`, or how many versions of a table are kept; `grace` is the age below which
        nothing is deleted. Empty ones are as limnos.yml says. With `dry_run` nothing is done, and told is what would be.

        Raises:
            RequestError: If `keep` or `grace` is neither.
            UnknownName: If a pattern matches no published table.
            RunInProgress: If another process holds the lake for longer than `wait_s`.
            AccountingBroken: If the rows written are not the rows read; nothing is published then.
        """
        from limnos.flow.upkeep import planned, upkeep  # noqa: PLC0415 start-up

        try:
            retention = self.project.retention.told(keep, grace)
        except ValueError as error:
            expected = "a duration such as 30d or 12h; --keep may also be a number of versions, 1 or more"
            raise RequestError(
                "That cannot be kept", subject="upkeep", seen=str(error), expected=expected, hint="limnos upkeep --help"
            ) from error
        return planned(self._parts, patterns, retention) if dry_run else upkeep(self._parts, patterns, retention, wait_s=wait_s)

    def import_(
        self, form: str, file: str | Path, *, table: str = "", write: bool = False, partial: bool = False
    ) -> tuple[ImportedTable, ...]:
        """Translate a file of rules of another tool (`dbt`, `dqdl`, `gx`, `soda`); with `write`, add them to the tables' contracts.

        No source and no table is touched. What cannot be translated is told by name, and nothing is written then, unless `partial`.

        Raises:
            UnknownName: If there is no such format, or no such table.
            RequestError: If the file does not say which table it is about, and neither does `table`.
            ProjectInvalid: If the file is not of that format.
        """
        from limnos.flow.import_rules import import_rules  # noqa: PLC0415 start-up

        named = TableName.parse(table) if table else None
        return import_rules(self.project, form, Path(file), named, write=write, partial=partial)

    def export(self, *patterns: str, to: str | Path = "") -> tuple[ExportedContract, ...]:
        """Write the contracts of the chosen tables as ODCS files, with all their rules; into the directory `to` if one is named.

        Raises:
            UnknownName: If a pattern matches no table.
            TargetExists: If the directory holds another file of that name.
        """
        from limnos.flow.export_contracts import export_contracts  # noqa: PLC0415 start-up

        return export_contracts(self._parts, patterns, Path(to) if to else None)

    def query(self, sql: str, *, as_of: datetime | None = None) -> Result:
        """Run one SELECT over the published tables, all as of one instant; `as_of` goes back in time.

        Raises:
            QueryInvalid: If it is not one SELECT, or does not bind or run.
            UnknownName: If it reads a table that does not exist.
            Refused: If the policy refuses a table that it reads.
        """
        from limnos.flow.query import query  # noqa: PLC0415 start-up

        return query(self._parts, sql, as_of=as_of)

    def profile(self, table: str, *, column: str = "", as_of: datetime | None = None, personal: bool = False) -> TableProfile:
        """Say what a published table holds: counts, ranges, quantiles, top values, patterns, keys and references.

        `column` asks for one column, `as_of` goes back in time. Values of columns that hold personal data are left out, unless `personal`.

        Raises:
            UnknownName: If there is no such table or column.
            VersionExpired: If the version of that time is kept no longer.
            Refused: If the policy refuses the table.
        """
        from limnos.flow.profile import profile  # noqa: PLC0415 start-up

        return profile(self._parts, TableName.parse(table), column=column, as_of=as_of, personal=personal)

    def suggest(self, table: str, *, write: bool = False) -> Suggestions:
        """Propose rules that a published table keeps, with the evidence for each, as a change of limnos.yml.

        With `write` they are added there, and hold from the next verb of a lake that is opened anew.

        Raises:
            UnknownName: If there is no such table.
            Refused: If the policy refuses the table.
            ProjectInvalid: If limnos.yml is written in a way that the rules have to be added to by hand.
            StorageFailed: If limnos.yml cannot be written.
        """
        from limnos.flow.suggest import suggest  # noqa: PLC0415 start-up

        return suggest(self._parts, TableName.parse(table), write=write)

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

    def anomalies(self, *patterns: str) -> tuple[Anomaly, ...]:
        """Judge the newest measurements of tables by their own recorded history; too little of it is unknown.

        Raises:
            UnknownName: If a pattern matches no table that was ever run.
        """
        from limnos.flow.anomalies import anomalies  # noqa: PLC0415 start-up

        return anomalies(self._parts, patterns)

    def backtest(self, *patterns: str) -> tuple[Backtest, ...]:
        """Put faults into the recorded history of tables, and count which `anomalies` would have found.

        Raises:
            UnknownName: If a pattern matches no table that was ever run.
        """
        from limnos.flow.anomalies import backtests  # noqa: PLC0415 start-up

        return backtests(self._parts, patterns)

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


def _drafting(directory: Path, source: str, schema: str, *, sample: bool) -> Callable[[Path], None]:
    def build(workplace: Path) -> None:
        from limnos.engines.duckdb import DuckEngine  # noqa: PLC0415 start-up
        from limnos.flow.draft import address, draft  # noqa: PLC0415 start-up
        from limnos.project import check_options  # noqa: PLC0415 start-up
        from limnos.project.secrets import resolve  # noqa: PLC0415 start-up

        root = directory.absolute()
        url = resolve(source, root=root, place=Place("--from"), name="")
        found = address(url, schema, root, source_kinds())
        kind = source_kind(found.config.type, hint="limnos init --from URL DIRECTORY")
        engine = DuckEngine(memory_bytes=_ENGINE_MEMORY_BYTES, s3={})
        try:
            draft(workplace, found, kind(check_options(found.config, kind.options), engine), engine, sample=sample)
        except WorldError as error:
            # Nothing is declared yet that the hint of a source could speak of.
            hint = "correct the address, then run limnos init --from URL again"
            raise type(error)(error.what, subject=error.subject, seen=error.seen, expected=error.expected, hint=hint) from error

    return build


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
