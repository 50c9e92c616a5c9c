"""Every row equals the one of an authority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import TableName, quoted
from limnos.model.subject import Subject
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.aggregate import NUMBERS
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, SetRule
from limnos.quality.rules.tolerance import Tolerance
from limnos.quality.rules.typed import Value, comparable


@dataclass(frozen=True, slots=True)
class MatchesReference(SetRule):
    """Insist that the reference table has a row of the same key with the same values; a null equals a null.

    A row whose key the reference does not have fails: nothing vouches for it. `compared` maps columns here to those there.
    """

    kind: ClassVar[str] = "matches_reference"
    dimension: ClassVar[Dimension] = Dimension.ACCURACY
    table: TableName
    key: tuple[str, ...]
    their_key: tuple[str, ...]
    compared: Mapping[str, str]
    tolerance: Tolerance
    numbers: frozenset[str]

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> MatchesReference:
        """Build from the key columns, `table`, `key` there, `compare` (all other columns when not given) and `tolerance`."""
        declaration = Declaration.read(spec, contract, "table", "key", "compare", "tolerance")
        there = declaration.listed("key", spec.columns)
        here = tuple(column.name for column in (declaration.columns() if spec.columns else declaration.own("key")))
        if not here or len(there) != len(here):
            raise declaration.invalid(
                "the key here is not that of the reference", ", ".join(there) or "none", "as many columns on both sides"
            )
        rest = [name for name in contract.names if name not in here]
        said = spec.arguments.get("compare")
        pairs = said.items() if isinstance(said, Mapping) else ((name, name) for name in declaration.listed("compare", rest))
        compared = {str(name): str(other) for name, other in pairs}
        if not compared or not set(compared) <= set(contract.names):
            unknown = ", ".join(name for name in compared if name not in contract.names)
            raise declaration.invalid("compare names no column of the table", unknown or "none", ", ".join(contract.names))
        numbers = frozenset(name for name in compared if type_name(contract.column(name).type).startswith(NUMBERS))
        return cls(declaration.spec, declaration.another_table(), here, there, compared, Tolerance.read(declaration), numbers)

    def promise(self) -> str:
        """Say what must hold."""
        return (
            f"{', '.join(self.compared)} must equal those of the same {', '.join(self.their_key)} in {self.table}{self.tolerance.words()}"
        )

    def judged(self) -> tuple[str, ...]:
        """Apply where the key is known."""
        return self.key

    def failing_rows(self, subject: Subject) -> str:
        """Find the rows without an equal there.

        Raises:
            UnknownName: If the subject holds no version of the reference table.
        """
        keys = [f"one.{quoted(here)} = other.{quoted(there)}" for here, there in zip(self.key, self.their_key, strict=True)]
        values = [self._equal(here, f"one.{quoted(here)}", f"other.{quoted(there)}") for here, there in self.compared.items()]
        needed = ", ".join(quoted(name) for name in dict.fromkeys((*self.key, *self.compared)))
        theirs = ", ".join(quoted(name) for name in dict.fromkeys((*self.their_key, *self.compared.values())))
        return (
            f"SELECT one._file, one._row FROM (SELECT _file, _row, {needed} FROM {subject.relation} WHERE {self.applies()}) AS one "
            f"ANTI JOIN (SELECT {theirs} FROM {subject.other(self.table)}) AS other ON {' AND '.join([*keys, *values])}"
        )

    def oracle(self, rows: Sequence[Row], parents: Mapping[TableName, Sequence[Row]], now: datetime) -> set[int]:
        """Look each row up."""
        there: dict[tuple[Value, ...], list[Row]] = {}
        for row in parents[self.table]:
            there.setdefault(tuple(comparable(row[name]) for name in self.their_key), []).append(row)
        found: set[int] = set()
        for index, row in enumerate(rows):
            same = there.get(tuple(comparable(row[name]) for name in self.key), ())
            if self.knows(row) and not any(self._matches(row, other) for other in same):
                found.add(index)
        return found

    def _equal(self, name: str, one: str, other: str) -> str:
        return (self.tolerance if name in self.numbers else Tolerance()).sql(one, other)

    def _matches(self, row: Row, other: Row) -> bool:
        for here, there in self.compared.items():
            one, two = row[here], other[there]
            if one is None or two is None or here not in self.numbers:
                if comparable(one) != comparable(two):
                    return False
            elif not self.tolerance.equal(one, two):
                return False
        return True
