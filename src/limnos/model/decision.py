"""Who asks, for what, and whether it is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from limnos.model.names import TableName


class Action(StrEnum):
    """Name what a principal may ask for."""

    READ = "read"
    RUN = "run"
    RELEASE = "release"
    ADMINISTER = "administer"


@dataclass(frozen=True, slots=True)
class Principal:
    """Name who asks; `roles` are the names the policy knows."""

    name: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Answer whether `principal` may do `action` on `table`, with the obligations that go with it.

    `row_filter` is an SQL condition, `masks` maps a column to an SQL expression, `reasons` is never empty.

    Examples:
        >>> Decision(Principal("eve"), Action.READ, TableName("shop", "orders"), allowed=False, reasons=("no role",)).allowed
        False
    """

    principal: Principal
    action: Action
    table: TableName | None
    allowed: bool
    reasons: tuple[str, ...]
    row_filter: str = ""
    masks: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("a decision names its reasons")

    def as_json(self) -> Mapping[str, object]:
        """Give the decision as a JSON object, as the ledger keeps it."""
        return {
            "principal": self.principal.name,
            "action": self.action.value,
            "table": str(self.table) if self.table else None,
            "allowed": self.allowed,
            "reasons": list(self.reasons),
            "row_filter": self.row_filter,
            "masks": dict(self.masks),
        }
