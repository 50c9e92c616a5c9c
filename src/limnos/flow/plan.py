"""Plan: say what a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import pyarrow as pa

from limnos.errors import LimnosError
from limnos.flow.feed import Feeds
from limnos.flow.load import preview
from limnos.flow.loading import Loading, Versions
from limnos.flow.parts import Parts
from limnos.flow.run import ordered
from limnos.flow.sourcing import Opened, candidates
from limnos.model.contract import Contract
from limnos.model.decision import Action
from limnos.model.run import Plan, TablePlan
from limnos.model.types import canonical, type_name


def plan(parts: Parts, patterns: Sequence[str]) -> Plan:
    """Say what a run of the chosen tables would do; reads catalogs and fingerprints, no rows.

    Raises:
        UnknownName: If a pattern matches nothing.
    """
    parts.demand(Action.RUN)
    versions = Versions(parts.catalog.pin(), parts.ledger.marks())
    planned: list[TablePlan] = []
    with ExitStack() as stack:
        for candidate in ordered(parts, candidates(Opened(parts, stack), patterns)):
            table = candidate.table.target
            source = f"{candidate.source.name}.{candidate.table.name}"
            try:
                found = preview(Loading(parts, "", candidate, versions, Feeds(stack, {})))
            except LimnosError as error:
                planned.append(TablePlan(table, source, "stop", changes=(error.what,), error=error.as_json()))
                continue
            snapshot = versions.published.get(table)
            schema = parts.catalog.relation(snapshot).schema if snapshot else None
            changes = (*_changes(found.contract, schema), *found.notes)
            rules = tuple(f"{rule.name} ({rule.severity or found.contract.on_fail})" for rule in found.contract.rules)
            one = TablePlan(table, source, "create" if schema is None else "load", None, changes, rules)
            if schema is not None and found.unchanged:
                one = replace(one, action="skip", rows=snapshot.rows if snapshot else None)
            elif schema is not None and changes:
                one = replace(one, action="evolve")
            elif schema is not None and found.merges:
                one = replace(one, action="merge")
            planned.append(one)
    return Plan(tuple(planned))


def _changes(contract: Contract, published: pa.Schema | None) -> tuple[str, ...]:
    if published is None:
        return tuple(f"+ {column.name} {type_name(column.type)}" for column in contract.columns)
    renamed = contract.drifted.renamed
    kept = {renamed.get(field.name, field.name): canonical(field.type) for field in published}
    added = [f"+ {column.name} {type_name(column.type)}" for column in contract.columns if column.name not in kept]
    retyped = [
        f"~ {column.name} {type_name(kept[column.name])} -> {type_name(column.type)}"
        for column in contract.columns
        if column.name in kept and kept[column.name] != column.type
    ]
    return (*added, *retyped)
