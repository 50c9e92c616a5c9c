"""The words of limnos.yml: every key, what may stand there, and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from limnos.model.contract import Drift, Severity
from limnos.model.project import Deletes, LogLimit, Mode
from limnos.model.units import DURATION, SIZE
from limnos.project.shape import Anything, Flag, Key, Later, ListOf, MapOf, Nothing, Number, OneOf, Record, Shape, Text, Value

NAME = "[A-Za-z_][A-Za-z0-9_]{0,127}"
TABLE = rf"{NAME}\.{NAME}"
PERCENT = r"(100|[0-9]{1,2})(\.[0-9]+)?\s*%"
PARTITION = r"(year|month|day|hour)\(\s*[^(),\s]+\s*\)|(bucket|truncate)\(\s*[1-9][0-9]{0,8}\s*,\s*[^(),\s]+\s*\)|[^(),\s]+"

_TEXT = Text()
_TABLE_TEXT = Text(pattern=TABLE, words="a table name such as shop.orders")
_COLUMNS = OneOf((_TEXT, ListOf(_TEXT)))
_SEVERITY = Text(choices=tuple(Severity))
_NONE = Number(whole=True, minimum=0, maximum=0, words="0")
_DURATION = OneOf((Text(pattern=DURATION, words="a duration such as 500ms, 30s, 5m, 2h or 1d"), _NONE))
_SIZE = OneOf((Text(pattern=SIZE, words="a size such as 500MB or 10GB"), _NONE))

# What each later issue takes off these lists becomes available; nothing else has to change here.
LATER_SECTIONS = ("models", "policies", "views", "schedules", "alarms", "channels", "backup")
LATER_SOURCE_TABLE_WORDS = ("documents",)
LATER_TABLE_WORDS = ("retain",)


def _later(names: tuple[str, ...]) -> dict[str, Key]:
    return {name: Key(Later(), "Not available in this version.") for name in names}


@dataclass(frozen=True, slots=True)
class RuleWords:
    """Say how a kind of rule is written.

    `columns` is `none`, `one`, `perhaps` (one or none), `pair` (two), `each` (a list makes one rule a column) or `together` (a list is one
    rule). A value that is not a mapping is the columns, or the argument `bare`.
    """

    columns: str
    arguments: Mapping[str, Key] = field(default_factory=dict[str, Key])
    bare: str = ""


_BOUNDS = {
    "min": Key(Value(), "The least value allowed."),
    "max": Key(Value(), "The greatest value allowed."),
    "exclusive": Key(Flag(), "Whether the bounds themselves are refused."),
}
_COUNTS = {"min": Key(Number(whole=True, minimum=0), "The least allowed."), "max": Key(Number(whole=True, minimum=0), "The most allowed.")}
_VALUES = ListOf(Value())
_TABLE_AND_COLUMNS = OneOf(
    (
        Text(pattern=rf"{TABLE}(\.[^.\s]+)?", words="shop.customers.customer_id"),
        Record({"table": Key(_TABLE_TEXT, required=True), "columns": Key(_COLUMNS, required=True)}, words="{table, columns}"),
    )
)
_OTHER_TABLE = Key(_TABLE_TEXT, "The other table.", required=True)
_TOLERANCE = Key(
    OneOf((Number(minimum=0, words="a number from 0"), Text(pattern=r"[0-9]+(\.[0-9]+)?\s*%", words='"1%"'))),
    "How far numbers may be apart: a number, or a share of the other one; not at all when not given.",
)
_CHANGE = OneOf((Number(whole=True, words="a number of rows"), Text(pattern=r"[+-]?[0-9]+(\.[0-9]+)?\s*%", words='a share such as "-10%"')))
_PER = Key(_COLUMNS, "The columns within whose values it holds.")
FORMATS = "bic card country currency date datetime ean email iban ip ipv4 ipv6 isbn isin json lei phone time url uuid".split()
ROW_RULES: Mapping[str, RuleWords] = {
    "not_null": RuleWords("each", {"missing": Key(_VALUES, "Values that count as missing too.")}),
    "accepted_values": RuleWords("one", {"values": Key(_VALUES, "The values allowed.", required=True)}),
    "rejected_values": RuleWords("one", {"values": Key(_VALUES, "The values refused.", required=True)}),
    "range": RuleWords("one", _BOUNDS),
    "length": RuleWords("one", _COUNTS),
    "regex": RuleWords("one", {"pattern": Key(_TEXT, "The pattern that the whole text must match.", required=True)}),
    "format": RuleWords(
        "one",
        {
            "as": Key(Text(choices=tuple(FORMATS)), "The form.", required=True),
            "region": Key(Text(pattern="[A-Z]{2}", words="two letters such as FR"), "The country of phone numbers without a country code."),
        },
    ),
    "compare": RuleWords(
        "pair",
        {"operator": Key(Text(choices=("<", "<=", "=", "!=", ">=", ">")), "How the first column compares with the second.", required=True)},
    ),
    "sql": RuleWords("none", {"expression": Key(_TEXT, "An SQL condition on one row.", required=True)}, bare="expression"),
}
_OTHER_RULES: Mapping[str, RuleWords] = {
    "unique": RuleWords("together"),
    "primary_key": RuleWords("together"),
    "foreign_key": RuleWords(
        "together",
        {
            "references": Key(
                _TABLE_AND_COLUMNS,
                "The table and column that hold every value; without a column, the columns of the same names.",
                required=True,
            )
        },
    ),
    "referenced_by": RuleWords(
        "together",
        {
            "by": Key(
                _TABLE_AND_COLUMNS,
                "The table and column that refer to every row; without a column, those of the same names.",
                required=True,
            )
        },
    ),
    "matches_reference": RuleWords(
        "together",
        {
            "table": _OTHER_TABLE,
            "key": Key(_COLUMNS, "The key there; columns of the same names when not given."),
            "compare": Key(
                OneOf((_TEXT, ListOf(_TEXT), MapOf(_TEXT))),
                "The columns compared, or a mapping of those here to those there; all when not given.",
            ),
            "tolerance": _TOLERANCE,
        },
    ),
    "monotonic": RuleWords(
        "one",
        {
            "order_by": Key(_COLUMNS, "The columns that say which row comes first; the key when not given."),
            "direction": Key(Text(choices=("up", "down")), "Whether it grows or falls; `up` when not given."),
            "strict": Key(Flag(), "Whether a value that equals the one before is refused."),
            "per": _PER,
        },
    ),
    "sequence": RuleWords("one", {"step": Key(Number(whole=True, minimum=1), "The distance of values; 1 when not given."), "per": _PER}),
    "query": RuleWords("none", {"sql": Key(_TEXT, "A SELECT that returns the failing rows.", required=True)}, bare="sql"),
    "row_count": RuleWords("none", _COUNTS),
    "row_change": RuleWords(
        "none", {"min": Key(_CHANGE, "The least change allowed since the version before."), "max": Key(_CHANGE, "The greatest.")}
    ),
    "freshness": RuleWords("one", {"max": Key(_TEXT, "The age of the newest value allowed, such as 6h or 2d.", required=True)}),
    "schema_match": RuleWords(
        "none",
        {
            "columns": Key(OneOf((ListOf(_TEXT), MapOf(_TEXT))), "The columns there must be: their names, or a mapping of names to types."),
            "table": Key(_TABLE_TEXT, "Another table whose columns there must be."),
            "extra": Key(Text(choices=("allow", "refuse")), "What other columns are; `allow` when not given."),
            "order": Key(Flag(), "Whether they must be in the same order."),
        },
    ),
    "aggregate_match": RuleWords(
        "perhaps",
        {
            "function": Key(
                Text(choices=("count", "distinct_count", "sum", "mean", "min", "max")), "What is computed on both sides.", required=True
            ),
            "table": _OTHER_TABLE,
            "other_column": Key(_TEXT, "The column there; that of the same name when not given."),
            "other_where": Key(_TEXT, "An SQL condition on the rows there."),
            "tolerance": _TOLERANCE,
        },
    ),
    "quantile": RuleWords("one", {"q": Key(Number(minimum=0, maximum=1), "The place: 0.5 is the median.", required=True), **_BOUNDS}),
    "correlation": RuleWords("pair", _BOUNDS),
    **{
        kind: RuleWords("one", _BOUNDS)
        for kind in ("distinct_count", "unique_ratio", "mean", "sum", "stddev", "minimum", "maximum", "entropy")
    },
}
MODIFIERS: Mapping[str, Key] = {
    "severity": Key(_SEVERITY, "What a failing row does: hold the table back, go to quarantine, or only be told."),
    "where": Key(_TEXT, "An SQL condition on the rows that the rule applies to."),
    "at_least": Key(
        OneOf((Number(minimum=0, maximum=1, words="a share such as 0.98"), Text(pattern=PERCENT, words='"98%"'))),
        "The share of those rows that must satisfy it.",
    ),
    "name": Key(_TEXT, "What the rule is called; derived from kind and columns when not given."),
}


def rule_shape(words: RuleWords, *, of_column: bool, modifiers: Mapping[str, Key] = MODIFIERS) -> Shape:
    """Give the shape of what stands behind the name of a rule; under a column, the column goes without saying."""
    keys = {**words.arguments, **modifiers}
    one_of: tuple[str, ...] = ()
    if words.columns == "pair":
        keys["columns"] = Key(ListOf(_TEXT), "The two columns.", required=True)
    elif words.columns != "none" and not of_column:
        keys["column"] = Key(_TEXT, "The column.", required=words.columns == "one")
        if words.columns in ("each", "together"):
            keys["columns"] = Key(_COLUMNS, "The columns.")
            one_of = ("column", "columns")
    shapes: tuple[Shape, ...] = (Record(keys, one_of=one_of, words="a mapping of arguments"),)
    if words.bare:
        shapes += (words.arguments[words.bare].shape,)
    elif words.columns in ("each", "together") and not of_column and not any(key.required for key in words.arguments.values()):
        shapes += (_TEXT, ListOf(_TEXT))
    return OneOf(shapes) if len(shapes) > 1 else shapes[0]


_WHERE = {"where": MODIFIERS["where"]}
_ALTERNATIVE = Record(
    {kind: Key(rule_shape(words, of_column=False, modifiers=_WHERE)) for kind, words in ROW_RULES.items()} | _WHERE,
    one_of=tuple(ROW_RULES),
    words="a rule on single rows such as not_null: a",
)
RULES: Mapping[str, RuleWords] = {
    **ROW_RULES,
    **_OTHER_RULES,
    "any_of": RuleWords("none", {"rules": Key(ListOf(_ALTERNATIVE), "Rules on single rows.", required=True)}, bare="rules"),
}


def check_shape(*, of_column: bool) -> Shape:
    """Give the shape of one entry of `checks`."""
    chosen = {kind: words for kind, words in RULES.items() if words.columns not in ("none", "pair") or not of_column}
    kinds = {kind: Key(rule_shape(words, of_column=of_column)) for kind, words in chosen.items()}
    bare = tuple(kind for kind in kinds if of_column and not any(key.required for key in RULES[kind].arguments.values()))
    if not of_column:
        kinds["dqdl"] = Key(_TEXT, 'One rule in DQDL, such as Completeness "x" > 0.95; `limnos explain notations`.')
    entry = Record(kinds | dict(MODIFIERS), one_of=tuple(kinds), words="a rule such as not_null: [a, b]")
    return OneOf((entry, Text(choices=bare))) if of_column else entry


_DRIFT_WORDS = {
    "add": Key(Text(choices=(Drift.ACCEPT, Drift.BLOCK, Drift.QUARANTINE)), "When the source has a new column; `accept` when not given."),
    "drop": Key(Text(choices=(Drift.ACCEPT, Drift.BLOCK)), "When a column is gone; `block` when not given."),
    "type": Key(Text(choices=tuple(Drift)), "When a column has another type; `quarantine` when not given."),
    "rename": Key(
        Text(choices=(Drift.ACCEPT, Drift.BLOCK)), "When a column seems to have another name; one is gone and one is new when not given."
    ),
}

COLUMN = Record(
    {
        "name": Key(_TEXT, "The column's name.", required=True),
        "type": Key(_TEXT, "Its type as Iceberg or SQL spells it: long, decimal(12,2), timestamptz, list<string> ...", required=True),
        "required": Key(Flag(), "Whether every row must have a value."),
        "description": Key(_TEXT, "What it means."),
        "classification": Key(_TEXT, "What class of data it holds, such as email."),
        "checks": Key(ListOf(check_shape(of_column=True)), "Rules on this column."),
    }
)

TABLE_WORDS = Record(
    {
        "description": Key(_TEXT, "What the table holds."),
        "owner": Key(_TEXT, "Who answers for it."),
        "key": Key(_COLUMNS, "The columns that identify a row; they become a `primary_key` rule."),
        "columns": Key(ListOf(COLUMN), "Types and meanings of columns, where the source does not tell them."),
        "partition": Key(
            OneOf((Text(pattern=PARTITION, words="month(created_at)"), ListOf(Text(pattern=PARTITION, words="month(created_at)")))),
            "How its files are split: a column, year, month, day or hour of one, bucket(n, column), truncate(n, column).",
        ),
        "checks": Key(ListOf(check_shape(of_column=False)), "Rules on this table."),
        "on_fail": Key(_SEVERITY, "The severity of rules that name none; `quarantine` when not given."),
        "drift": Key(
            Record({**_DRIFT_WORDS, "columns": Key(MapOf(Record(_DRIFT_WORDS)), "What differs for a column, by its name.")}),
            "What a difference between the source's columns and the promised ones does.",
        ),
        "history": Key(Text(choices=("scd2",)), "`scd2` keeps every version of a row, with `valid_from` and `valid_to`."),
        **_later(LATER_TABLE_WORDS),
    }
)

PROTECT = Record(
    {
        "max_rows_per_s": Key(
            Number(whole=True, minimum=0), "The most rows read in a second, over all connections; 0, no limit, when not given."
        ),
        "statement_timeout": Key(_DURATION, "How long one statement may take; 5m when not given, 0 for no limit."),
        "lock_timeout": Key(_DURATION, "How long a statement may wait for a lock; 10s when not given, 0 for no limit."),
        "connections": Key(Number(whole=True, minimum=1, maximum=64), "The most streams of rows at once; 2 when not given."),
        "adaptive": Key(Flag(), "Whether to read with fewer streams while the source's own answers get slower; false when not given."),
        "max_snapshot_age": Key(
            _DURATION,
            "How old the snapshots may get under which most rows are read; PostgreSQL. 0, one for all rows, when not given.",
        ),
        "replica": Key(Text(hidden=True), "The address of a replica that is read instead, as secret://NAME."),
        "max_lag": Key(_DURATION, "How far behind the replica may be; 30s when not given."),
        "max_log": Key(_SIZE, "The most log that the source may keep back for our change stream; 0, no limit, when not given."),
        "on_log_limit": Key(
            Text(choices=tuple(LogLimit)),
            "What happens beyond that: `alarm` tells, when not given; `drop` gives the log up and reads the tables anew.",
        ),
    }
)

SOURCE_TABLE = Record(
    {
        "key": Key(_COLUMNS, "The columns that identify a row, where the source does not tell."),
        "mode": Key(
            Text(choices=tuple(Mode)),
            "How it is read: `full` reads all of it each time, `incremental` what lies above a cursor, `cdc` what the source's log says.",
        ),
        "cursor": Key(_TEXT, "The column that grows with every new or changed row; for `mode: incremental`."),
        "lookback": Key(
            OneOf((Text(pattern=DURATION, words="a duration such as 90m or 2d"), Number(whole=True, minimum=0, words="a whole number"))),
            "How far below the last cursor value late rows are looked for, as a duration or a number; for `mode: incremental`.",
        ),
        "deletes": Key(
            Text(choices=tuple(Deletes)), "What a delete at the source does: `hard` when not given, `soft`, `ignore`; for `mode: cdc`."
        ),
        "table": Key(Text(pattern=rf"({NAME}\.)?{NAME}", words="a table name"), "Its name in the lake, where it is another one."),
        **_later(LATER_SOURCE_TABLE_WORDS),
    },
    rest=Anything(),
    words="options of the table, or nothing",
)

SOURCE = Record(
    {
        "type": Key(_TEXT, "What kind of system it is.", required=True),
        "namespace": Key(Text(pattern=NAME, words="a name"), "Where its tables land in the lake; the source's own name when not given."),
        "tables": Key(
            OneOf((Text(choices=("*",), words='"*"'), MapOf(OneOf((SOURCE_TABLE, Nothing()))))),
            'The tables to read, by their names in the source; every one when not given, or "*".',
        ),
        "protect": Key(PROTECT, "What reading may cost the source."),
        "follow": Key(
            Record({"latency": Key(_DURATION, "How long a change may take from the source into the lake; 1s when not given.")}),
            "How `limnos run --follow` keeps up with its tables of mode `cdc`.",
        ),
    },
    rest=Anything(),
)

VERIFY = Record(
    {
        "against": Key(Text(choices=("source",)), "What it is compared with; `source` when not given."),
        "content": Key(
            OneOf((Text(choices=("all", "none")), ListOf(_TEXT))),
            "The columns whose values are compared: `all` when not given, `none` for counts only, or their names.",
        ),
        "every": Key(Text(choices=("run",)), "`run` compares before anything is published; by `limnos verify` only when not given."),
    }
)

LAKE = OneOf(
    (
        Text(words="a directory or s3://bucket/prefix"),
        Record(
            {
                "uri": Key(_TEXT, "A directory, or s3://bucket/prefix.", required=True),
                "endpoint": Key(_TEXT, "The address of an S3-compatible store."),
                "region": Key(_TEXT, "The region of the bucket."),
                "access_key": Key(Text(hidden=True), "The access key, as secret://NAME."),
                "secret_key": Key(Text(hidden=True), "The secret key, as secret://NAME."),
                "path_style": Key(Flag(), "Whether the bucket stands in the path and not in the host name."),
            }
        ),
    )
)
STATE = Text(hidden=True, words="a path or a postgresql:// URL")

UPKEEP = Record(
    {
        "keep": Key(
            OneOf((Text(pattern=DURATION, words="a duration such as 30d"), Number(whole=True, minimum=1, words="a number of versions"))),
            "How long versions of tables are kept, or how many of each; 30d when not given.",
        ),
        "grace": Key(_DURATION, "The age below which no version and no file is deleted; 1d when not given."),
    }
)

ENVIRONMENT = Record(
    {
        "lake": Key(LAKE, "Another place for the lake."),
        "state": Key(STATE, "Another state database."),
        "sources": Key(
            MapOf(Record({name: Key(key.shape, key.doc) for name, key in SOURCE.keys.items()}, rest=Anything())),
            "Other options of a source.",
        ),
        "tables": Key(MapOf(Record({"on_fail": TABLE_WORDS.keys["on_fail"]}), TABLE), "Another severity for rules that name none."),
    }
)

PROJECT = Record(
    {
        "version": Key(Number(whole=True, minimum=1, maximum=1, words="1"), "The version of this format.", required=True),
        "project": Key(_TEXT, "The project's name; the directory's when not given."),
        "lake": Key(LAKE, "Where the tables' files are: a directory, or s3://bucket/prefix; `.limnos/lake` when not given."),
        "state": Key(STATE, "The state database: a file, or a postgresql:// URL; `.limnos/state.db` when not given."),
        "contracts": Key(_COLUMNS, "Which files are ODCS contracts; `contracts/*.odcs.yaml` when not given."),
        "sources": Key(MapOf(SOURCE, NAME), "The systems to read from, by a name of your choice."),
        "tables": Key(MapOf(OneOf((TABLE_WORDS, Nothing())), TABLE), "What is promised of tables, by their names in the lake."),
        "verify": Key(MapOf(OneOf((VERIFY, Nothing())), TABLE), "Which tables are compared with their source, by their names in the lake."),
        "upkeep": Key(UPKEEP, "How long `limnos upkeep` keeps what is no longer current."),
        "environments": Key(
            MapOf(ENVIRONMENT, "[A-Za-z0-9_-]+"), "What differs in an environment that is chosen by `--env` or LIMNOS_ENV."
        ),
        **_later(LATER_SECTIONS),
    }
)
