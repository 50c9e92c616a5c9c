"""The project file as values: what a user declared, checked and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from limnos.model.contract import Column, DriftPolicy, Partition, RuleSpec, Severity
from limnos.model.names import TableName
from limnos.model.place import NOWHERE, Place
from limnos.model.position import Position
from limnos.model.retention import Retention
from limnos.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Option:
    """Declare one option that a source type understands in limnos.yml; `per_table` ones stand under a table.

    `kind` is a JSON Schema type: string, integer, number, boolean, array or object. `secret` ones may be `secret://NAME`.
    """

    name: str
    kind: str = "string"
    required: bool = False
    default: object = None
    per_table: bool = False
    secret: bool = False
    choices: tuple[str, ...] = ()
    description: str = ""


class Capability(StrEnum):
    """Name what a source may be able to do beyond a full read."""

    FINGERPRINT = "fingerprint"
    KEYS = "keys"
    INCREMENTAL = "incremental"
    CHANGES = "changes"
    DIGEST = "digest"


class Mode(StrEnum):
    """Say how a table is read: all of it, what lies above a cursor, or what the source's own log says changed."""

    FULL = "full"
    INCREMENTAL = "incremental"
    CDC = "cdc"


class Deletes(StrEnum):
    """Say what a delete at the source does to the row in the lake: remove it, mark it, or nothing."""

    HARD = "hard"
    SOFT = "soft"
    IGNORE = "ignore"


class LogLimit(StrEnum):
    """Say what is done when a source keeps more log for us than it may: tell, or give the log up and read anew."""

    ALARM = "alarm"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Protect:
    """Bound what reading may cost a source; zero and empty mean no bound.

    `connections` is the most streams at once; with `adaptive` there are fewer while the source answers slowly. `replica` is an address
    that is read instead while it lags at most `max_lag_s` behind. `max_log_bytes` bounds the log that the source keeps back for our
    change stream. With `max_snapshot_age_s` most rows are read under snapshots that last no longer.
    """

    max_rows_per_s: int = 0
    statement_timeout_s: float = 300.0
    lock_timeout_s: float = 10.0
    connections: int = 2
    adaptive: bool = False
    replica: Secret | None = None
    max_lag_s: float = 30.0
    max_log_bytes: int = 0
    on_log_limit: LogLimit = LogLimit.ALARM
    max_snapshot_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Name one table of a source: `name` in the source, `target` in the lake, `key` when declared; `places` of its words.

    `cursor` and `lookback` belong to the mode `incremental`, `deletes` to `cdc`.
    """

    name: str
    target: TableName
    mode: Mode = Mode.FULL
    key: tuple[str, ...] = ()
    cursor: str = ""
    lookback: str = ""
    deletes: Deletes = Deletes.HARD
    options: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    place: Place = NOWHERE
    places: Mapping[str, Place] = field(default_factory=dict[str, Place], repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Declare a source: its name and type, resolved options (secrets as `Secret`), and its tables.

    `known` holds the positions of the last published loads, by table name in the source; they may spare a source its hashing.
    `root` is the project directory that relative paths start from. An empty `tables` with `every` set means every table the source has.
    `latency_s` is how long a change may take into the lake while it is followed.
    `places` says where each word was written. Options are not printed: one of them may hold a literal password.
    """

    name: str
    type: str
    root: Path
    namespace: str
    options: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    tables: tuple[SourceTable, ...] = ()
    every: bool = False
    protect: Protect = Protect()
    latency_s: float = 1.0
    place: Place = NOWHERE
    places: Mapping[str, Place] = field(default_factory=dict[str, Place], repr=False, compare=False)
    known: Mapping[str, Position] = field(default_factory=dict[str, Position])


@dataclass(frozen=True, slots=True)
class TableConfig:
    """Declare what limnos.yml or an ODCS contract says of a table; empty fields leave the source's word standing.

    `declared` tells whether `columns` is the whole list (a contract) and not only additions. `history` keeps every version of a row.
    """

    table: TableName
    columns: tuple[Column, ...] = ()
    declared: bool = False
    key: tuple[str, ...] = ()
    rules: tuple[RuleSpec, ...] = ()
    partitions: tuple[Partition, ...] = ()
    drift: DriftPolicy = DriftPolicy()
    on_fail: Severity = Severity.QUARANTINE
    history: bool = False
    owner: str = ""
    description: str = ""
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class VerifyConfig:
    """Declare how a table is compared with its source: by which columns (`("*",)` for all, none for counts), and whether in every run."""

    table: TableName
    content: tuple[str, ...] = ("*",)
    every_run: bool = False
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """Say where the lake is: a directory (absolute path) or `s3://bucket/prefix`, with its options.

    Options for S3: endpoint, region, access_key, secret_key (as `Secret`), path_style.
    """

    uri: str
    options: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def is_local(self) -> bool:
        """Whether the lake is a directory of this machine."""
        return "://" not in self.uri


@dataclass(frozen=True, slots=True)
class Project:
    """Hold everything a user declared, for one environment."""

    name: str
    root: Path
    lake: StorageConfig
    state: Secret
    sources: tuple[SourceConfig, ...]
    tables: Mapping[TableName, TableConfig]
    verify: Mapping[TableName, VerifyConfig] = field(default_factory=dict[TableName, VerifyConfig])
    retention: Retention = field(default_factory=Retention)
    environment: str = ""
    place: Place = NOWHERE
