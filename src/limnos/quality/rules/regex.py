"""Texts of a form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.names import literal, quoted
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.shape import Row, RowRule

_ONLY_PYTHON = re.compile(r"\\\\|(\\[1-9]|\\Z|\(\?(?:[=!>(#]|<[=!]|P=|P>)|[*+?}]\+)")
_ONLY_RE2 = re.compile(r"\\\\|(\\[pPCQEz]|\[\[:)")


@dataclass(frozen=True, slots=True)
class Regex(RowRule):
    r"""Insist that the whole text matches a regular expression.

    Source: RE2, "Syntax". Patterns are kept to what RE2 and Python's `re` read alike; classes such as `\d` and `\w` mean ASCII.
    """

    kind: ClassVar[str] = "regex"
    dimension: ClassVar[Dimension] = Dimension.VALIDITY
    pattern: str

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Regex:
        """Build from one string column and `pattern`."""
        declaration = Declaration.read(spec, contract, "pattern")
        (column,) = declaration.columns(most=1)
        if type_name(column.type) != "string":
            raise declaration.invalid(f"{column.name} has no text to match", type_name(column.type), "string")
        pattern = spec.arguments.get("pattern")
        if not isinstance(pattern, str):
            raise declaration.invalid("pattern is not a text", str(pattern), "a regular expression")
        for only in (_ONLY_PYTHON, _ONLY_RE2):
            if found := next((match[1] for match in only.finditer(pattern) if match[1]), None):
                raise declaration.invalid(
                    "the pattern uses what the engine cannot match", found, "no lookaround, back reference or class by name"
                )
        try:
            re.compile(pattern, re.ASCII)
        except re.error as error:
            raise declaration.invalid("the pattern is not a regular expression", pattern, str(error)) from error
        return cls(declaration.spec, pattern)

    def promise(self) -> str:
        """Say what must hold."""
        return f"{self.spec.columns[0]} must match {self.pattern}"

    def broken(self) -> str:
        """Find a text that does not match as a whole."""
        return f"NOT regexp_full_match({quoted(self.spec.columns[0])}, {literal(self.pattern)})"

    def breaks(self, row: Row) -> bool:
        """Find a text that does not match as a whole."""
        return re.fullmatch(self.pattern, row[self.spec.columns[0]], re.ASCII) is None
