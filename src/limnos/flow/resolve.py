"""Settle a table's contract from what the user declared, what is published, and what the source says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from limnos.model.bookkeeping import Bookkeeping
from limnos.model.contract import Column, Contract, Drift, RuleSpec
from limnos.model.names import TableName
from limnos.model.project import SourceTable, TableConfig
from limnos.model.types import canonical, widens


@dataclass(frozen=True, slots=True)
class Settled:
    """Hold the contract that a load is judged by, what is worth telling of it, and which of its rules the source itself promises."""

    contract: Contract
    notes: tuple[str, ...] = ()
    source_rules: tuple[RuleSpec, ...] = ()

    def noted(self, *notes: str) -> Settled:
        """Add what is worth telling."""
        return replace(self, notes=(*self.notes, *notes))


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
        or replace(said.get(name) or Column(name, kept[name]), type=_baseline(kept.get(name), said.get(name), config.drift.on(name).type))
        for name in dict.fromkeys([*(said or kept), *declared])
    )


def _baseline(kept: pa.DataType | None, said: Column | None, on_retype: Drift) -> pa.DataType:
    """Give the type of a column that nobody declared: the published one, unless another is accepted or Iceberg widens it in place."""
    if kept is None:
        assert said is not None  # noqa: S101 a column comes from one of the two
        return said.type
    if said is None or widens(canonical(said.type), kept):
        return kept
    follows = on_retype is Drift.ACCEPT or (on_retype is Drift.KEEP_BOTH and widens(kept, canonical(said.type)))
    return said.type if follows else kept


def _promised(described: Contract | None, lake_tables: Mapping[TableName, TableName]) -> tuple[tuple[RuleSpec, ...], list[str]]:
    """Give the source's own rules, its foreign keys pointing at lake tables, and say which cannot be checked."""
    rules: list[RuleSpec] = []
    notes: list[str] = []
    # A table of the source may have a name that no table of the lake can have.
    known = {str(source): target for source, target in lake_tables.items()}
    for rule in described.rules if described else ():
        if rule.kind != "foreign_key":
            rules.append(rule)
            continue
        parent = str(rule.arguments["references"])
        if parent in known:
            rules.append(replace(rule, arguments={**rule.arguments, "references": str(known[parent])}))
        else:
            notes.append(f"{rule.name} is not checked: {parent} is not in the lake")
    return tuple(rules), notes


def again(config: TableConfig, promised: tuple[RuleSpec, ...], published: pa.Schema, kept: Bookkeeping) -> Contract:
    """Settle the contract of a published table without its source: what is declared today, and what the source promised last."""
    target = config.table
    parents = {TableName.parse(str(rule.arguments["references"])) for rule in promised if rule.kind == "foreign_key"}
    own = pa.schema([field for field in published if field.name not in kept.names])
    described = Contract(target, tuple(Column(field.name, canonical(field.type)) for field in own), rules=promised)
    settled = settle(SourceTable(target.name, target), config, described, own, {parent: parent for parent in parents})
    return kept.kept_in(settled.contract)


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


def references(contract: Contract) -> frozenset[TableName]:
    """Name the other tables that a contract's rules look at; of free SQL, every name that could be one."""
    named = [other.partition(".") for rule in contract.rules for other in rule.others]
    return frozenset(TableName(namespace, name) for namespace, _, name in named if TableName.fits(namespace, name)) - {contract.table}
