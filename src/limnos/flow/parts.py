"""What every verb works with, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from limnos.errors import Refused
from limnos.ledger.events import StateLedger
from limnos.ledger.state import State
from limnos.model.decision import Action, Decision, Principal
from limnos.model.names import TableName
from limnos.model.project import Project
from limnos.model.run import Step
from limnos.ports import Catalog, Engine, Observer, Policy, Source


@dataclass(frozen=True, slots=True)
class Parts:
    """Hold the adapters of one lake; `source` builds a declared source by its name."""

    project: Project
    state: State
    ledger: StateLedger
    catalog: Catalog
    engine: Engine
    policy: Policy
    principal: Principal
    source: Callable[[str], Source]
    observer: Observer

    def step(self, name: str, table: TableName | None = None, detail: str = "", *, done: int = 0, total: int = 0) -> None:
        """Tell the observer that a step boundary was passed."""
        self.observer(Step(name, table, detail, done, total))

    def demand(self, action: Action, table: TableName | None = None) -> Decision:
        """Ask the policy, and stop where it refuses.

        Raises:
            Refused: If the decision is a refusal.
        """
        decision = self.policy.decide(self.principal, action, table)
        if not decision.allowed:
            raise Refused(
                f"{self.principal.name} may not {action.value}{f' {table}' if table else ''}",
                subject=str(table or self.project.name),
                seen="; ".join(decision.reasons),
                expected="a grant",
                hint="ask the owner of the lake",
            )
        return decision
