"""Texts of a known form: addresses, numbers with check digits, codes of lists, dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import literal, quoted
from limnos.model.subject import Subject
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.ports import Session
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.formats import FORMATS, Judge
from limnos.quality.rules.shape import Row, RowRule

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PATTERNS: Mapping[str, str] = {
    "ipv4": rf"({_OCTET}\.){{3}}{_OCTET}",
    "uuid": "(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
"""Forms that a pattern of the engine says exactly; all others are judged in Python, each different value once."""


@dataclass(frozen=True, slots=True)
class Format(RowRule):
    """Insist on a form that has a name, as the library that knows it says."""

    kind: ClassVar[str] = "format"
    dimension: ClassVar[Dimension] = Dimension.VALIDITY
    form: str
    judge: Judge

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Format:
        """Build from one string column and `as`; for `as: phone`, `region` is where numbers without a country code are from.

        Raises:
            ExtraMissing: If the library that knows the form is not installed.
        """
        declaration = Declaration.read(spec, contract, "as", "region")
        (column,) = declaration.columns(most=1)
        if type_name(column.type) != "string":
            raise declaration.invalid(f"{column.name} has no text to look at", type_name(column.type), "string")
        form = declaration.choice("as", tuple(FORMATS))
        region = spec.arguments.get("region", "")
        if "region" in spec.arguments and (form != "phone" or not isinstance(region, str) or len(region) != 2):
            raise declaration.invalid("region is not that of phone numbers", str(region), "as: phone, and two letters such as FR")
        return cls(declaration.spec, form, FORMATS[form].make(str(region)))

    def promise(self) -> str:
        """Say what must hold."""
        return f"{self.spec.columns[0]} must be {FORMATS[self.form].words}"

    def prepare(self, session: Session, subject: Subject) -> None:
        """Judge each different value once, and keep those that do not fit."""
        if self.form in _PATTERNS:
            return
        column = quoted(self.spec.columns[0])
        misfits: list[str] = []
        for batch in session.stream(f"SELECT DISTINCT {column} AS value FROM {subject.relation} WHERE {self.applies()}"):
            misfits += [value for value in map(str, batch.column(0).to_pylist()) if not self.judge(value)]
        given = pa.table({"value": pa.array(misfits, pa.string())})
        session.run(f"CREATE OR REPLACE TEMP TABLE {self._misfits} AS SELECT value FROM given", given=given)

    def broken(self) -> str:
        """Find a text of another form."""
        column = quoted(self.spec.columns[0])
        if self.form in _PATTERNS:
            return f"NOT regexp_full_match({column}, {literal(_PATTERNS[self.form])})"
        return f"{column} IN (SELECT value FROM {self._misfits})"

    def breaks(self, row: Row) -> bool:
        """Find a text of another form."""
        return not self.judge(row[self.spec.columns[0]])

    @property
    def _misfits(self) -> str:
        return f"limnos_misfits_{self.spec.version}"
