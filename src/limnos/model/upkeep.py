"""What upkeep did to a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from limnos.model.names import TableName


@dataclass(frozen=True, slots=True)
class Upkept:
    """Count one table's data files, bytes and rows taken out by delete files, before and after; `rows` are those that live, the same."""

    table: TableName
    rows: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    gone_before: int
    gone_after: int
    seconds: float = 0.0
    snapshot_id: int | None = None

    def as_json(self) -> Mapping[str, object]:
        """Give what `--json` prints and the ledger keeps."""
        return {
            "rows": self.rows,
            "files": [self.files_before, self.files_after],
            "bytes": [self.bytes_before, self.bytes_after],
            "gone": [self.gone_before, self.gone_after],
            "seconds": round(self.seconds, 3),
            "snapshot_id": self.snapshot_id,
        }
