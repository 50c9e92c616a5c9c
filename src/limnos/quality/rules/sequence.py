"""Values without a gap."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import quoted
from limnos.model.subject import Subject
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, SetRule
from limnos.quality.rules.typed import Value, comparable


@dataclass(frozen=True, slots=True)
class Sequence(SetRule):
    """Insist that each value but the smallest has the value one step below it, within groups; the row after a gap fails."""

    kind: ClassVar[str] = "sequence"
    dimension: ClassVar[Dimension] = Dimension.COMPLETENESS
    type: pa.DataType
    step: int
    per: tuple[str, ...]

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Sequence:
        """Build from one column of whole numbers or dates, `step` (1 when not given; days, of dates) and `per`."""
        declaration = Declaration.read(spec, contract, "step", "per")
        (column,) = declaration.columns(most=1)
        if type_name(column.type) not in {"int", "long", "date"}:
            raise declaration.invalid(f"{column.name} has no steps", type_name(column.type), "int, long or date")
        step = declaration.count("step")
        if step == 0:
            raise declaration.invalid("step is no step", "0", "a whole number from 1")
        per = tuple(one.name for one in declaration.own("per")) if "per" in spec.arguments else ()
        return cls(declaration.spec, column.type, step or 1, per)

    def promise(self) -> str:
        """Say what must hold."""
        each = f" within each {', '.join(self.per)}" if self.per else ""
        unit = " days" if pa.types.is_date(self.type) else ""
        return f"{self.spec.columns[0]} must have no gap in steps of {self.step}{unit}{each}"

    def failing_rows(self, subject: Subject) -> str:
        """Look the value below up, and leave the smallest out."""
        # A step down from the least long would not be one, and dates add whole numbers as days.
        value = quoted(self.spec.columns[0]) if pa.types.is_date(self.type) else f"CAST({quoted(self.spec.columns[0])} AS HUGEINT)"
        group = "".join(f", {quoted(name)} AS _p{at}" for at, name in enumerate(self.per))
        columns = "".join(f", _p{at}" for at in range(len(self.per)))
        same = "".join(f" AND one._p{at} IS NOT DISTINCT FROM two._p{at}" for at in range(len(self.per)))
        judged = f"SELECT _file, _row, {value} AS _v{group} FROM {subject.relation} WHERE {self.applies()}"
        every = f"SELECT _v{columns} FROM ({judged})"
        if subject.beside:
            every += f" UNION ALL SELECT {value}{group} FROM {subject.beside} WHERE {self.applies()}"
        least = f"SELECT min(_v) AS _v{columns} FROM ({every}) GROUP BY ALL" if self.per else f"SELECT min(_v) AS _v FROM ({every})"
        return (
            f"SELECT one._file, one._row FROM ({judged}) AS one ANTI JOIN ({every}) AS two ON one._v = two._v + {self.step}{same} "
            f"ANTI JOIN ({least}) AS two ON one._v = two._v{same}"
        )

    def oracle(self, rows: Rows[Row], parents: Mapping[Any, Rows[Row]], now: datetime) -> set[int]:
        """Look each value below up."""
        groups: dict[Value, set[Value]] = {}
        for row in rows:
            if self.knows(row):
                groups.setdefault(self._group(row), set()).add(row[self.spec.columns[0]])
        step = timedelta(days=self.step) if pa.types.is_date(self.type) else self.step
        found: set[int] = set()
        for index, row in enumerate(rows):
            value = row[self.spec.columns[0]]
            if self.knows(row) and value != min(there := groups[self._group(row)]) and value - step not in there:
                found.add(index)
        return found

    def _group(self, row: Row) -> Value:
        return tuple(comparable(row[name]) for name in self.per)
