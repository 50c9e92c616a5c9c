"""Values that only grow, or only fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import quoted
from limnos.model.subject import Subject
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.aggregate import ORDERED
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, SetRule
from limnos.quality.rules.typed import Value, comparable


@dataclass(frozen=True, slots=True)
class Monotonic(SetRule):
    """Insist that a column grows (or falls) from row to row in an order, within groups; a row is compared with the one before it.

    Rows of one place in the order are taken in the order of their values; rows alike in both stand or fall together, and fail where the
    rule is strict. Rows beside the judged ones are not judged: where one of them breaks the order, the judged one next to it fails.
    """

    kind: ClassVar[str] = "monotonic"
    dimension: ClassVar[Dimension] = Dimension.CONSISTENCY
    order: tuple[str, ...]
    falling: bool
    strict: bool
    per: tuple[str, ...]

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Monotonic:
        """Build from one column, `order_by` (the key when not given), `direction`, `strict` and `per`."""
        declaration = Declaration.read(spec, contract, "order_by", "direction", "strict", "per")
        (column,) = declaration.columns(most=1)
        if not type_name(column.type).startswith((*ORDERED, "string")):
            raise declaration.invalid(f"{column.name} has no order", type_name(column.type), "a number, text, date, time or timestamp")
        order = tuple(one.name for one in declaration.own("order_by")) if "order_by" in spec.arguments else contract.key
        if not order or column.name in order:
            raise declaration.invalid("monotonic needs another column to order by", ", ".join(order) or "no key", "order_by: a column")
        falling = declaration.choice("direction", ("up", "down"), "up") == "down"
        per = tuple(one.name for one in declaration.own("per")) if "per" in spec.arguments else ()
        return cls(declaration.spec, order, falling, declaration.flag("strict"), per)

    def promise(self) -> str:
        """Say what must hold."""
        way = ("fall" if self.falling else "grow") if self.strict else ("not grow" if self.falling else "not fall")
        each = f" within each {', '.join(self.per)}" if self.per else ""
        return f"{self.spec.columns[0]} must {way} in the order of {', '.join(self.order)}{each}"

    def judged(self) -> tuple[str, ...]:
        """Apply where both the value and its place in the order are known."""
        return (*self.spec.columns, *self.order)

    def failing_rows(self, subject: Subject) -> str:
        """Compare each row with the last of those before it, and with a row beside that comes after it."""
        value = quoted(self.spec.columns[0])
        names = ", ".join(quoted(name) for name in dict.fromkeys((*self.judged(), *self.per)))
        rows = f"SELECT _file, _row, {names}, TRUE AS _judged FROM {subject.relation} WHERE {self.applies()}"
        if subject.beside:
            rows += f" UNION ALL SELECT _file, _row, {names}, FALSE FROM {subject.beside} WHERE {self.applies()}"
        within = f"PARTITION BY {', '.join(quoted(name) for name in self.per)} " if self.per else ""
        order = f"{', '.join(quoted(name) for name in self.order)}, {value}{' DESC' if self.falling else ''}"
        before = f"{within}ORDER BY {order} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE GROUP"
        after = f"{within}ORDER BY {order} RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE GROUP"
        alike = f"{within}ORDER BY {order} RANGE BETWEEN CURRENT ROW AND CURRENT ROW"
        wrong = ("<=" if self.falling else ">=") if self.strict else ("<" if self.falling else ">")
        parts = [f"coalesce(last_value({value}) OVER ({before}) {wrong} {value}, FALSE)"]
        parts += [f"count(*) OVER ({alike}) > 1"] if self.strict else []
        if subject.beside:
            beside, later = f"NOT first_value(_judged) OVER ({after})", f"{value} {wrong} first_value({value}) OVER ({after})"
            parts.append(f"coalesce({beside} AND {later}, FALSE)")
        marked = f"SELECT _file, _row, _judged, {' OR '.join(parts)} AS _wrong FROM ({rows})"
        return f"SELECT _file, _row FROM ({marked}) WHERE _judged AND _wrong"

    def oracle(self, rows: Sequence[Row], parents: Mapping[Any, Sequence[Row]], now: datetime) -> set[int]:
        """Walk through the rows in order."""
        groups: dict[Value, dict[Value, dict[Value, list[int]]]] = {}
        for index, row in enumerate(rows):
            if self.knows(row):
                group = groups.setdefault(tuple(comparable(row[name]) for name in self.per), {})
                place = group.setdefault(tuple(comparable(row[name]) for name in self.order), {})
                place.setdefault(comparable(row[self.spec.columns[0]]), []).append(index)
        found: set[int] = set()
        for group in groups.values():
            steps = [(value, group[place][value]) for place in sorted(group) for value in sorted(group[place], reverse=self.falling)]
            found |= {index for _, copies in steps if self.strict and len(copies) > 1 for index in copies}
            for (before, _), (value, copies) in pairwise(steps):
                worse = before < value if self.falling else before > value
                found |= set(copies) if worse or (self.strict and before == value) else set()
        return found
