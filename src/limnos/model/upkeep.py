"""What upkeep did to a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from limnos.model.names import TableName


@dataclass(frozen=True, slots=True)
class Upkept:
    """Count one table's data files, bytes and rows taken out by delete files, before and after; `rows` are those that live, the same.

    `expired` counts the versions that can be asked for no more, `deleted_files` and `deleted_bytes` what no kept version needs. Of what
    was only planned, `bytes_after` is an estimate.
    """

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
    expired: int = 0
    deleted_files: int = 0
    deleted_bytes: int = 0

    def as_json(self) -> Mapping[str, object]:
        """Give what `--json` prints and the ledger keeps."""
        return {
            "rows": self.rows,
            "files": [self.files_before, self.files_after],
            "bytes": [self.bytes_before, self.bytes_after],
            "gone": [self.gone_before, self.gone_after],
            "seconds": round(self.seconds, 3),
            "snapshot_id": self.snapshot_id,
            "expired": self.expired,
            "deleted": {"files": self.deleted_files, "bytes": self.deleted_bytes},
        }
