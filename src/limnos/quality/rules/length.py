"""Texts of a length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import quoted
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration, between
from limnos.quality.rules.shape import Row, RowRule


@dataclass(frozen=True, slots=True)
class Length(RowRule):
    """Insist on a number of characters (Unicode code points), or of bytes where the column is binary."""

    kind: ClassVar[str] = "length"
    dimension: ClassVar[Dimension] = Dimension.VALIDITY
    measured: str
    low: int | None
    high: int | None

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Length:
        """Build from one string or binary column and `min`, `max` or both."""
        declaration = Declaration.read(spec, contract, "min", "max")
        (column,) = declaration.columns(most=1)
        name = type_name(column.type)
        if name not in {"string", "binary"}:
            raise declaration.invalid(f"{column.name} has no length", name, "string or binary")
        return cls(declaration.spec, "length" if name == "string" else "octet_length", *declaration.counts())

    def promise(self) -> str:
        """Say what must hold."""
        unit = "characters" if self.measured == "length" else "bytes"
        return f"{self.spec.columns[0]} must be {between(self.low, self.high)} {unit} long"

    def broken(self) -> str:
        """Find a value that is too short or too long."""
        size = f"{self.measured}({quoted(self.spec.columns[0])})"
        parts = [f"{size} < {self.low}"] if self.low is not None else []
        return " OR ".join([*parts, *([f"{size} > {self.high}"] if self.high is not None else [])])

    def breaks(self, row: Row) -> bool:
        """Find a value that is too short or too long."""
        size = len(row[self.spec.columns[0]])
        return (self.low is not None and size < self.low) or (self.high is not None and size > self.high)
