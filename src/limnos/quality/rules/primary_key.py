"""A key that is complete and unique."""

from __future__ import annotations

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
from limnos.quality.rules.unique import copies, repeated


@dataclass(frozen=True, slots=True)
class PrimaryKey(SetRule):
    """Insist that every row has a key, without a null in it, that no other row has."""

    kind: ClassVar[str] = "primary_key"
    dimension: ClassVar[Dimension] = Dimension.UNIQUENESS

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> PrimaryKey:
        """Build from the columns of the key."""
        declaration = Declaration.read(spec, contract)
        declaration.columns()
        return cls(declaration.spec)

    def promise(self) -> str:
        """Say what must hold."""
        return f"{', '.join(self.spec.columns)} must be unique and not null"

    def judged(self) -> tuple[str, ...]:
        """Apply to every row."""
        return ()

    def failing_rows(self, subject: Subject) -> str:
        """Find rows with a null in the key, and every copy of a key that occurs more than once."""
        applies = self.applies()
        absent = " OR ".join(f"{quoted(name)} IS NULL" for name in self.spec.columns)
        # An equality never joins a null, so no row comes from both halves.
        twice = copies(subject.relation, self.spec.columns, applies)
        return f"SELECT _file, _row FROM {subject.relation} WHERE {applies} AND ({absent}) UNION ALL {twice}"

    def oracle(self, rows: Sequence[Row], parents: Mapping[Any, Sequence[Row]], now: datetime) -> set[int]:
        """Count the keys and look for nulls."""
        absent = {index for index, row in enumerate(rows) if any(row[name] is None for name in self.spec.columns)}
        return absent | repeated(rows, self.spec.columns)
