"""Choose tables by pattern, and put parents before children."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from limnos.errors import UnknownName
from limnos.model.names import TableName


def matching(tables: Iterable[TableName], patterns: Sequence[str]) -> tuple[TableName, ...]:
    """Choose the tables that match any pattern, `shop.*` for instance; no pattern chooses all.

    Raises:
        UnknownName: If a pattern matches nothing.

    Examples:
        >>> [str(table) for table in matching([TableName("a", "x"), TableName("b", "y")], ["a.*"])]
        ['a.x']
    """
    known = sorted(tables)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(str(table), pattern) for table in known):
            raise UnknownName.among("table", pattern, map(str, known), hint="limnos status")
    return tuple(table for table in known if not patterns or any(fnmatch.fnmatchcase(str(table), pattern) for pattern in patterns))


def parents_first(
    parents: Mapping[TableName, frozenset[TableName]], told: Mapping[TableName, frozenset[TableName]] | None = None
) -> tuple[TableName, ...]:
    """Order tables so that each comes after the tables it refers to; a cycle, which only warnings may form, is cut anywhere.

    `told` are further references, of rules that only warn: they are followed where that makes no cycle.

    Examples:
        >>> child, parent = TableName("a", "child"), TableName("a", "parent")
        >>> [table.name for table in parents_first({child: frozenset({parent}), parent: frozenset()}, {parent: frozenset({child})})]
        ['parent', 'child']
    """
    before = {table: set(others) for table, others in parents.items()}
    for table, others in sorted((told or {}).items()):
        before.get(table, set[TableName]()).update(other for other in sorted(others) if not _leads(before, other, table))
    ordered: list[TableName] = []
    visiting: set[TableName] = set()

    def visit(table: TableName) -> None:
        if table in visiting or table in ordered:
            return
        visiting.add(table)
        for parent in sorted(before.get(table, ())):
            if parent in before:
                visit(parent)
        ordered.append(table)

    for table in sorted(before):
        visit(table)
    return tuple(ordered)


def _leads(before: Mapping[TableName, set[TableName]], start: TableName, end: TableName) -> bool:
    """Tell whether one table refers to another, be it through others."""
    reached, open_ = {start}, [start]
    while open_:
        more = before.get(open_.pop(), set()) - reached
        reached |= more
        open_ += more
    return end in reached
