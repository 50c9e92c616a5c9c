"""Read a rule's declaration strictly: what does not fit is an error that names its place."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass, replace

from limnos.errors import RuleInvalid
from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.quality.rules.expression import fault


@dataclass(frozen=True, slots=True)
class Declaration:
    """Hold a declared rule whose severity, share and `where` are known to be sound."""

    spec: RuleSpec
    contract: Contract

    @classmethod
    def read(cls, spec: RuleSpec, contract: Contract, *arguments: str, inherited: Severity | None = None) -> Declaration:
        """Check what every rule shares, and that each argument is one of `arguments`.

        A rule that names no severity takes `inherited`, or else the contract's.

        Raises:
            RuleInvalid: If something does not fit.
        """
        severity = spec.severity or inherited or contract.on_fail
        read = cls(replace(spec, severity=severity), contract)
        for name in spec.arguments:
            if name not in arguments:
                raise read.invalid(f"{spec.kind} has no argument {name}", name, _near(name, arguments) or "no argument at all")
        if isinstance(spec.at_least, bool) or not 0 <= spec.at_least <= 1:
            raise read.invalid("at_least is not a share of the rows", str(spec.at_least), "a number from 0 to 1")
        if spec.where and (why := fault(spec.where)):
            raise read.invalid("where is not one SQL condition", spec.where, why)
        return read

    def columns(self, most: int = 0) -> tuple[Column, ...]:
        """Find the columns that the rule names: at least one, at most `most` unless that is 0, each once."""
        names = self.spec.columns
        if not names or (most and len(names) > most):
            expected = "at least one column" if not most else "exactly one column" if most == 1 else f"1 to {most} columns"
            raise self.invalid(f"{self.spec.kind} names {len(names)} columns", ", ".join(names) or "none", expected)
        for name in names:
            if name not in self.contract.names:
                raise self.invalid(f"{self.contract.table} has no column {name}", name, _near(name, self.contract.names))
        if len(set(names)) != len(names):
            raise self.invalid(f"{self.spec.kind} names a column twice", ", ".join(names), "each column once")
        return tuple(self.contract.column(name) for name in names)

    def no_columns(self) -> None:
        """Insist that the rule names no column."""
        if self.spec.columns:
            raise self.invalid(f"{self.spec.kind} judges the table and takes no column", ", ".join(self.spec.columns), "no column")

    def count(self, name: str) -> int | None:
        """Read an argument that is a whole number from 0, or not given."""
        value = self.spec.arguments.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.invalid(f"{name} is not a count", str(value), "a whole number from 0")
        return value

    def counts(self) -> tuple[int | None, int | None]:
        """Read `min` and `max` as counts: at least one of them, in order."""
        low, high = self.count("min"), self.count("max")
        if low is None and high is None:
            raise self.invalid(f"{self.spec.kind} says neither min nor max", "neither", "min, max or both")
        if low is not None and high is not None and low > high:
            raise self.invalid("min is greater than max", f"min {low}, max {high}", "min <= max")
        return low, high

    def invalid(self, what: str, seen: str, expected: str) -> RuleInvalid:
        """Word what does not fit."""
        place = self.spec.place if self.spec.place.line or not self.contract.place.line else self.contract.place
        return RuleInvalid(
            what,
            subject=f"{place}: {self.contract.table} {self.spec.name}",
            seen=seen,
            expected=expected,
            hint=f"limnos explain {self.spec.kind}",
        )


def whole_table(declaration: Declaration) -> RuleSpec:
    """Give the spec of a rule that judges the table as a whole: no row of it can be quarantined, so it blocks instead."""
    spec = declaration.spec
    if spec.at_least != 1:
        raise declaration.invalid(f"{spec.kind} takes no at_least", str(spec.at_least), "no at_least: the table is judged as a whole")
    return replace(spec, severity=Severity.BLOCK) if spec.severity is Severity.QUARANTINE else spec


def unknown_kind(spec: RuleSpec, contract: Contract, known: Collection[str]) -> RuleInvalid:
    """Word a kind of rule that does not exist."""
    found = Declaration(spec, contract).invalid(f"No rule is called {spec.kind}", spec.kind, _near(spec.kind, known))
    found.hint = "limnos explain project"
    return found


def _near(name: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"{nearest[0]} (did you mean this?)" if nearest else ", ".join(known)


def between(low: object, high: object, *, exclusive: bool = False) -> str:
    """Say a range in words.

    Examples:
        >>> between(1, 3), between(None, 3, exclusive=True)
        ('between 1 and 3', 'less than 3')
    """
    if low is not None and high is not None:
        return f"between {low} and {high}" + (", both excluded" if exclusive else "")
    if low is not None:
        return f"greater than {low}" if exclusive else f"at least {low}"
    return f"less than {high}" if exclusive else f"at most {high}"
