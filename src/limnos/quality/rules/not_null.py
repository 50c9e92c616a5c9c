"""No value missing in the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.data import WrittenFile
from limnos.model.names import quoted
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, RowRule
from limnos.quality.rules.typed import Value, among, comparable, shown


@dataclass(frozen=True, slots=True)
class NotNull(RowRule):
    """Insist on a value in every named column: not null, and none of the listed values that stand for nothing."""

    kind: ClassVar[str] = "not_null"
    dimension: ClassVar[Dimension] = Dimension.COMPLETENESS
    missing: Mapping[str, tuple[pa.DataType, tuple[Value, ...]]]

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> NotNull:
        """Build from one or more columns, and `missing` if there are such values."""
        declaration = Declaration.read(spec, contract, "missing")
        columns = declaration.columns()
        said = columns if "missing" in spec.arguments else ()
        return cls(declaration.spec, {column.name: (column.type, declaration.values("missing", column.type)) for column in said})

    def promise(self) -> str:
        """Say what must hold."""
        listed = next((f" or one of {shown(values)}" for _, values in self.missing.values()), "")
        return f"{', '.join(self.spec.columns)} must not be null{listed}"

    def judged(self) -> tuple[str, ...]:
        """Apply to every row."""
        return ()

    def broken(self) -> str:
        """Find what is missing in any column."""
        nulls = [f"{quoted(name)} IS NULL" for name in self.spec.columns]
        return " OR ".join([*nulls, *(among(name, values, kind) for name, (kind, values) in self.missing.items())])

    def breaks(self, row: Row) -> bool:
        """Find what is missing in any column."""
        empty = {name: {comparable(value) for value in values} for name, (_, values) in self.missing.items()}
        return any(row[name] is None or comparable(row[name]) in empty.get(name, ()) for name in self.spec.columns)

    def proven(self, files: Sequence[WrittenFile]) -> bool:
        """Trust a null count of 0 in every file, where only a null is missing."""
        unsure = self.spec.where or self.missing
        return not unsure and all(file.null_counts.get(name) == 0 for file in files for name in self.spec.columns)
