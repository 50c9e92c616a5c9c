"""What comparing a table with its source came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from limnos.model.names import TableName
from limnos.model.verdict import Verdict


class Kind(StrEnum):
    """Say how a row differs: missing from the lake, extra in the lake, or with other values."""

    MISSING = "missing"
    EXTRA = "extra"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """Show one key whose rows differ; `values` maps each differing column to (source, lake), empty where it was not looked up.

    A table without a key shows whole rows: then `key` is empty and `values` holds every column.
    """

    kind: Kind
    key: Mapping[str, str | None]
    rows: int = 1
    values: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict[str, tuple[str | None, str | None]])

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "kind": self.kind.value,
            "key": dict(self.key),
            "rows": self.rows,
            "columns": {name: {"source": source, "lake": lake} for name, (source, lake) in self.values.items()},
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """State how a table and its source compare.

    `columns` names those whose content was compared, none where rows were only counted; `left_out` says why others were not. All
    differing rows are counted, `differences` shows some of them. `quarantined` counts rows of the source that are known to wait in
    quarantine, or to have been rejected, `pending` rows that changed at the source after the `position` at which the lake is; neither
    differs. `pushed_down` tells whether the source did the work, or its rows were read.
    """

    table: TableName
    source_rows: int = 0
    lake_rows: int = 0
    quarantined: int = 0
    missing: int = 0
    extra: int = 0
    changed: int = 0
    pending: int = 0
    position: str = ""
    columns: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    differences: tuple[Difference, ...] = ()
    snapshot_id: int | None = None
    pushed_down: bool = False
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    error: Mapping[str, object] | None = None

    @property
    def differing(self) -> int:
        """How many rows differ."""
        return self.missing + self.extra + self.changed

    def exit_code(self) -> int:
        """Give the exit code of this table alone.

        Examples:
            >>> Comparison(TableName("shop", "orders"), missing=1).exit_code()
            1
        """
        return int(str(self.error["exit_code"])) if self.error is not None else int(self.differing > 0)

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object, in the form that tools rely on."""
        return {
            "table": str(self.table),
            "equal": self.error is None and not self.differing,
            "source_rows": self.source_rows,
            "lake_rows": self.lake_rows,
            "quarantined": self.quarantined,
            "missing": self.missing,
            "extra": self.extra,
            "changed": self.changed,
            "pending": self.pending,
            "position": self.position,
            "columns": list(self.columns),
            "left_out": dict(self.left_out),
            "differences": [one.as_json() for one in self.differences],
            "snapshot_id": self.snapshot_id,
            "pushed_down": self.pushed_down,
            "verdicts": [verdict.as_json() for verdict in self.verdicts],
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }
