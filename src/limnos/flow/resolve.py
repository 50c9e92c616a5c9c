"""Settle a table's contract from what the user declared, what is published, and what the source says."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from limnos.errors import SchemaDrift
from limnos.model.contract import Column, Contract, Drift, RuleSpec
from limnos.model.names import TableName
from limnos.model.project import SourceTable, TableConfig
from limnos.model.types import canonical, type_name


@dataclass(frozen=True, slots=True)
class Settled:
    """Hold the contract that a load is judged by, what is worth telling of it, and which of its rules the source itself promises."""

    contract: Contract
    notes: tuple[str, ...] = ()
    source_rules: tuple[RuleSpec, ...] = ()


def settle(
    target: SourceTable,
    config: TableConfig,
    described: Contract | None,
    published: pa.Schema | None,
    lake_tables: Mapping[TableName, TableName],
) -> Settled:
    """Settle the contract: declared columns win over published ones, published types over the source's.

    `described` is the source's own word, None where the contract is declared or published and the source has no more to say.
    `lake_tables` maps a source table's default lake name to the lake table it lands in.
    """
    columns = _columns(config, described, published)
    promised, notes = _promised(described, lake_tables)
    rules = {rule.name: rule for rule in (*promised, *config.rules)}
    key = config.key or target.key or (described.key if described else ())
    contract = Contract(
        table=target.target,
        columns=columns,
        key=key,
        rules=_with_promises(rules.values(), columns, key, config),
        partitions=config.partitions,
        drift=config.drift,
        on_fail=config.on_fail,
        owner=config.owner,
        description=config.description or (described.description if described else ""),
        place=config.place,
    )
    return Settled(contract, tuple(notes), promised)


def _columns(config: TableConfig, described: Contract | None, published: pa.Schema | None) -> tuple[Column, ...]:
    said = {column.name: column for column in described.columns} if described else {}
    kept = {field.name: canonical(field.type) for field in published} if published is not None else {}
    if config.declared:
        accepted = [name for name in kept if name not in {column.name for column in config.columns}]
        return (*config.columns, *(Column(name, kept[name]) for name in accepted))
    declared = {column.name: column for column in config.columns}
    return tuple(
        declared.get(name)
        or replace(said.get(name) or Column(name, kept[name]), type=_baseline(kept.get(name), said.get(name), config.drift.type))
        for name in dict.fromkeys([*(said or kept), *declared])
    )


def _baseline(kept: pa.DataType | None, said: Column | None, on_retype: Drift) -> pa.DataType:
    if kept is None or (said is not None and on_retype is Drift.ACCEPT):
        assert said is not None  # noqa: S101 a column comes from one of the two
        return said.type
    return kept


def _promised(described: Contract | None, lake_tables: Mapping[TableName, TableName]) -> tuple[tuple[RuleSpec, ...], list[str]]:
    """Give the source's own rules, its foreign keys pointing at lake tables, and say which cannot be checked."""
    rules: list[RuleSpec] = []
    notes: list[str] = []
    for rule in described.rules if described else ():
        if rule.kind != "foreign_key":
            rules.append(rule)
            continue
        parent = TableName.parse(str(rule.arguments["references"]))
        if parent in lake_tables:
            rules.append(replace(rule, arguments={**rule.arguments, "references": str(lake_tables[parent])}))
        else:
            notes.append(f"{rule.name} is not checked: {parent} is not in the lake")
    return tuple(rules), notes


def again(target: TableName, config: TableConfig, promised: tuple[RuleSpec, ...], published: pa.Schema) -> Contract:
    """Settle the contract of a published table without its source: what is declared today, and what the source promised last."""
    parents = {TableName.parse(str(rule.arguments["references"])) for rule in promised if rule.kind == "foreign_key"}
    columns = tuple(Column(field.name, canonical(field.type)) for field in published)
    described = Contract(target, columns, rules=promised)
    return settle(SourceTable(target.name, target), config, described, published, {parent: parent for parent in parents}).contract


