"""The rules, one file each; a rule exists when it is in `KINDS`."""

from __future__ import annotations

from collections.abc import Mapping

from limnos.errors import RuleInvalid
from limnos.model.contract import Contract, RuleSpec
from limnos.ports import Rule
from limnos.quality.rules.accepted_values import AcceptedValues
from limnos.quality.rules.declaration import Declaration, unknown_kind
from limnos.quality.rules.foreign_key import ForeignKey
from limnos.quality.rules.freshness import Freshness
from limnos.quality.rules.length import Length
from limnos.quality.rules.not_null import NotNull
from limnos.quality.rules.primary_key import PrimaryKey
from limnos.quality.rules.range import Range
from limnos.quality.rules.regex import Regex
from limnos.quality.rules.row_count import RowCount
from limnos.quality.rules.sql import Sql
from limnos.quality.rules.unique import Unique

KINDS: Mapping[str, type[Rule]] = {
    "accepted_values": AcceptedValues,
    "foreign_key": ForeignKey,
    "freshness": Freshness,
    "length": Length,
    "not_null": NotNull,
    "primary_key": PrimaryKey,
    "range": Range,
    "regex": Regex,
    "row_count": RowCount,
    "sql": Sql,
    "unique": Unique,
}


def build(spec: RuleSpec, contract: Contract) -> Rule:
    """Build one declared rule; a severity that it does not name is the contract's `on_fail`.

    Raises:
        RuleInvalid: If the kind, a column, an argument or a type does not fit; it names the place of the declaration.
    """
    if spec.kind not in KINDS:
        raise unknown_kind(spec, contract, KINDS)
    return KINDS[spec.kind].build(spec, contract)


def build_all(contract: Contract) -> tuple[Rule, ...]:
    """Build every rule of a contract, in order.

    Raises:
        RuleInvalid: If one does not fit, or two bear one name.
    """
    seen: set[str] = set()
    for spec in contract.rules:
        if spec.name in seen:
            raise _twice(spec, contract)
        seen.add(spec.name)
    return tuple(build(spec, contract) for spec in contract.rules)


def _twice(spec: RuleSpec, contract: Contract) -> RuleInvalid:
    return Declaration(spec, contract).invalid(f"Two rules are called {spec.name}", spec.name, "a `name` of its own for each")
