"""Import: rules out of the files of other tools, into the contracts of a project."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from limnos.errors import RequestError, UnknownName
from limnos.model.contract import RuleSpec
from limnos.model.imported import ImportedTable
from limnos.model.names import TableName
from limnos.model.project import Project, TableConfig
from limnos.project.nodes import read_text
from limnos.project.notations import FORMATS, NAMELESS, Imported, Tables, distinct, read_notation
from limnos.project.odcs_edit import Edited, with_rules


def import_rules(
    project: Project, form: str, file: Path, table: TableName | None, *, write: bool, partial: bool
) -> tuple[ImportedTable, ...]:
    """Translate a file, and with `write` add the new rules to the tables' contracts; all of it or nothing.

    Where anything is refused, nothing is written unless `partial`. What a table promises already is not added again.

    Raises:
        UnknownName: If there is no such format, or the file says nothing of `table`.
        RequestError: If the format names no table and `table` is not given.
        ProjectInvalid: If the file is not of that format, or a contract cannot take the rules.
    """
    if form not in FORMATS:
        raise UnknownName.among("format", form, FORMATS, hint="limnos explain notations")
    if table is None and form in NAMELESS:
        raise RequestError(
            "The file does not say which table it is about",
            subject=str(file),
            seen=f"a file of {form}",
            expected="--table NAME",
            hint=f"limnos import {form} {file} --table NAMESPACE.NAME",
        )
    open_ = frozenset(source.namespace for source in project.sources if source.every)
    known = frozenset([*project.tables, *(one.target for source in project.sources for one in source.tables)])
    found = read_notation(form, read_text(file, str(file)), str(file), _named(table, known, open_, str(file)))
    drafts = [_draft(project, target, one) for target, one in _chosen(found, table, known, open_, str(file))]
    if not write or (not partial and any(draft.refused for draft, _ in drafts)):
        return tuple(draft for draft, _ in drafts)
    for _, edited in drafts:
        if edited is not None:
            path = project.root / edited.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(edited.after, encoding="utf-8")
    return tuple(replace(draft, written=edited is not None) for draft, edited in drafts)


def _named(table: TableName | None, known: frozenset[TableName], open_: frozenset[str], file: str) -> Callable[[str], Tables]:
    def own(name: str) -> Tables:
        return Tables(table or _found(name, known, open_, file), known, open_)

    return own


def _found(name: str, known: frozenset[TableName], open_: frozenset[str], file: str) -> TableName:
    """Find the lake's table that a file means by a name of its own; the only open namespace takes those that nobody knows."""
    last = name.rpartition(".")[2]
    same = [one for one in known if one.name == last and (name == last or str(one) == name)] or [one for one in known if one.name == last]
    if not same and len(open_) == 1 and TableName.fits(min(open_), last):
        same = [TableName(min(open_), last)]
    if len(same) != 1:
        unknown = UnknownName.among("one table", name, map(str, same or known), hint=f"limnos import FORMAT {file} --table NAME")
        unknown.subject = f"{name} in {file}"
        raise unknown
    return same[0]


def _chosen(
    found: Sequence[Imported], table: TableName | None, known: frozenset[TableName], open_: frozenset[str], file: str
) -> list[tuple[TableName, Imported]]:
    """Pair what was read with the tables it is about; of several, `--table` takes those of its last name."""
    if table is None:
        pairs = [(_found(one.table, known, open_, file), one) for one in found]
    else:
        named = [one for one in found if one.table.rpartition(".")[2] == table.name] if len(found) > 1 else found
        if not named and found:
            raise UnknownName.among("table in the file", table.name, (one.table for one in found), hint="limnos import --help")
        pairs = [(table, one) for one in named]
    merged: dict[TableName, Imported] = {}
    for target, one in pairs:
        first = merged.get(target, Imported(one.table))
        merged[target] = Imported(one.table, distinct((*first.rules, *one.rules)), (*first.refused, *one.refused))
    return list(merged.items())


def _draft(project: Project, table: TableName, found: Imported) -> tuple[ImportedTable, Edited | None]:
    promised = project.tables.get(table, TableConfig(table)).rules
    rules = distinct(found.rules, taken=promised)
    known = tuple(rule for rule in found.rules if _said(rule, promised))
    if not rules:
        return ImportedTable(table, (), known, found.refused), None
    edited = with_rules(project.root, table, rules)
    lines = difflib.unified_diff(
        edited.before.splitlines(keepends=True),
        edited.after.splitlines(keepends=True),
        edited.file if edited.before else "/dev/null",
        edited.file,
    )
    return ImportedTable(table, rules, known, found.refused, edited.file, "".join(lines)), edited


def _said(rule: RuleSpec, promised: Sequence[RuleSpec]) -> bool:
    return any(one.name in (rule.name, f"{rule.name}:{rule.version}") and one.version == rule.version for one in promised)
