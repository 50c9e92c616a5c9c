"""What a run would do, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from limnos.model.names import TableName
from limnos.model.verdict import Verdict


class TableStatus(StrEnum):
    """Say how a table came out of a run."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    HELD = "held"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TablePlan:
    """Say what a run would do with one table: `action` is create, load, merge, evolve, skip or stop, and `changes` says why.

    `error` is the JSON form of the error that stops it.
    """

    table: TableName
    source: str
    action: str
    rows: int | None = None
    changes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    error: Mapping[str, object] | None = None

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "table": str(self.table),
            "source": self.source,
            "action": self.action,
            "rows": self.rows,
            "changes": list(self.changes),
            "rules": list(self.rules),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Say what a run would do, tables in the order in which they would be judged: parents before children."""

    tables: tuple[TablePlan, ...]

    def exit_code(self) -> int:
        """Give the exit code that the run would end with for the tables that stop it; 0 where none does."""
        return max((int(str(table.error["exit_code"])) for table in self.tables if table.error is not None), default=0)

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {"exit_code": self.exit_code(), "tables": [table.as_json() for table in self.tables]}


@dataclass(frozen=True, slots=True)
class TableResult:
    """State what a run did with one table; `error` is the error's JSON form when it failed, `notes` are worth a line each.

    `unchanged` counts the rows that left the lake as it was: all of them where the source is as it was, or the table is held back.
    `lag_s` is the age of the oldest change that was merged, from its commit at the source; null where no changes were read.
    """

    table: TableName
    status: TableStatus
    read: int = 0
    written: int = 0
    quarantined: int = 0
    unchanged: int = 0
    snapshot_id: int | None = None
    score: float | None = None
    seconds: float = 0.0
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    error: Mapping[str, object] | None = None
    lag_s: float | None = None

    @property
    def closes(self) -> bool:
        """Whether every row read is accounted for."""
        return self.read == self.written + self.quarantined + self.unchanged

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object, in the form that tools rely on."""
        return {
            "table": str(self.table),
            "status": self.status.value,
            "read": self.read,
            "written": self.written,
            "quarantined": self.quarantined,
            "unchanged": self.unchanged,
            "snapshot_id": self.snapshot_id,
            "score": self.score,
            "seconds": round(self.seconds, 3),
            "verdicts": [verdict.as_json() for verdict in self.verdicts],
            "notes": list(self.notes),
            "error": self.error,
            "lag_s": None if self.lag_s is None else round(self.lag_s, 3),
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """State what a run did, table by table."""

    run_id: str
    tables: tuple[TableResult, ...]
    seconds: float = 0.0

    def exit_code(self, *, strict: bool = False) -> int:
        """Give the process exit code: the worst of its tables; with `strict`, quarantined rows count as 1.

        Examples:
            >>> RunResult("r1", (TableResult(TableName("a", "b"), TableStatus.HELD, read=3),)).exit_code()
            1
        """
        codes = [0]
        for table in self.tables:
            if table.error is not None:
                codes.append(int(str(table.error["exit_code"])))
            elif table.status is TableStatus.HELD or (strict and table.quarantined):
                codes.append(1)
        return max(codes)

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object, in the form that tools rely on."""
        return {
            "run_id": self.run_id,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code(),
            "tables": [table.as_json() for table in self.tables],
        }


@dataclass(frozen=True, slots=True)
class Step:
    """Name a step boundary that a run just passed, for progress and for the crash tests."""

    name: str
    table: TableName | None = None
    detail: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """State one result of `doctor`: what was looked at, whether it is well, and what to type when it is not."""

    subject: str
    ok: bool
    detail: str
    hint: str = ""

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {"subject": self.subject, "ok": self.ok, "detail": self.detail, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class Reason:
    """State why a row is in quarantine."""

    rule: str
    version: str
    severity: str
    columns: tuple[str, ...] = field(default_factory=tuple)
    detail: str = ""
