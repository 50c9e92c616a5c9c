"""What a table holds, in numbers, and the rules that they suggest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from limnos.model.contract import RuleSpec
from limnos.model.data import Snapshot
from limnos.model.names import TableName

NOT_PERSONAL = frozenset({"", "public", "internal", "uuid", "url", "country", "currency"})
"""The classes of columns whose values are shown to whoever may read the table; those of any other class are held back."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Count the rows that have one value or one pattern; texts are cut after 200 characters."""

    value: str
    rows: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """State how long values are, in characters, or in bytes where the column is binary; the mean is over rows."""

    least: int
    mean: float
    most: int


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """State what one column holds: `rows` is `nulls` and the rows with a value.

    `distinct` counts different values, `single` those that one row has. Values are written as the engine writes them. `minimum`,
    `maximum` and `quantiles` leave NaN out; `mean` and `stddev` (of the sample, n - 1) also infinities. `quantiles` maps percent to the
    least value that so many rows do not exceed. `top` holds the values that most rows have, `patterns` the forms of texts: `A` a capital
    letter, `a` another, `9` a digit, `+` after one of them any number of it. `pattern_rows` counts the rows whose form was looked at.
    `approximate` names what was estimated or read off a sample; all else is exact. `hidden` says that values are held back.
    """

    name: str
    type: str
    rows: int
    nulls: int
    distinct: int
    single: int = 0
    nan: int = 0
    infinite: int = 0
    negative: int = 0
    zero: int = 0
    empty: int = 0
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    stddev: float | None = None
    quantiles: Mapping[int, str] = field(default_factory=dict[int, str])
    lengths: Lengths | None = None
    top: tuple[Counted, ...] = ()
    patterns: tuple[Counted, ...] = ()
    pattern_rows: int = 0
    approximate: tuple[str, ...] = ()
    classification: str = ""
    evidence: str = ""
    hidden: bool = False

    @property
    def filled(self) -> int:
        """How many rows have a value."""
        return self.rows - self.nulls

    @property
    def unique(self) -> bool:
        """Whether every row has a value, and no two rows the same; proven, not estimated."""
        return self.nulls == 0 and self.rows > 0 and self.distinct == self.rows and "distinct" not in self.approximate

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object; what is not known of its type is null."""
        return {
            "name": self.name,
            "type": self.type,
            "rows": self.rows,
            "nulls": self.nulls,
            "distinct": self.distinct,
            "single": self.single,
            "unique": self.unique,
            "nan": self.nan,
            "infinite": self.infinite,
            "negative": self.negative,
            "zero": self.zero,
            "empty": self.empty,
            "min": self.minimum,
            "max": self.maximum,
            "mean": self.mean,
            "stddev": self.stddev,
            "quantiles": {str(percent): value for percent, value in self.quantiles.items()},
            "length": {"min": self.lengths.least, "mean": self.lengths.mean, "max": self.lengths.most} if self.lengths else None,
            "top": [{"value": one.value, "rows": one.rows} for one in self.top],
            "patterns": [{"pattern": one.value, "rows": one.rows} for one in self.patterns],
            "pattern_rows": self.pattern_rows,
            "approximate": list(self.approximate),
            "classification": self.classification or None,
            "evidence": self.evidence or None,
            "hidden": self.hidden,
        }


@dataclass(frozen=True, slots=True)
class CandidateKey:
    """Name columns of which no two rows have the same values and none is null, which was proven over all rows."""

    columns: tuple[str, ...]
    declared: bool = False

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {"columns": list(self.columns), "declared": self.declared}


@dataclass(frozen=True, slots=True)
class Inclusion:
    """State that values of a column are keys of another table: `rows` of `filled` rows, `values` of `distinct` values.

    `named` says that the names speak for it too.
    """

    column: str
    parent: TableName
    parent_column: str
    rows: int
    filled: int
    values: int
    distinct: int
    parent_values: int
    named: bool = False
    declared: bool = False

    @property
    def whole(self) -> bool:
        """Whether every value is a key of the other table."""
        return self.rows == self.filled

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "column": self.column,
            "references": f"{self.parent}.{self.parent_column}",
            "rows": self.rows,
            "filled": self.filled,
            "values": self.values,
            "distinct": self.distinct,
            "parent_values": self.parent_values,
            "named": self.named,
            "declared": self.declared,
        }


@dataclass(frozen=True, slots=True)
class TableProfile:
    """State what one published version of a table holds; `keys` come smallest first, `notes` say what was not looked at."""

    table: TableName
    snapshot: Snapshot
    rows: int
    columns: tuple[ColumnProfile, ...]
    keys: tuple[CandidateKey, ...] = ()
    inclusions: tuple[Inclusion, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "table": str(self.table),
            "snapshot_id": self.snapshot.snapshot_id,
            "published_at": self.snapshot.at.isoformat(),
            "rows": self.rows,
            "columns": [column.as_json() for column in self.columns],
            "keys": [key.as_json() for key in self.keys],
            "inclusions": [one.as_json() for one in self.inclusions],
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Propose a rule: `numerator` of `denominator` rows satisfy it, of which `lower` is the bound of the share to expect.

    `why` says in words what else speaks for it.
    """

    rule: RuleSpec
    numerator: int
    denominator: int
    why: str

    @property
    def lower(self) -> float:
        """The lower end of the 95 % interval of the share of rows that satisfy it."""
        return wilson(self.numerator, self.denominator)

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "rule": self.rule.as_json(),
            "numerator": self.numerator,
            "denominator": self.denominator,
            "lower_bound": self.lower,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Hold what is suggested for a table, as a unified diff of `file` too; `notes` say what the evidence does not carry.

    `rows` and `versions` are what was seen; `written` says that the file was changed.
    """

    table: TableName
    rows: int
    versions: int
    rules: tuple[Suggestion, ...]
    notes: tuple[str, ...]
    file: str
    diff: str
    written: bool = False

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "table": str(self.table),
            "rows": self.rows,
            "versions": self.versions,
            "rules": [one.as_json() for one in self.rules],
            "notes": list(self.notes),
            "file": self.file,
            "diff": self.diff,
            "written": self.written,
        }


_Z = 1.959963984540054


def wilson(numerator: int, denominator: int) -> float:
    """Give the lower end of the 95 % score interval of a share; 0 of nothing.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Examples:
        >>> round(wilson(100, 100), 4), round(wilson(9, 10), 4), wilson(0, 0)
        (0.963, 0.5958, 0.0)
    """
    if not denominator:
        return 0.0
    share = numerator / denominator
    middle = share + _Z**2 / (2 * denominator)
    spread = _Z * math.sqrt(share * (1 - share) / denominator + _Z**2 / (4 * denominator**2))
    return max(0.0, (middle - spread) / (1 + _Z**2 / denominator))
