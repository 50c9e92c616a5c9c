"""Write a contract as an ODCS v3 file that `odcs.py` reads back as the same contract."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from limnos.model.contract import Column, Contract, RuleSpec
from limnos.model.types import type_name

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ ./<>()-]*(?<! )")
_LOGICAL = {
    "boolean": "boolean",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamp",
}
_OPTIONS = {"range": ("minimum", "maximum"), "length": ("minLength", "maxLength")}


class _Writer(yaml.SafeDumper):
    """Quote every text that YAML 1.1 or 1.2 could take for something else."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401 the signature is PyYAML's
        """Write each value where it stands."""
        return True


def _text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=None if _PLAIN.fullmatch(text) else '"')


_Writer.add_representer(str, _text)


def write_yaml(value: object, *, flow: bool = False) -> str:
    """Write a value as YAML that `nodes.py` reads back as the same value; on one line if `flow`.

    Examples:
        >>> write_yaml({"a": "1e5", "b": ["x y", 1]}, flow=True)
        '{a: "1e5", b: [x y, 1]}'
    """
    written = yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=2**20, default_flow_style=flow or None)
    return written.removesuffix("\n...\n").strip() if flow else written


def write_contract(contract: Contract, evidence: Mapping[str, str]) -> tuple[str, tuple[RuleSpec, ...]]:
    """Write a contract, and give the rules that ODCS has no words for; `evidence` says, by column, what its class rests on.

    A foreign key is written as a relationship, so the tables that it names need contracts in the same project.
    """
    written, silent = _rules(contract)
    table = {
        "name": contract.table.name,
        "physicalName": str(contract.table),
        "logicalType": "object",
        **_given(description=contract.description),
        "properties": [_property(column, contract, written, evidence.get(column.name, "")) for column in contract.columns],
        **_given(relationships=[_relationship(rule, contract) for rule in written if rule.kind == "foreign_key"]),
        **_given(quality=[_duplicates(rule) for rule in written if rule.kind == "unique" and len(rule.columns) > 1]),
    }
    said = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"{contract.table.namespace}-{contract.table.name}",
        "version": "0.1.0",
        "status": "draft",
        "name": contract.table.name,
        **_given(team={"name": contract.owner} if contract.owner else None),
        "schema": [table],
    }
    return write_yaml(said), silent


def _given(**words: object) -> dict[str, object]:
    return {word: value for word, value in words.items() if value}


def _rules(contract: Contract) -> tuple[list[RuleSpec], tuple[RuleSpec, ...]]:
    written = [rule for rule in contract.rules if _sayable(rule, contract)]
    # One word holds one rule: of two that need it, the first is said.
    taken: set[tuple[str, tuple[str, ...]]] = set()
    for rule in list(written):
        place = (rule.kind, rule.columns)
        if place in taken:
            written.remove(rule)
        taken.add(place)
    return written, tuple(rule for rule in contract.rules if rule not in written)


def _sayable(rule: RuleSpec, contract: Contract) -> bool:
    plain = RuleSpec(rule.kind, rule.columns, rule.arguments)
    if rule.as_json() != plain.as_json() or not set(rule.columns) <= set(contract.names):
        return False
    match rule.kind:
        case "primary_key":
            return rule.columns == contract.key
        case "not_null":
            return len(rule.columns) == 1 and not rule.arguments
        case "unique":
            return bool(rule.columns)
        case "accepted_values":
            values = rule.arguments["values"]
            return isinstance(values, list) and all(isinstance(value, str | int) for value in values)
        case "foreign_key":
            parents = rule.arguments["columns"]
            names = [*rule.columns, *(parents if isinstance(parents, list) else ())]
            return not any(mark in str(name) for name in names for mark in "./")
        case "range" | "length":
            return set(rule.arguments) <= {"min", "max"} and all(isinstance(bound, str | int | float) for bound in rule.arguments.values())
        case "regex":
            return set(rule.arguments) == {"pattern"}
        case _:
            return False


def _property(column: Column, contract: Contract, rules: Sequence[RuleSpec], evidence: str) -> dict[str, object]:
    own = {rule.kind: rule for rule in rules if rule.columns == (column.name,)}
    spelled = type_name(column.type)
    position = contract.key.index(column.name) + 1 if column.name in contract.key else 0
    values = own["accepted_values"].arguments["values"] if "accepted_values" in own else ()
    return {
        "name": column.name,
        "logicalType": _logical(column.type, spelled),
        "physicalType": spelled,
        **_given(
            description=column.description,
            primaryKey=bool(position),
            primaryKeyPosition=position,
            required=column.required or "not_null" in own,
            unique="unique" in own,
            logicalTypeOptions=dict(_options(own)),
            enum=[{"value": value} for value in values] if isinstance(values, list) else None,
            classification=column.classification,
            customProperties=[{"property": "classificationEvidence", "value": evidence}] if evidence else None,
        ),
    }


def _logical(kind: pa.DataType, spelled: str) -> str:
    if pa.types.is_nested(kind):
        return {"list": "array", "map": "map"}.get(spelled.partition("<")[0], "object")
    return "number" if pa.types.is_decimal(kind) else _LOGICAL.get(spelled, "string")


def _options(own: Mapping[str, RuleSpec]) -> Iterator[tuple[str, object]]:
    for kind, words in _OPTIONS.items():
        if kind in own:
            for bound, word in zip(("min", "max"), words, strict=True):
                if bound in own[kind].arguments:
                    yield word, own[kind].arguments[bound]
    if "regex" in own:
        yield "pattern", own["regex"].arguments["pattern"]


def _relationship(rule: RuleSpec, contract: Contract) -> dict[str, object]:
    parents = rule.arguments["columns"]
    return {
        "type": "foreignKey",
        "from": [f"{contract.table}.{name}" for name in rule.columns],
        "to": [f"{rule.arguments['references']}.{name}" for name in (parents if isinstance(parents, list) else ())],
    }


def _duplicates(rule: RuleSpec) -> dict[str, object]:
    return {"metric": "duplicateValues", "arguments": {"properties": list(rule.columns)}, "mustBe": 0}
