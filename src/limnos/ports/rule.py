"""The rules that judge a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

from limnos.model.contract import Contract, RuleSpec
from limnos.model.data import WrittenFile
from limnos.model.names import TableName
from limnos.model.subject import RuleShape, Subject
from limnos.model.verdict import Dimension


@runtime_checkable
class Rule(Protocol):
    """Judge a table. One file in `quality/rules/`, with a naive oracle and a documented page.

    Suite: `limnos.testing.rule`: what the engine finds equals what the oracle finds on generated tables, with nulls, NaN and no rows.
    """

    kind: ClassVar[str]
    shape: ClassVar[RuleShape]
    dimension: ClassVar[Dimension]

    @property
    def spec(self) -> RuleSpec:
        """What was declared, with the severity that holds."""
        ...

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Rule:
        """Build the rule for a contract.

        Raises:
            RuleInvalid: If a column, argument or type does not fit; it names the place of the declaration.
        """
        ...

    def promise(self) -> str:
        """Say in words what must hold, for verdicts and the reasons of quarantined rows."""
        ...

    def applies(self) -> str:
        """ROW, SET: SQL condition, true (never null) for the rows that count in the denominator."""
        ...

    def failing(self) -> str:
        """ROW: SQL condition, true (never null) for the applicable rows that break the rule."""
        ...

    def failing_rows(self, subject: Subject) -> str:
        """SET: SELECT of `_file, _row` of each row that breaks the rule, each once."""
        ...

    def measure(self, subject: Subject) -> str:
        """TABLE: SELECT of one row `numerator BIGINT, denominator BIGINT, detail VARCHAR`, and `value DOUBLE` where it is a number."""
        ...

    def proven(self, files: Sequence[WrittenFile]) -> bool:
        """Tell whether file statistics alone show that no row breaks the rule; False means not known."""
        ...

    def oracle(
        self, rows: Sequence[Mapping[str, Any]], parents: Mapping[TableName, Sequence[Mapping[str, Any]]], now: datetime
    ) -> set[int]:
        """Find the failing ones of the rows that `where` lets through, the slow, obvious way; a TABLE rule gives {-1} when it fails."""
        ...
