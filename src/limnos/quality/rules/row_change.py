"""A table that did not grow or shrink too much since its last version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import literal
from limnos.model.subject import Subject
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration, between, whole_table
from limnos.quality.rules.shape import Row, TableRule

_SHARE = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*%", re.ASCII)


@dataclass(frozen=True, slots=True)
class RowChange(TableRule):
    """Bound how many rows more (or, below 0, less) there are than in the published version before, or which share of its rows.

    Without a version before it is unknown, and so is a share of no rows.
    """

    kind: ClassVar[str] = "row_change"
    dimension: ClassVar[Dimension] = Dimension.COMPLETENESS
    low: float | None
    high: float | None
    share: bool

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> RowChange:
        """Build from `min`, `max` or both: whole numbers of rows, or percentages such as `-10%`."""
        declaration = Declaration.read(spec, contract, "min", "max")
        declaration.no_columns()
        if spec.where:
            raise declaration.invalid("row_change counts all rows", spec.where, "no where: of the version before only its rows are known")
        said = [_bound(declaration, name) for name in ("min", "max")]
        (low, _), (high, _) = said
        shares = {share for bound, share in said if bound is not None}
        if len(shares) != 1:
            expected = "both as rows or both as percentages" if shares else "min, max or both"
            seen = ", ".join(str(value) for value in spec.arguments.values())
            raise declaration.invalid("row_change does not say how much", seen or "neither", expected)
        if low is not None and high is not None and low > high:
            raise declaration.invalid("min is greater than max", f"min {low}, max {high}", "min <= max")
        return cls(whole_table(declaration), low, high, shares.pop())

    def promise(self) -> str:
        """Say what must hold."""
        unit = "% of its rows" if self.share else " rows"
        low, high = (None if bound is None else f"{bound:+g}" for bound in (self.low, self.high))
        return f"the table must have changed by {between(low, high)}{unit}"

    def measure(self, subject: Subject) -> str:
        """Compare two counts that are known; nothing is read."""
        seen = self._change(subject.rows, subject.previous_rows)
        if seen is None:
            before = "no version before" if subject.previous_rows is None else "a version before without rows"
            return f"SELECT 0::BIGINT AS numerator, 0::BIGINT AS denominator, {literal(f'{self.promise()}; there is {before}')} AS detail"
        said = f"it had {subject.previous_rows} rows and has {subject.rows}, {seen:+g}{'%' if self.share else ''}"
        return (
            f"SELECT {int(self._holds(seen))}::BIGINT AS numerator, 1::BIGINT AS denominator, "
            f'{literal(f"{self.promise()}; {said}")} AS detail, {seen}::DOUBLE AS "value"'
        )

    def oracle(
        self, rows: Sequence[Row], parents: Mapping[Any, Sequence[Row]], now: datetime, *, previous_rows: int | None = None
    ) -> set[int]:
        """Compare with the bounds as multiples of the rows before."""
        if previous_rows is None or (self.share and not previous_rows):
            return set()
        unit, change = (Fraction(previous_rows, 100) if self.share else 1), len(rows) - previous_rows
        low = self.low is None or change >= Fraction(self.low) * unit
        high = self.high is None or change <= Fraction(self.high) * unit
        return set() if low and high else {-1}

    def _change(self, rows: int, before: int | None) -> float | None:
        if before is None or (self.share and not before):
            return None
        return 100 * (rows - before) / before if self.share else rows - before

    def _holds(self, seen: float) -> bool:
        return (self.low is None or seen >= self.low) and (self.high is None or seen <= self.high)


def _bound(declaration: Declaration, name: str) -> tuple[float | None, bool]:
    """Read a bound, and whether it is a share."""
    said = declaration.spec.arguments.get(name)
    if said is None:
        return None, False
    if isinstance(said, str) and (match := _SHARE.fullmatch(said.strip())):
        return float(match[1]), True
    if isinstance(said, bool) or not isinstance(said, int):
        raise declaration.invalid(f"{name} is no change", str(said), "a whole number of rows, or a percentage such as -10%")
    return said, False
