"""Write a contract as an ODCS v3 file that `odcs.py` reads back as the same contract."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from limnos.errors import LimnosError
from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.model.names import TableName
from limnos.model.types import type_name
from limnos.project.nodes import Mapped, parse_nodes
from limnos.project.odcs_quality import quality_rule
from limnos.project.odcs_words import QUALITY
from limnos.project.shape import check

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ ./<>()-]*(?<! )")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
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


def write_contract(contract: Contract, evidence: Mapping[str, str], *, among: Collection[TableName] | None = None) -> str:
    """Write a contract with all its rules; `evidence` says, by column, what its class rests on.

    A rule is said in the words of the standard where they say exactly it, else as `type: custom` of the engine `limnos`. A relationship
    needs a contract of the table it names: `among` are the tables that have one, all of them when not given.
    """
    written, others = _rules(contract, among)
    entries = [quality_entry(rule, own=frozenset(contract.names)) for rule in others]
    beside = {name: [entry for column, entry in entries if column == name] for name in contract.names}
    whole = [_duplicates(rule) for rule in written if rule.kind == "unique" and len(rule.columns) > 1]
    table = {
        "name": contract.table.name,
        "physicalName": str(contract.table),
        "logicalType": "object",
        **_given(description=contract.description),
        **_given(
            properties=[
                _property(column, contract, written, evidence.get(column.name, "")) | _given(quality=beside[column.name])
                for column in contract.columns
            ]
        ),
        **_given(relationships=[_relationship(rule, contract) for rule in written if rule.kind == "foreign_key"]),
        **_given(quality=whole + [entry for column, entry in entries if not column]),
    }
    return write_yaml(head(contract.table, contract.owner) | {"schema": [table]})


def head(table: TableName, owner: str = "") -> dict[str, object]:
    """Give what stands above the schema of a drafted contract."""
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"{table.namespace}-{table.name}",
        "version": "0.1.0",
        "status": "draft",
        "name": table.name,
        **_given(team={"name": owner} if owner else None),
    }


def quality_entry(rule: RuleSpec, *, own: Collection[str] = (), library: bool = True) -> tuple[str, dict[str, object]]:
    """Write a rule as an entry of `quality`, and say under which column it stands (one of `own`; empty for the table).

    A metric of the standard's library is used where it is read back as the same rule, and `library` allows it.
    """
    column = rule.columns[0] if len(rule.columns) == 1 and rule.columns[0] in own else ""
    for entry in _metrics(rule, column) if library else ():
        if _says(entry, column, rule):
            return column, entry
    said: dict[str, object] = {
        "rule": rule.kind,
        **_given(columns=list(rule.columns), arguments=dict(rule.arguments), where=rule.where),
        **({"at_least": rule.at_least} if rule.at_least != 1 else {}),
        **_given(severity=rule.severity.value if rule.severity else "", name=_own_name(rule)),
    }
    severity = {"severity": "warning"} if rule.severity is Severity.WARN else {}
    return "", {"type": "custom", "engine": "limnos", "implementation": said, **severity}


def _own_name(rule: RuleSpec) -> str:
    return rule.name if rule.name != RuleSpec(rule.kind, rule.columns).name else ""


def _says(entry: Mapping[str, object], column: str, rule: RuleSpec) -> bool:
    """Tell whether an entry is read back as a rule, and as nothing else."""
    try:
        node = parse_nodes(write_yaml(entry), "quality")
        check(node, QUALITY)
        return isinstance(node, Mapped) and [one.as_json() for one in quality_rule(node, column)] == [rule.as_json()]
    except LimnosError:
        return False


def _metrics(rule: RuleSpec, column: str) -> Iterator[dict[str, object]]:
    """Propose entries of the library that may say the rule."""
    share = round((1 - rule.at_least) * 100, 10)
    bad = {"mustBeLessOrEqualTo": share, "unit": "percent"} if rule.at_least != 1 else {"mustBe": 0}
    more: dict[str, object] = {"id": _own_name(rule)} if _own_name(rule) else {}
    more |= {"severity": "warning"} if rule.severity is Severity.WARN else {}
    match rule.kind:
        case "not_null" if column:
            yield {"metric": "nullValues", **bad, **more}
        case "unique":
            arguments = {} if column else {"arguments": {"properties": list(rule.columns)}}
            yield {"metric": "duplicateValues", **arguments, **bad, **more}
        case "accepted_values" if column:
            yield {"metric": "invalidValues", "arguments": {"validValues": rule.arguments.get("values")}, **bad, **more}
        case "regex" if column:
            yield {"metric": "invalidValues", "arguments": {"pattern": rule.arguments.get("pattern")}, **bad, **more}
        case "row_count":
            low, high = rule.arguments.get("min"), rule.arguments.get("max")
            if low is not None and high is not None:
                yield {"metric": "rowCount", "mustBe": low} if low == high else {"metric": "rowCount", "mustBeBetween": [low, high]}
            elif low is not None or high is not None:
                yield {"metric": "rowCount", **({"mustBeGreaterOrEqualTo": low} if high is None else {"mustBeLessOrEqualTo": high}), **more}
        case _:
            return


def _given(**words: object) -> dict[str, object]:
    return {word: value for word, value in words.items() if value}


def _rules(contract: Contract, among: Collection[TableName] | None) -> tuple[list[RuleSpec], list[RuleSpec]]:
    """Part the rules: those that words beside a column or relationships say, and the others."""
    # One word holds one rule: of two that need it, the first is said.
    taken: dict[tuple[str, tuple[str, ...]], RuleSpec] = {}
    for rule in contract.rules:
        if _sayable(rule, contract) and (rule.kind != "foreign_key" or _related(rule, contract.table, among)):
            taken.setdefault((rule.kind, rule.columns), rule)
    said = list(taken.values())
    return said, [rule for rule in contract.rules if rule not in said]


def _related(rule: RuleSpec, own: TableName, among: Collection[TableName] | None) -> bool:
    """Tell whether both ends of a foreign key have a name of the standard's form that means one table only."""
    parents = rule.arguments["columns"]
    names = [*rule.columns, *(parents if isinstance(parents, list) else ())]
    table = TableName.parse(str(rule.arguments["references"]))
    alone = among is None or all([one for one in among if one.name == end.name] == [end] for end in (own, table))
    return alone and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)


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
            return set(rule.arguments) == {"references", "columns"}
        case "range" | "length":
            return set(rule.arguments) <= {"min", "max"} and all(isinstance(bound, str | int | float) for bound in rule.arguments.values())
        case "regex":
            return set(rule.arguments) == {"pattern"}
        case _:
            return False


def _property(column: Column, contract: Contract, rules: Sequence[RuleSpec], evidence: str) -> dict[str, object]:
    own = {rule.kind: rule for rule in rules if rule.columns == (column.name,)}
    # A rule of its own that says how a column is required would contradict the word.
    named = {(rule.kind, *rule.columns) for rule in contract.rules}
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
            required="not_null" in own or (column.required and ("not_null", column.name) not in named),
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
    table = TableName.parse(str(rule.arguments["references"])).name
    own = [f"{contract.table.name}.{name}" for name in rule.columns]
    other = [f"{table}.{name}" for name in (parents if isinstance(parents, list) else ())]
    return {
        "type": "foreignKey",
        "from": own[0] if len(own) == 1 else own,
        "to": other[0] if len(other) == 1 else other,
    }


def _duplicates(rule: RuleSpec) -> dict[str, object]:
    return {"metric": "duplicateValues", "arguments": {"properties": list(rule.columns)}, "mustBe": 0}
