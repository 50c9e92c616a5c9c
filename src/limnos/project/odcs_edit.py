"""Add rules to a contract's file as text: what a user wrote stays as it is, comments and all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from limnos.errors import LimnosError, TargetExists
from limnos.model.contract import RuleSpec
from limnos.model.names import TableName
from limnos.model.place import Place
from limnos.project.nodes import Mapped, Node, invalid, parse_nodes, read_text
from limnos.project.odcs import read_contracts
from limnos.project.odcs_write import head, quality_entry, write_yaml
from limnos.project.read import contract_files


@dataclass(frozen=True, slots=True)
class Edited:
    """Hold the file of a contract, relative to the project, as it is (empty where there is none) and as it would be."""

    file: str
    before: str
    after: str


def with_rules(root: Path, table: TableName, rules: Sequence[RuleSpec]) -> Edited:
    """Add rules to the contract of a table, or draft one that says nothing else; nothing is written.

    Raises:
        ProjectInvalid: If the contract cannot be read, or is written in a form that a line cannot be added to.
        TargetExists: If the file that the draft would go to is about another table.
    """
    patterns, files = contract_files(root)
    texts = {name: read_text(root / name, name) for name in files}
    for name, text in texts.items():
        if (found := _schema(text, name, table)) is not None:
            after = _added(text, found, rules, name)
            _verify(texts | {name: after}, table, rules, name)
            return Edited(name, text, after)
    name = f"contracts/{table.name}.odcs.yaml"
    if (root / name).exists():
        hint = f"write a contract of {table} yourself, then import again"
        raise TargetExists("The file is there already", subject=name, seen="a file about another table", expected="no such file", hint=hint)
    if not any(PurePosixPath(name).match(pattern) for pattern in patterns):
        raise invalid("A new contract would not be read", Place("limnos.yml"), seen=", ".join(patterns), expected=name)
    quality = [quality_entry(rule)[1] for rule in rules]
    schema = {"name": table.name, "physicalName": str(table), "logicalType": "object", "quality": quality}
    after = write_yaml(head(table) | {"schema": [schema]})
    _verify(texts | {name: after}, table, rules, name)
    return Edited(name, "", after)


@dataclass(frozen=True, slots=True)
class _Schema:
    node: yaml.MappingNode
    library: bool


def _schema(text: str, name: str, table: TableName) -> _Schema | None:
    """Find the part about a table, as the parser saw it."""
    parsed = parse_nodes(text, name)
    for at, schema in enumerate(parsed.mappings("schema") if isinstance(parsed, Mapped) else ()):
        if isinstance(parsed, Mapped) and schema.text("physicalName") == str(table):
            whole: Any = yaml.compose(text, Loader=yaml.SafeLoader)
            part = _value(whole, "schema").value[at]
            return _Schema(part, library=not parsed.text("apiVersion").startswith("v3.0."))
    return None


def _value(node: Any, key: str) -> Any:  # noqa: ANN401 the nodes of PyYAML share no useful type
    return next((value for word, value in node.value if word.value == key), None)


def _added(text: str, schema: _Schema, rules: Sequence[RuleSpec], name: str) -> str:
    quality = _value(schema.node, "quality")
    for part in (schema.node, quality):
        if part is not None and (part.flow_style or not part.value):
            place = Place(name, part.start_mark.line + 1)
            raise invalid("Nothing can be added to a contract in one line", place, seen="{...} or [...]", expected="one key on each line")
    entries = write_yaml([quality_entry(rule, library=schema.library)[1] for rule in rules])
    if quality is None:
        indent = schema.node.start_mark.column
        entries = "quality:\n" + "".join(f"  {line}\n" for line in entries.splitlines())
    else:
        indent = quality.start_mark.column
    lines = text.splitlines(keepends=True)
    at = _end(quality if quality is not None else schema.node)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return "".join([*lines[:at], *(" " * indent + line + "\n" for line in entries.splitlines()), *lines[at:]])


def _end(node: Any) -> int:  # noqa: ANN401 as above
    """Give the number of lines up to the end of the last word within; what follows may be a comment."""
    if isinstance(node, yaml.ScalarNode):
        mark = node.end_mark
        return mark.line if node.style in ("|", ">") and mark.column == 0 else mark.line + 1
    inner = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
    return max([_end(part) for part in inner], default=node.end_mark.line + 1) if not node.flow_style else node.end_mark.line + 1


def _verify(texts: dict[str, str], table: TableName, rules: Sequence[RuleSpec], name: str) -> None:
    """See that the contracts say, with what was added, exactly what was meant: an edit of text can go wrong."""
    nodes: list[Node] = [parse_nodes(text, file) for file, text in texts.items()]
    (config,) = [one for one in read_contracts(nodes) if one.table == table]
    said = {rule.name: (rule.version, rule.severity) for rule in config.rules}
    lost = [rule.name for rule in rules if said.get(rule.name) != (rule.version, rule.severity)]
    if lost:
        raise _unsayable(name, lost)


def _unsayable(name: str, lost: Sequence[str]) -> LimnosError:
    return invalid(
        "A rule cannot be written into the contract", Place(name), seen=", ".join(lost), expected="it under `checks` in limnos.yml"
    )
