"""The outcome of a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from limnos.model.contract import Severity


class Outcome(StrEnum):
    """Say how a rule ended; `unknown` is no evidence either way, `error` means it did not run: neither is a pass."""

    PASS = "pass"  # noqa: S105 an outcome, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"
    ERROR = "error"


class Dimension(StrEnum):
    """Name the six dimensions of quality."""

    ACCURACY = "accuracy"
    COMPLETENESS = "completeness"
    CONSISTENCY = "consistency"
    TIMELINESS = "timeliness"
    UNIQUENESS = "uniqueness"
    VALIDITY = "validity"


class Proof(StrEnum):
    """Name how a verdict was reached: from file statistics alone, or by a scan."""

    STATISTICS = "statistics"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class Verdict:
    """State what a rule found: `numerator` of `denominator` applicable rows satisfy it, as integers.

    `detail` says in words what was seen, `value` is the number that was measured, if it was one and finite; `version` is the rule's digest.

    Examples:
        >>> Verdict("not_null:id", "not_null", ("id",), "0a1b", Severity.BLOCK, Dimension.COMPLETENESS, Outcome.FAIL, 9, 10).failing
        1
    """

    rule: str
    kind: str
    columns: tuple[str, ...]
    version: str
    severity: Severity
    dimension: Dimension
    outcome: Outcome
    numerator: int
    denominator: int
    proof: Proof = Proof.SCAN
    detail: str = ""
    value: float | None = None

    @property
    def failing(self) -> int:
        """How many applicable rows do not satisfy the rule."""
        return self.denominator - self.numerator

    @property
    def holds(self) -> bool:
        """Whether this verdict keeps its table from being published."""
        stops = self.severity is Severity.BLOCK and self.outcome is Outcome.FAIL
        return stops or (self.outcome is Outcome.ERROR and self.severity is not Severity.WARN)

    def as_json(self) -> Mapping[str, object]:
        """Give the verdict as a JSON object, as the ledger keeps it."""
        return {
            "rule": self.rule,
            "kind": self.kind,
            "columns": list(self.columns),
            "version": self.version,
            "severity": self.severity.value,
            "dimension": self.dimension.value,
            "outcome": self.outcome.value,
            "numerator": self.numerator,
            "denominator": self.denominator,
            "proof": self.proof.value,
            "detail": self.detail,
            "value": self.value,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Verdict:
        """Read what `as_json` gave."""
        return cls(
            rule=said["rule"],
            kind=said["kind"],
            columns=tuple(said["columns"]),
            version=said["version"],
            severity=Severity(said["severity"]),
            dimension=Dimension(said["dimension"]),
            outcome=Outcome(said["outcome"]),
            numerator=said["numerator"],
            denominator=said["denominator"],
            proof=Proof(said["proof"]),
            detail=said["detail"],
            value=said.get("value"),
        )
