"""Export: the contracts of tables as ODCS files, with all their rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from limnos.errors import TargetExists
from limnos.flow.parts import Parts
from limnos.flow.resolve import again
from limnos.flow.select import matching
from limnos.flow.sourcing import bookkeeping_of, config_of
from limnos.model.contract import Contract
from limnos.model.decision import Action
from limnos.model.imported import ExportedContract
from limnos.model.names import TableName
from limnos.project.odcs_write import write_contract
from limnos.tables.entries import QUARANTINE


def export_contracts(parts: Parts, patterns: Sequence[str], to: Path | None) -> tuple[ExportedContract, ...]:
    """Write the contracts of the chosen tables, published or declared, as they are judged today; into a directory if one is given.

    Raises:
        UnknownName: If a pattern matches no table.
        TargetExists: If the directory holds another file of that name.
    """
    published = parts.catalog.pin()
    marks = parts.ledger.marks()
    chosen = matching({*published, *parts.project.tables} - {QUARANTINE.table}, patterns)
    contracts: list[Contract] = []
    for table in chosen:
        parts.demand(Action.READ, table)
        config = config_of(parts, table)
        if table in published:
            schema = parts.catalog.relation(published[table]).schema
            mark = marks.get(table)
            contracts.append(again(config, mark.source_rules if mark else (), schema, bookkeeping_of(parts, table)))
        else:
            contracts.append(Contract(table, config.columns, config.key, config.rules, owner=config.owner, description=config.description))
    count = Counter(table.name for table in chosen)
    made = tuple(
        ExportedContract(one.table, _file(one.table, alone=count[one.table.name] == 1), write_contract(one, {}, among=chosen))
        for one in contracts
    )
    if to is not None:
        _lay_down(made, to)
    return made


def _file(table: TableName, *, alone: bool) -> str:
    return f"{table.name if alone else table}.odcs.yaml"


def _lay_down(made: Sequence[ExportedContract], to: Path) -> None:
    for one in made:
        path = to / one.file
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != one.text:
            raise TargetExists(
                "A file is there already",
                subject=str(path),
                seen="another text",
                expected="no such file",
                hint="limnos export contracts --to DIR",
            )
    to.mkdir(parents=True, exist_ok=True)
    for one in made:
        (to / one.file).write_text(one.text, encoding="utf-8")
