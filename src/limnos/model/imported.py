"""What importing rules, or exporting contracts, came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from limnos.errors import LimnosError
from limnos.model.contract import RuleSpec
from limnos.model.names import TableName


@dataclass(frozen=True, slots=True)
class ImportedTable:
    """Tell what of a file concerns a table: new rules, those that it promises already, what was refused, and the contract's new text."""

    table: TableName
    rules: tuple[RuleSpec, ...]
    known: tuple[RuleSpec, ...]
    refused: tuple[LimnosError, ...]
    file: str = ""
    diff: str = ""
    written: bool = False

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "table": str(self.table),
            "rules": [rule.as_json() for rule in self.rules],
            "known": [rule.as_json() for rule in self.known],
            "refused": [error.as_json() for error in self.refused],
            "file": self.file,
            "diff": self.diff,
            "written": self.written,
        }


@dataclass(frozen=True, slots=True)
class ExportedContract:
    """Hold the contract of a table as an ODCS file."""

    table: TableName
    file: str
    text: str

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {"table": str(self.table), "file": self.file, "text": self.text}
