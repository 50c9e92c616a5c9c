"""Add rules to limnos.yml without touching what else stands there: comments, order and spacing stay."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from limnos.errors import ProjectInvalid
from limnos.model.contract import RuleSpec
from limnos.model.names import TableName
from limnos.project.nodes import parse_nodes, plain
from limnos.project.odcs_write import write_yaml


def check_entry(rule: RuleSpec) -> Mapping[str, object]:
    """Write a rule as an entry of `checks`, which `read_checks` reads back as the same rule.

    Examples:
        >>> check_entry(RuleSpec("not_null", ("id",))), check_entry(RuleSpec("range", ("n",), {"min": 0}))
        ({'not_null': 'id'}, {'range': {'column': 'n', 'min': 0}})
    """
    arguments: dict[str, object] = dict(rule.arguments)
    if "references" in arguments:
        arguments["references"] = {"table": arguments["references"], "columns": arguments.pop("columns")}
    if rule.severity is not None:
        arguments["severity"] = rule.severity.value
    if rule.at_least != 1:
        arguments["at_least"] = rule.at_least
    if rule.where:
        arguments["where"] = rule.where
    names: list[str] = list(rule.columns)
    if not names:
        return {rule.kind: arguments}
    word, said = ("column", names[0]) if len(names) == 1 else ("columns", names)
    return {rule.kind: {word: said, **arguments} if arguments else said}


def amended(text: str, table: TableName, rules: Sequence[tuple[RuleSpec, str]], name: str) -> str:
    """Give the text of limnos.yml with these rules added under `checks` of a table, each with a comment; `name` is the file's.

    Raises:
        ProjectInvalid: If they have to be added by hand, for the text is written in a way that this cannot follow.
    """
    text = text if text.endswith("\n") else f"{text}\n"
    entries = [check_entry(rule) for rule, _ in rules]
    lines = [(write_yaml(entry, flow=True)[1:-1], comment) for entry, (_, comment) in zip(entries, rules, strict=True)]
    made = _Amendment(text, str(table), lines).made()
    expected: Any = copy.deepcopy(plain(parse_nodes(text, name)))
    expected["tables"] = expected.get("tables") or {}
    said = expected["tables"][str(table)] = expected["tables"].get(str(table)) or {}
    said["checks"] = [*(said.get("checks") or []), *entries]
    try:
        found = plain(parse_nodes(made, name))
    except ProjectInvalid:
        found = None
    if found != expected:
        raise ProjectInvalid(
            "The rules cannot be added here without writing the file anew",
            subject=f"{name}: tables: {table}",
            seen="a notation that is not followed",
            expected="`tables:` and its entries in block style, or without aliases",
            hint=f"add them by hand: limnos suggest {table}",
        )
    return made


class _Amendment:
    """Insert the lines of new checks where they belong; `entries` are the checks, without braces, and their comments."""

    def __init__(self, text: str, table: str, entries: Sequence[tuple[str, str]]) -> None:
        self._text = text
        self._table = table
        self._entries = [(entry, f"  # {comment}" if comment else "") for entry, comment in entries]

    def made(self) -> str:
        root = yaml.compose(self._text, Loader=yaml.SafeLoader)
        key, tables = _entry(root, "tables")
        if key is None:
            return self._text + "\n" + self._after_nothing("tables:\n", "  ")
        if not isinstance(tables, yaml.MappingNode):
            return self._inserted(key.end_mark.line, self._after_nothing("", "  "))
        indent = " " * tables.start_mark.column
        key, said = _entry(tables, self._table)
        if key is None and tables.flow_style:
            return self._closed(tables, bool(tables.value), f"{self._table}: {{checks: {self._flow('    ')}}}")
        if key is None:
            return self._inserted(_last_line(tables), self._after_nothing("", indent))
        if not isinstance(said, yaml.MappingNode):
            return self._inserted(key.end_mark.line, f"{indent}  checks:\n{self._block(f'{indent}    ')}")
        return self._in_table(said)

    def _in_table(self, said: yaml.MappingNode) -> str:
        key, checks = _entry(said, "checks")
        indent = " " * said.start_mark.column
        if isinstance(checks, yaml.SequenceNode):
            if checks.flow_style:
                inner = ", ".join(f"{{{entry}}}" for entry, _ in self._entries)
                return self._closed(checks, bool(checks.value), inner)
            return self._inserted(_last_line(checks), self._block(" " * checks.start_mark.column))
        if key is not None:
            return self._inserted(key.end_mark.line, self._block(f"{indent}  "))
        if said.flow_style:
            return self._closed(said, bool(said.value), f"checks: {self._flow('      ')}")
        return self._inserted(_last_line(said), f"{indent}checks:\n{self._block(f'{indent}  ')}")

    def _after_nothing(self, head: str, indent: str) -> str:
        return f"{head}{indent}{self._table}:\n{indent}  checks:\n{self._block(f'{indent}    ')}"

    def _block(self, indent: str) -> str:
        return "".join(f"{indent}- {entry}{comment}\n" for entry, comment in self._entries)

    def _flow(self, indent: str) -> str:
        marks = [","] * (len(self._entries) - 1) + [""]
        lines = (f"{indent}{{{entry}}}{mark}{comment}\n" for (entry, comment), mark in zip(self._entries, marks, strict=True))
        return f"[\n{''.join(lines)}{indent[2:]}]"

    def _inserted(self, line: int, text: str) -> str:
        lines = self._text.splitlines(keepends=True)
        return "".join([*lines[: line + 1], text, *lines[line + 1 :]])

    def _closed(self, node: yaml.Node, filled: bool, text: str) -> str:  # noqa: FBT001 private
        at = node.end_mark.index - 1
        return f"{self._text[:at]}{', ' if filled else ''}{text}{self._text[at:]}"


def _entry(node: yaml.Node | None, name: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and key.value == name:
            return key, value
    return None, None


def _last_line(node: yaml.Node) -> int:
    """Give the last line that a node has words on; the end that a block mapping itself names lies beyond blanks and comments."""
    if isinstance(node, yaml.ScalarNode) or getattr(node, "flow_style", False):
        return node.end_mark.line if node.end_mark.column else node.end_mark.line - 1
    inner = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    return max((_last_line(one) for one in inner), default=node.start_mark.line)
