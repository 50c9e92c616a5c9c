"""Read a rule's declaration strictly: what does not fit is an error that names its place."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from limnos.errors import ProjectInvalid, RuleInvalid
from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.model.names import TableName
from limnos.quality.rules.expression import fault
from limnos.quality.rules.typed import typed


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

    def pair(self) -> tuple[Column, Column]:
        """Find the two columns that the rule names."""
        if len(self.spec.columns) != 2:
            raise self.invalid(f"{self.spec.kind} names {len(self.spec.columns)} columns", ", ".join(self.spec.columns), "two columns")
        first, second = self.columns()
        return first, second

    def flag(self, name: str) -> bool:
        """Read an argument that is true or false, false if not given."""
        value = self.spec.arguments.get(name, False)
        if not isinstance(value, bool):
            raise self.invalid(f"{name} is not true or false", str(value), "true or false")
        return value

    def choice(self, name: str, choices: Collection[str], default: str = "") -> str:
        """Read an argument that is one of some words."""
        value = self.spec.arguments.get(name, default)
        if not isinstance(value, str) or value not in choices:
            raise self.invalid(f"{name} is none of the words it can be", str(value or "nothing"), _near(str(value), choices))
        return value

    def listed(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """Read an argument that is a name or a list of different names."""
        value = self.spec.arguments.get(name, list(default))
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts) or len(set(texts)) < len(texts):
            raise self.invalid(f"{name} is not a list of names", str(value), "a name, or a list with each name once")
        return tuple(texts)

    def own(self, name: str) -> tuple[Column, ...]:
        """Read an argument that names columns of this table."""
        for text in self.listed(name):
            if text not in self.contract.names:
                raise self.invalid(f"{self.contract.table} has no column {text}", text, _near(text, self.contract.names))
        return tuple(self.contract.column(text) for text in self.listed(name))

    def other_table(self, name: str = "table") -> TableName:
        """Read an argument that names another table."""
        said = self.spec.arguments.get(name)
        try:
            table = TableName.parse(str(said or ""))
        except ProjectInvalid as error:
            raise self.invalid(f"{name} is not a table", str(said), "namespace.table") from error
        return table

    def another_table(self) -> TableName:
        """Read the argument `table`, which must not be the rule's own."""
        table = self.other_table("table")
        if table == self.contract.table:
            raise self.invalid(f"{self.spec.kind} looks at another table than its own", str(table), "another table")
        return table

    def values(self, name: str, kind: pa.DataType) -> tuple[Any, ...]:
        """Read an argument that is a list of values of a type, at least one."""
        said = self.spec.arguments.get(name)
        if not isinstance(said, list | tuple) or not said:
            raise self.invalid(f"{name} is not a list of values", str(said), "a list with at least one value")
        values: list[Any] = []
        for value in said:
            try:
                values.append(typed(value, kind))
            except ValueError as error:
                raise self.invalid("a value does not fit the column", str(value), str(error)) from error
        return tuple(values)

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
