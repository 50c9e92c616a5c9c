"""Profile: what a published table holds, in numbers; nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from limnos.discovery.inclusions import ParentKey, Parents, names_it
from limnos.discovery.keys import find_keys
from limnos.discovery.profile import Column, Limits, profile_columns, without_values
from limnos.errors import UnknownName
from limnos.flow.parts import Parts
from limnos.flow.resolve import again
from limnos.flow.sourcing import bookkeeping_of, config_of, current_rows
from limnos.ledger.events import Mark
from limnos.model.contract import Contract
from limnos.model.data import Relation, Snapshot
from limnos.model.decision import Action, Decision
from limnos.model.names import TableName
from limnos.model.profile import ColumnProfile, Inclusion, TableProfile
from limnos.model.types import type_name
from limnos.ports import Session
from limnos.tables.entries import QUARANTINE

MOST_PARENT_ROWS = 10_000_000
_MOST_PARENTS = 20


@dataclass(frozen=True, slots=True)
class Profiled:
    """Hold a table's profile with all its values, and the contract that holds today."""

    profile: TableProfile
    contract: Contract


def profile(parts: Parts, table: TableName, *, column: str = "", as_of: datetime | None = None, personal: bool = False) -> TableProfile:
    """Profile a table as it is published, or was at `as_of`, or one column of it; `personal` shows the values of personal data too.

    Raises:
        UnknownName: If there is no such table or column.
        Refused: If the policy refuses the table.
    """
    found = measured(parts, table, column=column, as_of=as_of).profile
    masked = parts.demand(Action.READ, table).masks
    return replace(
        found,
        columns=tuple(
            without_values(one) if one.hidden and (not personal or one.name in masked) else replace(one, hidden=False)
            for one in found.columns
        ),
    )


def measured(parts: Parts, table: TableName, *, column: str = "", as_of: datetime | None = None, limits: Limits | None = None) -> Profiled:
    """Profile a table with all its values, for those who decide themselves what to show."""
    start = time.perf_counter()
    pinned = {name: snapshot for name, snapshot in parts.catalog.pin(as_of).items() if name != QUARANTINE.table}
    if table not in pinned:
        raise UnknownName.among("published table", str(table), map(str, pinned), hint="limnos status")
    decision = parts.demand(Action.READ, table)
    marks = parts.ledger.marks()
    relation = parts.catalog.relation(pinned[table])
    contract = _contract(parts, relation, marks.get(table))
    schema = relation.schema
    if column:
        if column not in schema.names:
            raise UnknownName.among(f"column of {table}", column, schema.names, hint=f"limnos profile {table}")
        schema = schema.empty_table().select([column]).schema
    told = _told(contract, decision)
    with parts.engine.session() as session:
        rows = f"({_allowed(session.relation(relation), decision)})"
        keys = Parents.of(session, tuple(_parent_keys(parts, session, contract, pinned, marks)))
        columns: list[ColumnProfile] = []
        inclusions: list[Inclusion] = []
        for one, included in profile_columns(session, rows, schema, relation.rows, keys, limits=limits or Limits(), told=told):
            columns.append(one)
            inclusions += included
            parts.step("profile", table, one.name, done=len(columns), total=len(schema))
        identifying = find_keys(session, rows, columns, () if column else _key(contract))
    return Profiled(
        TableProfile(
            table,
            pinned[table],
            columns[0].rows if columns else relation.rows,
            tuple(columns),
            identifying,
            tuple(inclusions),
            tuple(_notes(columns, decision)),
            time.perf_counter() - start,
        ),
        contract,
    )


def _contract(parts: Parts, relation: Relation, mark: Mark | None) -> Contract:
    table = relation.table
    return again(config_of(parts, table), mark.source_rules if mark else (), relation.schema, bookkeeping_of(parts, table))


def _key(contract: Contract) -> tuple[str, ...]:
    """Give the declared key; what the source promises is there as a rule only."""
    return contract.key or next((rule.columns for rule in contract.rules if rule.kind == "primary_key"), ())


def _allowed(rows: str, decision: Decision) -> str:
    return f"SELECT * FROM ({rows}) WHERE ({decision.row_filter})" if decision.row_filter else rows


def _told(contract: Contract, decision: Decision) -> Mapping[str, Column]:
    references: dict[str, set[tuple[TableName, str]]] = {}
    for parent, own, theirs in _references(contract):
        references.setdefault(own, set()).add((parent, theirs))
    return {
        column.name: Column(column.classification, frozenset(references.get(column.name, ())), column.name in decision.masks)
        for column in contract.columns
    }


def _references(contract: Contract) -> Iterator[tuple[TableName, str, str]]:
    """Give the single columns that are declared to refer to a column of another table."""
    for rule in contract.rules:
        parents = rule.arguments.get("columns") if rule.kind == "foreign_key" else None
        if isinstance(parents, list) and len(rule.columns) == 1 == len(parents):
            yield TableName.parse(str(rule.arguments["references"])), rule.columns[0], str(parents[0])


def _parent_keys(
    parts: Parts, session: Session, contract: Contract, pinned: Mapping[TableName, Snapshot], marks: Mapping[TableName, Mark]
) -> Iterator[ParentKey]:
    """Give the keys of the tables that are declared or named as parents, and of the smallest others; what may not be read is left out."""
    said = {parent for parent, _, _ in _references(contract)}
    others = 0
    for snapshot in sorted(pinned.values(), key=lambda snapshot: (snapshot.table not in said, snapshot.rows)):
        table = snapshot.table
        decision = parts.policy.decide(parts.principal, Action.READ, table)
        if table == contract.table or not 0 < snapshot.rows <= MOST_PARENT_ROWS or not decision.allowed or decision.row_filter:
            continue
        relation = parts.catalog.relation(snapshot)
        parent = _contract(parts, relation, marks.get(table))
        for name in _single_keys(parent, decision):
            key = ParentKey(table, name, type_name(parent.column(name).type), partial(current_rows, parts, session, relation))
            close = table in said or any(names_it(column.name, key) for column in contract.columns)
            others += not close
            if close or others <= _MOST_PARENTS:
                yield key


def _single_keys(parent: Contract, decision: Decision) -> Iterator[str]:
    keys = {rule.columns for rule in parent.rules if rule.kind in ("primary_key", "unique") and rule.at_least == 1 and not rule.where}
    for names in sorted({parent.key, *keys}):
        if len(names) == 1 and names[0] in parent.names and names[0] not in decision.masks:
            yield names[0]


def _notes(columns: list[ColumnProfile], decision: Decision) -> Iterator[str]:
    sampled = [column.name for column in columns if "distinct" in column.approximate]
    if sampled:
        yield f"of {', '.join(sampled)}, how many values there are is an estimate, and quantiles, top values and patterns are of a sample"
    if decision.row_filter:
        yield "only the rows that the policy shows"
