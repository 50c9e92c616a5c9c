"""Several rules of which one is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from limnos.model.contract import Contract, RuleSpec
from limnos.model.subject import Subject
from limnos.model.verdict import Dimension
from limnos.ports import Session
from limnos.quality.rules.declaration import Declaration, unknown_kind
from limnos.quality.rules.row_kinds import ROW_KINDS
from limnos.quality.rules.shape import Prepared, Row, RowRule

_PARTS = ("kind", "columns", "arguments", "where")


@dataclass(frozen=True, slots=True)
class AnyOf(RowRule):
    """Insist that at least one of some rules on single rows holds; those that do not apply to a row say nothing of it."""

    kind: ClassVar[str] = "any_of"
    dimension: ClassVar[Dimension] = Dimension.CONSISTENCY
    rules: tuple[RowRule, ...]

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> AnyOf:
        """Build from `rules`, a list of mappings with `kind`, `columns`, `arguments` and `where`."""
        declaration = Declaration.read(spec, contract, "rules")
        declaration.no_columns()
        said = spec.arguments.get("rules")
        if not isinstance(said, list | tuple) or not said:
            raise declaration.invalid("rules is no list of rules", str(said), "a list of rules on single rows")
        return cls(declaration.spec, tuple(_built(declaration, one) for one in said))

    def promise(self) -> str:
        """Say what must hold."""
        return " or ".join(rule.promise() for rule in self.rules)

    def judged(self) -> tuple[str, ...]:
        """Leave nulls to the rules."""
        return ()

    def prepare(self, session: Session, subject: Subject) -> None:
        """Prepare the rules that need it."""
        for rule in self.rules:
            if isinstance(rule, Prepared):
                rule.prepare(session, subject)

    def applies(self) -> str:
        """Apply where one of the rules does."""
        # Slots make the zero-argument super() of a rebuilt class fail.
        return f"{RowRule.applies(self)} AND ({' OR '.join(f'({rule.applies()})' for rule in self.rules)})"

    def broken(self) -> str:
        """Find where none of the rules that apply holds."""
        return " AND ".join(f"(NOT ({rule.applies()}) OR ({rule.failing()}))" for rule in self.rules)

    def knows(self, row: Row) -> bool:
        """Apply where one of the rules does."""
        return any(rule.knows(row) for rule in self.rules)

    def breaks(self, row: Row) -> bool:
        """Find where none of the rules that apply holds."""
        return all(rule.breaks(row) for rule in self.rules if rule.knows(row))


def _built(declaration: Declaration, said: object) -> RowRule:
    part: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    if not part or not set(part) <= set(_PARTS):
        unknown = ", ".join(str(name) for name in part if name not in _PARTS)
        raise declaration.invalid("a part of any_of is no rule", unknown or str(said), ", ".join(_PARTS))
    columns: Sequence[str] = part.get("columns", ())
    spec = RuleSpec(
        str(part.get("kind", "")), tuple(columns), part.get("arguments", {}), where=str(part.get("where", "")), place=declaration.spec.place
    )
    if spec.kind not in ROW_KINDS:
        raise unknown_kind(spec, declaration.contract, ROW_KINDS)
    return ROW_KINDS[spec.kind].build(replace(spec, severity=declaration.spec.severity), declaration.contract)