def _with_promises(rules: Iterable[RuleSpec], columns: Sequence[Column], key: tuple[str, ...], config: TableConfig) -> tuple[RuleSpec, ...]:
    """Add the rules that columns and key imply, where none says so already."""
    found = list(rules)
    covered = {rule.columns for rule in found if rule.kind in {"not_null", "primary_key"}}
    if key and not any(rule.kind == "primary_key" for rule in found):
        found.append(RuleSpec("primary_key", key, place=config.place))
        covered.add(key)
    in_key = {name for rule in found if rule.kind == "primary_key" for name in rule.columns}
    silent = [column.name for column in columns if column.required and (column.name,) not in covered and column.name not in in_key]
    return (*found, *(RuleSpec("not_null", (name,), place=config.place) for name in silent))


def meet_drift(
    settled: Settled, raw: Sequence[str], types: Mapping[str, pa.DataType], published: pa.Schema | None, config: TableConfig
) -> Settled:
    """Compare what was declared and published with the columns that the source has now, and do what the drift policy says.

    `types` gives the source's type of each column that the contract does not have.

    Raises:
        SchemaDrift: If a column is gone or new and the policy does not accept it.
    """
    contract = settled.contract
    kept = {field.name: canonical(field.type) for field in published} if published is not None else {}
    baseline = dict.fromkeys([*(column.name for column in config.columns), *kept])
    missing = [name for name in baseline if name not in raw]
    if missing and contract.drift.drop is not Drift.ACCEPT:
        known = [*baseline, *(name for name in contract.names if name not in baseline)]
        raise _gone(contract, known, missing, [name for name in raw if name not in baseline])
    new = [name for name in raw if name not in baseline] if config.declared or kept else []
    if new and contract.drift.add is not Drift.ACCEPT:
        raise _new(contract, list(baseline), new)
    columns = (*contract.columns, *(Column(name, types[name]) for name in raw if name not in contract.names))
    contract = replace(contract, columns=columns)
    notes = [*settled.notes, *(f"column {name} is gone from the source and stays empty" for name in missing)]
    notes += [f"column {name} is new: {type_name(contract.column(name).type)}" for name in new]
    notes += [
        f"column {column.name} changes its type from {type_name(kept[column.name])} to {type_name(column.type)}"
        for column in columns
        if column.name in kept and kept[column.name] != column.type
    ]
    return replace(settled, contract=contract, notes=tuple(dict.fromkeys(notes)))


def _gone(contract: Contract, known: Sequence[str], missing: Sequence[str], unknown: Sequence[str]) -> SchemaDrift:
    near = difflib.get_close_matches(missing[0], unknown, n=1) or list(unknown[:1])
    renamed = f" (renamed to {near[0]}?)" if near else ""
    return SchemaDrift(
        f"The source of {contract.table} lacks a column",
        subject=f"{contract.table}: {', '.join(missing)}",
        seen=f"no column {missing[0]}{renamed}",
        expected=f"the columns {', '.join(known)}",
        hint=f"mend the source, or write tables: {contract.table}: drift: {{drop: accept}}",
    )


def _new(contract: Contract, known: Sequence[str], added: Sequence[str]) -> SchemaDrift:
    return SchemaDrift(
        f"The source of {contract.table} has a column that its contract does not",
        subject=f"{contract.table}: {', '.join(added)}",
        seen=f"a column {added[0]}",
        expected=f"the columns {', '.join(known)}",
        hint=f"declare it, or write tables: {contract.table}: drift: {{add: accept}}",
    )


def references(contract: Contract) -> frozenset[TableName]:
    """Name the other tables that a contract's foreign keys refer to."""
    named = {TableName.parse(str(rule.arguments["references"])) for rule in contract.rules if rule.kind == "foreign_key"}
    return frozenset(named - {contract.table})
