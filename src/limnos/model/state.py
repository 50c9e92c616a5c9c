"""What can be said of a table, and of the rows that wait outside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from limnos.model.data import Snapshot
from limnos.model.names import TableName
from limnos.model.run import Finding, Reason
from limnos.model.verdict import Dimension, Verdict


class EntryStatus(StrEnum):
    """Say what became of a quarantined row; a later full load supersedes what an earlier one left open."""

    OPEN = "open"
    RELEASED = "released"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """Hold one quarantined row: `row` maps each column to its original text, `raw` is set where no row could be made of the bytes."""

    id: str
    table: TableName
    run_id: str
    at: datetime
    origin: str
    row: Mapping[str, str | None] | None
    raw: bytes | None
    reasons: tuple[Reason, ...]
    status: EntryStatus

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object; bytes that are not UTF-8 are escaped."""
        return {
            "id": self.id,
            "table": str(self.table),
            "run_id": self.run_id,
            "at": self.at.isoformat(),
            "origin": self.origin,
            "row": dict(self.row) if self.row is not None else None,
            "raw": self.raw.decode("utf-8", "backslashreplace") if self.raw is not None else None,
            "reasons": [
                {"rule": r.rule, "version": r.version, "severity": r.severity, "columns": list(r.columns), "detail": r.detail}
                for r in self.reasons
            ],
            "status": self.status.value,
        }


@dataclass(frozen=True, slots=True)
class QuarantineCount:
    """Count the quarantined rows of one table that broke one rule; a row that broke two counts under both."""

    table: TableName
    rule: str
    status: EntryStatus
    rows: int

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {"table": str(self.table), "rule": self.rule, "status": self.status.value, "rows": self.rows}


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """State what a release or a rejection did: `moved` rows, and `kept` ones that still break a rule of today."""

    table: TableName
    run_id: str
    moved: int
    kept: int
    snapshot_id: int | None = None

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {"table": str(self.table), "run_id": self.run_id, "moved": self.moved, "kept": self.kept, "snapshot_id": self.snapshot_id}


@dataclass(frozen=True, slots=True)
class Compared:
    """State what the last comparison of a table with its source came to; `columns` counts those compared, none where rows were counted."""

    at: datetime
    snapshot_id: int | None
    position: str
    columns: int
    source_rows: int
    pending: int
    differing: int
    error: str = ""

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "at": self.at.isoformat(),
            "snapshot_id": self.snapshot_id,
            "position": self.position,
            "columns": self.columns,
            "source_rows": self.source_rows,
            "pending": self.pending,
            "differing": self.differing,
            "error": self.error or None,
        }


@dataclass(frozen=True, slots=True)
class TableState:
    """State how a table stands: its published version, last run, open quarantine and last comparison.

    `score` and `scores` (by dimension, the unknown left out) are of the published version; of the last run where there is none.
    """

    table: TableName
    source: str
    snapshot: Snapshot | None
    last_status: str
    last_run_at: datetime | None
    score: float | None
    quarantined: int
    detail: str = ""
    compared: Compared | None = None
    scores: Mapping[Dimension, float] = field(default_factory=dict[Dimension, float])

    @property
    def lowest(self) -> Dimension | None:
        """The measured dimension with the lowest score, where one is below 1."""
        below = [dimension for dimension, value in self.scores.items() if value < 1]
        return min(below, key=lambda dimension: self.scores[dimension], default=None)

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "table": str(self.table),
            "source": self.source,
            "rows": self.snapshot.rows if self.snapshot else None,
            "snapshot_id": self.snapshot.snapshot_id if self.snapshot else None,
            "published_at": self.snapshot.at.isoformat() if self.snapshot else None,
            "last_status": self.last_status,
            "last_run_at": self.last_run_at.isoformat() if self.last_run_at else None,
            "score": self.score,
            "scores": {dimension.value: self.scores.get(dimension) for dimension in Dimension},
            "quarantined": self.quarantined,
            "detail": self.detail,
            "compared": self.compared.as_json() if self.compared else None,
        }


@dataclass(frozen=True, slots=True)
class Trust:
    """Answer "can I trust this table now?" with the evidence for it; one finding that is not well is enough for no."""

    state: TableState
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def trusted(self) -> bool:
        """Whether every finding is well."""
        return all(finding.ok for finding in self.findings)

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "trusted": self.trusted,
            "state": self.state.as_json(),
            "findings": [finding.as_json() for finding in self.findings],
            "verdicts": [verdict.as_json() for verdict in self.verdicts],
        }


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """State one published version of a table and the run that made it; counts are null for a release, an upkeep or a foreign commit."""

    snapshot: Snapshot
    action: str
    actor: str
    read: int | None
    quarantined: int | None
    score: float | None

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "table": str(self.snapshot.table),
            "snapshot_id": self.snapshot.snapshot_id,
            "at": self.snapshot.at.isoformat(),
            "run_id": self.snapshot.run_id,
            "rows": self.snapshot.rows,
            "digest": self.snapshot.digest,
            "expired": self.snapshot.expired,
            "action": self.action,
            "actor": self.actor,
            "read": self.read,
            "quarantined": self.quarantined,
            "score": self.score,
        }
