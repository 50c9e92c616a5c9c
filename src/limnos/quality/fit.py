"""Verdicts on type conversion: of the values of a column, how many fit the type that its contract promises."""

from __future__ import annotations

from collections.abc import Sequence

from limnos.model.casts import Casts
from limnos.model.contract import Contract, Drift, RuleSpec, Severity
from limnos.model.data import WrittenFile
from limnos.model.names import quoted
from limnos.model.types import type_name
from limnos.model.verdict import Dimension, Outcome, Proof, Verdict
from limnos.ports import Session

MALFORMED, UNDECLARED = "malformed", "undeclared"


def type_rule(contract: Contract, column: str) -> RuleSpec:
    """Give the rule that a column's type is: `type:<column>`, or `undeclared:<column>` of one that the contract does not have.

    `drift: {type: block}` makes a type one that blocks.
    """
    if column in contract.drifted.refused:
        return RuleSpec(UNDECLARED, (column,), severity=Severity.QUARANTINE)
    severity = Severity.BLOCK if contract.drift.on(column).type is Drift.BLOCK else Severity.QUARANTINE
    return RuleSpec("type", (column,), {"type": type_name(contract.column(column).type)}, severity)


def verdicts(session: Session, casts: Casts, files: Sequence[WrittenFile], failed: str) -> tuple[Verdict, ...]:
    """Judge each column whose values may not fit; `failed` names the table of raw rows that do not, empty if there are none."""
    found = dict.fromkeys(casts.uncertain, (0, 0))
    if failed and found:
        counts = ", ".join(f"count({quoted(name)}), count(*) FILTER (WHERE {casts.columns[name].fails})" for name in casts.uncertain)
        values = list(session.run(f"SELECT {counts} FROM {failed}").to_pylist()[0].values())
        found = {name: (values[2 * at], values[2 * at + 1]) for at, name in enumerate(casts.uncertain)}
    return tuple(_verdict(casts, name, files, *found[name]) for name in casts.uncertain)


def _verdict(casts: Casts, name: str, files: Sequence[WrittenFile], beside: int, failing: int) -> Verdict:
    """Judge one column: its values are those that were written and `beside` them those of the rows that failed."""
    applicable = beside + sum(file.rows - file.null_counts.get(name, 0) for file in files)
    rule = type_rule(casts.contract, name)
    outcome = Outcome.UNKNOWN if not applicable else Outcome.FAIL if failing else Outcome.PASS
    return Verdict(
        rule.name,
        rule.kind,
        rule.columns,
        rule.version,
        rule.severity or Severity.QUARANTINE,
        Dimension.VALIDITY,
        outcome,
        applicable - failing,
        applicable,
        Proof.SCAN,
        f"{name} must be of type {rule.arguments['type']}" if rule.arguments else f"{name} is not in the contract and must be empty",
    )


def well_formed(read: int, rejected: int) -> tuple[Verdict, ...]:
    """Judge whether every record of a source could become a row; nothing is said of a source in which all could."""
    if not rejected:
        return ()
    rule = RuleSpec(MALFORMED, severity=Severity.QUARANTINE)
    detail = "a record must be whole: as many fields as columns, quotes closed, valid text"
    return (
        Verdict(
            rule.name,
            rule.kind,
            (),
            rule.version,
            Severity.QUARANTINE,
            Dimension.VALIDITY,
            Outcome.FAIL,
            read - rejected,
            read,
            detail=detail,
        ),
    )
