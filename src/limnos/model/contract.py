"""What a table promises: columns, types, keys, rules, partitions, drift."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from limnos.model.names import TableName
from limnos.model.place import NOWHERE, Place
from limnos.model.types import type_name

_DOTTED = re.compile(r'"?([A-Za-z_]\w*)"?\s*\.\s*"?([A-Za-z_]\w*)"?', re.ASCII)
NO_ARGUMENTS: Mapping[str, object] = MappingProxyType({})


class Severity(StrEnum):
    """What a failing rule does: hold the table back, quarantine the rows, or only tell."""

    BLOCK = "block"
    QUARANTINE = "quarantine"
    WARN = "warn"


class Drift(StrEnum):
    """What a difference between the source's columns and the contract's does."""

    ACCEPT = "accept"
    BLOCK = "block"
    QUARANTINE = "quarantine"
    KEEP_BOTH = "keep_both"


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """Declare a rule: its kind, columns and arguments, before it is compiled.

    `at_least` is the share of applicable rows that must satisfy it, `where` an SQL condition on the rows it applies to,
    `name` a stable identity within its table (derived when not given), `place` where it was declared.

    Examples:
        >>> RuleSpec("not_null", ("id",)).name
        'not_null:id'
    """

    kind: str
    columns: tuple[str, ...] = ()
    arguments: Mapping[str, object] = field(default_factory=lambda: NO_ARGUMENTS)
    severity: Severity | None = None
    at_least: float = 1.0
    where: str = ""
    name: str = ""
    place: Place = NOWHERE

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", ":".join([self.kind, ",".join(self.columns)]) if self.columns else self.kind)

    @property
    def others(self) -> frozenset[str]:
        """Tables that the rule looks at beside its own, as written; of free SQL, every `a.b` that could be one.

        Examples:
            >>> sorted(RuleSpec("query", (), {"sql": "SELECT o.id FROM shop.orders AS o"}).others)
            ['o.id', 'shop.orders']
        """
        named = {str(self.arguments[word]) for word in ("references", "table") if word in self.arguments}
        sql = str(self.arguments.get("sql", ""))
        return frozenset(named | {f"{match[1]}.{match[2]}" for match in _DOTTED.finditer(sql)})

    @property
    def version(self) -> str:
        """Digest of what the rule says (not of where or by what severity); 12 hexadecimal digits."""
        said = [self.kind, list(self.columns), dict(self.arguments), self.at_least, self.where]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def as_json(self) -> Mapping[str, object]:
        """Give what was declared as a JSON object; its place is left out."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "arguments": dict(self.arguments),
            "severity": self.severity.value if self.severity else None,
            "at_least": self.at_least,
            "where": self.where,
            "name": self.name,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> RuleSpec:
        """Read what `as_json` gave.

        Examples:
            >>> RuleSpec.from_json(RuleSpec("unique", ("id",), severity=Severity.WARN).as_json())  # doctest: +ELLIPSIS
            RuleSpec(kind='unique', columns=('id',), arguments={}, severity=<Severity.WARN: 'warn'>, ...)
        """
        return cls(
            kind=said["kind"],
            columns=tuple(said["columns"]),
            arguments=said["arguments"],
            severity=Severity(said["severity"]) if said["severity"] else None,
            at_least=said["at_least"],
            where=said["where"],
            name=said["name"],
        )


@dataclass(frozen=True, slots=True)
class Column:
    """Promise one column: name, Arrow type, whether null is allowed, and what it means.

    `origin` is what the source itself calls the column by, whatever its name is: `table.column`, empty where the source has no such word.
    """

    name: str
    type: pa.DataType
    required: bool = False
    description: str = ""
    classification: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Partition:
    """Split a table's files by a transform of one column: identity, year, month, day, hour, bucket[n], truncate[n].

    Examples:
        >>> str(Partition("created_at", "month"))
        'month(created_at)'
    """

    column: str
    transform: str = "identity"
    width: int = 0

    def __str__(self) -> str:
        if self.transform == "identity":
            return self.column
        return f"{self.transform}({self.width}, {self.column})" if self.width else f"{self.transform}({self.column})"


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """Say what an added, dropped, retyped or renamed column does; without a word for renaming, one column is gone and another is new.

    `columns` holds the whole policy of each column that differs.
    """

    add: Drift = Drift.ACCEPT
    drop: Drift = Drift.BLOCK
    type: Drift = Drift.QUARANTINE
    rename: Drift | None = None
    columns: Mapping[str, DriftPolicy] = field(default_factory=dict[str, "DriftPolicy"])

    def on(self, column: str) -> DriftPolicy:
        """Give the policy that holds for one column.

        Examples:
            >>> DriftPolicy(columns={"amount": DriftPolicy(type=Drift.BLOCK)}).on("amount").type.value
            'block'
        """
        return self.columns.get(column, self)

    @property
    def follows_types(self) -> bool:
        """Whether the source's types matter once a table is published."""
        return any(policy.type in {Drift.ACCEPT, Drift.KEEP_BOTH} for policy in (self, *self.columns.values()))


@dataclass(frozen=True, slots=True)
class Drifted:
    """Say how the source's columns came to differ from the table's, and are met.

    `renamed` maps a published name to the one it has now, `beside` a column to the source's column whose values of another type it holds,
    `refused` names columns of the source that are not in the table: a row with a value in one does not fit.
    """

    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    beside: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contract:
    """Promise a table: its columns in order, key, rules, partitions, and how drift is met.

    `on_fail` is the severity of rules that name none.

    Examples:
        >>> orders = Contract(TableName("shop", "orders"), (Column("id", pa.int64(), required=True),), key=("id",))
        >>> orders.schema.names
        ['id']
    """

    table: TableName
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    rules: tuple[RuleSpec, ...] = ()
    partitions: tuple[Partition, ...] = ()
    drift: DriftPolicy = DriftPolicy()
    on_fail: Severity = Severity.QUARANTINE
    owner: str = ""
    description: str = ""
    place: Place = NOWHERE
    drifted: Drifted = Drifted()

    @property
    def schema(self) -> pa.Schema:
        """The columns as an Arrow schema, all nullable: what is required is a rule, judged before publishing."""
        return pa.schema([pa.field(column.name, column.type) for column in self.columns])

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def origins(self) -> Mapping[str, str]:
        """What the source itself calls the columns by, where it has such a word."""
        return {column.name: column.origin for column in self.columns if column.origin}

    def column(self, name: str) -> Column:
        """Find a column by name.

        Raises:
            KeyError: If the contract has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def with_rules(self, rules: tuple[RuleSpec, ...]) -> Contract:
        """Give the same contract with other rules."""
        return replace(self, rules=rules)

    @property
    def version(self) -> str:
        """Digest of columns, key, rules and partitions; 12 hexadecimal digits, equal for equal promises."""
        said: dict[str, object] = {
            "columns": [[column.name, type_name(column.type), column.required] for column in self.columns],
            "key": list(self.key),
            "rules": [[rule.name, rule.version, rule.severity or self.on_fail] for rule in self.rules],
            "partitions": [str(partition) for partition in self.partitions],
        }
        if self.drifted.beside or self.drifted.refused:
            said["drifted"] = [dict(self.drifted.beside), list(self.drifted.refused)]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
