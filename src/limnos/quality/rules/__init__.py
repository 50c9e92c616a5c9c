"""The rules, one file each; a rule exists when it is in `KINDS`."""

from __future__ import annotations

from collections.abc import Mapping

from limnos.errors import RuleInvalid
from limnos.model.contract import Contract, RuleSpec
from limnos.ports import Rule
from limnos.quality.rules.aggregate_match import AggregateMatch
from limnos.quality.rules.aggregates import (
    Correlation,
    DistinctCount,
    Entropy,
    Maximum,
    Mean,
    Minimum,
    Quantile,
    Stddev,
    Sum,
    UniqueRatio,
)
from limnos.quality.rules.any_of import AnyOf
from limnos.quality.rules.declaration import Declaration, unknown_kind
from limnos.quality.rules.foreign_key import ForeignKey
from limnos.quality.rules.freshness import Freshness
from limnos.quality.rules.matches_reference import MatchesReference
from limnos.quality.rules.monotonic import Monotonic
from limnos.quality.rules.primary_key import PrimaryKey
from limnos.quality.rules.query import Query
from limnos.quality.rules.referenced_by import ReferencedBy
from limnos.quality.rules.row_change import RowChange
from limnos.quality.rules.row_count import RowCount
from limnos.quality.rules.row_kinds import ROW_KINDS
from limnos.quality.rules.schema_match import SchemaMatch
from limnos.quality.rules.sequence import Sequence
from limnos.quality.rules.unique import Unique

KINDS: Mapping[str, type[Rule]] = {
    **ROW_KINDS,
    "aggregate_match": AggregateMatch,
    "any_of": AnyOf,
    "correlation": Correlation,
    "distinct_count": DistinctCount,
    "entropy": Entropy,
    "foreign_key": ForeignKey,
    "freshness": Freshness,
    "matches_reference": MatchesReference,
    "maximum": Maximum,
    "mean": Mean,
    "minimum": Minimum,
    "monotonic": Monotonic,
    "primary_key": PrimaryKey,
    "quantile": Quantile,
    "query": Query,
    "referenced_by": ReferencedBy,
    "row_change": RowChange,
    "row_count": RowCount,
    "schema_match": SchemaMatch,
    "sequence": Sequence,
    "stddev": Stddev,
    "sum": Sum,
    "unique": Unique,
    "unique_ratio": UniqueRatio,
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
