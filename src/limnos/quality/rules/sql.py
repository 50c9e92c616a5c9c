"""A condition in SQL."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from limnos.errors import Unsupported
from limnos.model.contract import Contract, RuleSpec
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration
from limnos.quality.rules.expression import fault
from limnos.quality.rules.shape import Row, RowRule
from limnos.quality.rules.typed import Value, comparable


@dataclass(frozen=True, slots=True)
class Sql(RowRule):
    """Insist that an SQL condition on the columns of one row holds; where it is null, the rule does not apply."""

    kind: ClassVar[str] = "sql"
    dimension: ClassVar[Dimension] = Dimension.CONSISTENCY
    expression: str

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Sql:
        """Build from `expression`; columns are named only to say whom a failure concerns."""
        declaration = Declaration.read(spec, contract, "expression")
        if spec.columns:
            declaration.columns()
        expression = spec.arguments.get("expression")
        if not isinstance(expression, str):
            raise declaration.invalid("expression is not a text", str(expression), "an SQL condition")
        if why := fault(expression):
            raise declaration.invalid("expression is not one SQL condition", expression, why)
        return cls(declaration.spec, expression)

    def promise(self) -> str:
        """Say what must hold."""
        return f"must hold: {self.expression}"

    def judged(self) -> tuple[str, ...]:
        """Leave nulls to the expression."""
        return ()

    def applies(self) -> str:
        """Apply where the condition is not null."""
        # Slots make the zero-argument super() of a rebuilt class fail.
        return f"{RowRule.applies(self)} AND ({self.expression}) IS NOT NULL"

    def broken(self) -> str:
        """Find where the condition does not hold."""
        return f"NOT ({self.expression})"

    def knows(self, row: Row) -> bool:
        """Apply where the condition is not null."""
        return _evaluate(self.expression, row) is not None

    def breaks(self, row: Row) -> bool:
        """Find where the condition does not hold."""
        return _evaluate(self.expression, row) is False


_OPERATORS: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SPELLED = (
    (re.compile(r"<>"), "!="),
    (re.compile(r"(?<![<>!=])=(?!=)"), "=="),
    (re.compile(r"\bNULL\b", re.IGNORECASE), "None"),
    (re.compile(r"\b(AND|OR|NOT|IS)\b", re.IGNORECASE), lambda match: match[0].lower()),
)


def _evaluate(expression: str, row: Row) -> Value:
    """Evaluate the part of SQL that reads as Python does: comparison, AND, OR, NOT, IS NULL and + - * on columns and numbers."""
    for pattern, spelled in _SPELLED:
        expression = pattern.sub(spelled, expression)
    return _value(ast.parse(expression, mode="eval").body, row)


def _value(node: ast.AST, row: Row) -> Value:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return row[name]
        case ast.BoolOp(op=op, values=nodes):
            values = [_value(each, row) for each in nodes]
            decisive = isinstance(op, ast.Or)
            return decisive if decisive in values else None if None in values else not decisive
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            value = _value(operand, row)
            return None if value is None else not value
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as op], comparators=[ast.Constant(value=None)]):
            return (_value(left, row) is None) is isinstance(op, ast.Is)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            sides = [_value(side, row) for side in (left, right)]
            return None if None in sides else _OPERATORS[type(op)](*(comparable(side) for side in sides))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            sides = [_value(side, row) for side in (left, right)]
            return None if None in sides else _OPERATORS[type(op)](*sides)
        case _:
            raise Unsupported("The oracle does not read this SQL", subject="sql", seen=ast.dump(node), hint="limnos explain sql")
