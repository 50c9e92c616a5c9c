"""No two rows with the same key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import quoted
from limnos.model.subject import Subject
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, SetRule
from limnos.quality.rules.typed import comparable


@dataclass(frozen=True, slots=True)
class Unique(SetRule):
    """Insist that no key occurs twice; every copy fails, since none is the right one."""

    kind: ClassVar[str] = "unique"
    dimension: ClassVar[Dimension] = Dimension.UNIQUENESS

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Unique:
        """Build from the columns of the key."""
        declaration = Declaration.read(spec, contract)
        declaration.columns()
        return cls(declaration.spec)

    def promise(self) -> str:
        """Say what must hold."""
        return f"{', '.join(self.spec.columns)} must be unique"

    def failing_rows(self, subject: Subject) -> str:
        """Find every copy of a key that occurs more than once."""
        return copies(subject.relation, self.spec.columns, self.applies())

    def oracle(self, rows: Sequence[Row], parents: Mapping[Any, Sequence[Row]], now: datetime) -> set[int]:
        """Count the keys."""
        return {index for index, row in enumerate(rows) if self.knows(row)} & repeated(rows, self.spec.columns)


def copies(relation: str, columns: Sequence[str], condition: str) -> str:
    """Select `_file, _row` of every row under the condition whose key another such row has too.

    Copies have the same hash: the hashes are sorted, and keys are compared only where one comes twice. To group all keys takes half as long
    again and twice the memory.
    """
    keys = ", ".join(quoted(name) for name in columns)
    same = " AND ".join(f"one.{quoted(name)} = many.{quoted(name)}" for name in columns)
    hashed = f"(SELECT _file, _row, {keys}, hash({keys}) AS limnos_hash FROM {relation} WHERE {condition})"
    sorted_ = f"SELECT limnos_hash AS this, lag(limnos_hash) OVER (ORDER BY limnos_hash) AS last FROM {hashed}"
    suspects = f"{hashed} SEMI JOIN twice ON limnos_hash = this"
    return (
        f"SELECT _file, _row FROM (WITH twice AS MATERIALIZED (SELECT this FROM ({sorted_}) WHERE this = last) "
        f"SELECT one._file, one._row FROM (FROM {suspects}) AS one "
        f"SEMI JOIN (SELECT {keys} FROM {suspects} GROUP BY {keys} HAVING count(*) > 1) AS many ON {same})"
    )


def repeated(rows: Sequence[Row], columns: Sequence[str]) -> set[int]:
    """Find the rows without a null in their key whose key occurs more than once."""
    keys = [tuple(comparable(row[name]) for name in columns) for row in rows]
    counts = Counter(key for key, row in zip(keys, rows, strict=True) if all(row[name] is not None for name in columns))
    return {index for index, key in enumerate(keys) if counts[key] > 1}
