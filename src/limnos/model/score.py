"""What is known of a table's quality at one moment, and over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from limnos.model.names import TableName
from limnos.model.verdict import Dimension, Verdict


class Scope(StrEnum):
    """Say what a score is of."""

    RULE = "rule"
    COLUMN = "column"
    TABLE = "table"
    LAKE = "lake"


class Judge(StrEnum):
    """Say whose verdicts a series consists of: of runs, on rows as they arrived, or of checks, on rows as they are published."""

    RUN = "run"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Observation:
    """Record what one run, check or comparison found out about a table; `anew` says that rows were judged, not only compared."""

    at: datetime
    run_id: str
    judge: Judge
    table: TableName
    snapshot_id: int | None
    verdicts: tuple[Verdict, ...]
    anew: bool = True


@dataclass(frozen=True, slots=True)
class Score:
    """State one score as of `at`: of `subject` (a rule, a column, else empty) in one dimension, or in all that are measured.

    `numerator` of `denominator` applications of rules were kept; both are None where scores were averaged. `value` is None where nothing
    is known. `measured` names the dimensions that are known; `rule_set` is the digest of the rules that judged, and `breaks` says that it
    is not that of the score before, so that the two cannot be compared.
    """

    at: datetime
    run_id: str
    judge: Judge
    table: TableName | None
    snapshot_id: int | None
    scope: Scope
    subject: str
    dimension: Dimension | None
    numerator: int | None
    denominator: int | None
    value: float | None
    measured: tuple[Dimension, ...]
    rule_set: str = ""
    breaks: bool = False

    @property
    def coverage(self) -> float:
        """The share of the six dimensions that are measured at all."""
        return len(self.measured) / len(Dimension)
