"""Bounds on one number that a column comes to: what all aggregates share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeAlias

import pyarrow as pa

from limnos.model.contract import Column, Contract, RuleSpec
from limnos.model.names import literal, quoted
from limnos.model.subject import Subject
from limnos.model.types import sql_type, type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.bounds import BOUNDS, Bounds
from limnos.quality.rules.declaration import Declaration, whole_table
from limnos.quality.rules.shape import Row, TableRule
from limnos.quality.rules.typed import Value, comparable

NUMBERS = ("int", "long", "float", "double", "decimal")
ORDERED = (*NUMBERS, "date", "time", "timestamp")
Over: TypeAlias = Callable[..., str]
"""Writes an SQL aggregate over the rows that `where` lets through, and a further condition if one is given."""


@dataclass(frozen=True, slots=True)
class Aggregate(TableRule, ABC):
    """Insist that an aggregate of the rows' values lies between bounds; of no value at all it is unknown, and NaN is outside of all bounds.

    `judgement` is one SQL expression over a relation, so that those of several rules are computed in one pass.
    """

    kind: ClassVar[str]
    dimension: ClassVar[Dimension] = Dimension.VALIDITY
    takes: ClassVar[tuple[str, ...]] = NUMBERS
    type: pa.DataType
    bounds: Bounds

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Aggregate:
        """Build from one column and `min`, `max` or both."""
        declaration = Declaration.read(spec, contract, *BOUNDS)
        kind = cls.result(column_of(declaration, cls.takes).type)
        return cls(whole_table(declaration), kind, Bounds.read(declaration, kind))

    @classmethod
    def result(cls, kind: pa.DataType) -> pa.DataType:  # noqa: ARG003 of others it depends on it
        """Give the type of the aggregate of a column's type."""
        return pa.float64()

    @abstractmethod
    def seen(self, over: Over) -> str:
        """Write the aggregate as SQL; null when there is nothing to aggregate."""

    @abstractmethod
    def of(self, rows: Sequence[Row]) -> Value:
        """Compute the same in Python, from rows without a null in the rule's columns, at least one."""

    def known(self, rows: Sequence[Row]) -> Value:
        """Compute the aggregate of rows in Python; None when there is nothing to aggregate."""
        held = [row for row in rows if all(row[name] is not None for name in self.spec.columns)]
        return self.of(held) if held else None

    def said(self) -> str:
        """Name what is measured."""
        return f"{self.kind.replace('_', ' ')} of {', '.join(self.spec.columns)}"

    def promise(self) -> str:
        """Say what must hold."""
        return f"the {self.said()} must be {self.bounds.words()}"

    def judgement(self) -> str:
        """Write the measurement of `measure` as one aggregating SQL expression, a struct."""
        seen = f"CAST({self.seen(self._over)} AS {sql_type(self.type)})"
        number = f"CAST({seen} AS DOUBLE)" if type_name(self.type).startswith(NUMBERS) else "NULL::DOUBLE"
        return (
            f"struct_pack(numerator := coalesce(CAST(NOT ({self.bounds.broken(seen, self.type)}) AS BIGINT), 0), "
            f"denominator := CAST({seen} IS NOT NULL AS BIGINT), "
            f"detail := {literal(self.promise())} || coalesce('; it is ' || CAST({seen} AS VARCHAR), '; there is nothing to measure'), "
            f'"value" := {number})'
        )

    def measure(self, subject: Subject) -> str:
        """Aggregate the rows that `where` lets through."""
        return f"SELECT unnest(one) FROM (SELECT {self.judgement()} AS one FROM {subject.relation})"

    def oracle(self, rows: Sequence[Row], parents: Mapping[Any, Sequence[Row]], now: datetime) -> set[int]:
        """Compute the aggregate."""
        seen = self.known(rows)
        return set() if seen is None or self.bounds.holds(seen) else {-1}

    def _over(self, call: str, condition: str = "") -> str:
        where = [f"({self.spec.where}) IS TRUE"] if self.spec.where else []
        chosen = " AND ".join([*where, *([condition] if condition else [])])
        return f"{call} FILTER (WHERE {chosen})" if chosen else call


def column_of(declaration: Declaration, takes: Sequence[str]) -> Column:
    """Find the one column that a rule names, whose type must begin as one of those that the rule takes, if any are given."""
    (column,) = declaration.columns(most=1)
    if takes and not type_name(column.type).startswith(tuple(takes)):
        expected = "a number" if tuple(takes) == NUMBERS else "a number, date, time or timestamp"
        raise declaration.invalid(f"{declaration.spec.kind} does not apply to {column.name}", type_name(column.type), expected)
    return column


@dataclass(frozen=True, slots=True)
class OneColumn(Aggregate, ABC):
    """Aggregate the values of one column."""

    @property
    def column(self) -> str:
        """The column, quoted for SQL."""
        return quoted(self.spec.columns[0])

    def of(self, rows: Sequence[Row]) -> Value:
        """Compute the aggregate of the column's values."""
        return self.of_values([row[self.spec.columns[0]] for row in rows])

    @abstractmethod
    def of_values(self, values: Sequence[Value]) -> Value:
        """Compute the aggregate of values, at least one; None when they are too few."""


def finite(values: Sequence[Value]) -> bool:
    """Tell whether all of some numbers are finite."""
    return all(math.isfinite(value) for value in values)


def distinct(values: Sequence[Value]) -> int:
    """Count different values as the engine compares them."""
    return len({comparable(value) for value in values})
