"""Who may do what."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from limnos.model.decision import Action, Decision, Principal
from limnos.model.names import TableName


@runtime_checkable
class Policy(Protocol):
    """Decide who may do what.

    Suite: `limnos.testing.policy`: an unknown principal is denied; it never raises; reasons are never empty.
    """

    def decide(self, principal: Principal, action: Action, table: TableName | None = None) -> Decision:
        """Answer one question; what nobody allowed is refused."""
        ...
