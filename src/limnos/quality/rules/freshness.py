"""A table whose newest row is not too old."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

import pyarrow as pa

from limnos.model.contract import Contract, RuleSpec, Severity
from limnos.model.names import literal, quoted
from limnos.model.subject import Subject
from limnos.model.types import type_name
from limnos.model.verdict import Dimension
from limnos.quality.rules.declaration import Declaration, whole_table
from limnos.quality.rules.shape import Row, TableRule

_DURATION = re.compile(r"([1-9][0-9]{0,5})\s*([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Freshness(TableRule):
    """Insist that the newest value of a column is at most `most` old; a date counts from its end, a time without zone is UTC."""

    kind: ClassVar[str] = "freshness"
    dimension: ClassVar[Dimension] = Dimension.TIMELINESS
    type: pa.DataType
    most: timedelta

    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Freshness:
        """Build from one date or timestamp column and `max`, such as `6h`; warns unless a severity is named."""
        declaration = Declaration.read(spec, contract, "max", inherited=Severity.WARN)
        (column,) = declaration.columns(most=1)
        if type_name(column.type) not in {"date", "timestamp", "timestamptz"}:
            raise declaration.invalid(f"{column.name} does not say when", type_name(column.type), "date, timestamp or timestamptz")
        said = spec.arguments.get("max")
        match = _DURATION.fullmatch(str(said).strip())
        if match is None:
            raise declaration.invalid("max is not a duration", str(said), "a number with s, m, h, d or w, such as 6h")
        return cls(whole_table(declaration), column.type, timedelta(**{_UNITS[match[2]]: int(match[1])}))

    def promise(self) -> str:
        """Say what must hold."""
        return f"the newest {self.spec.columns[0]} must be at most {self.spec.arguments['max']} old"

    def measure(self, subject: Subject) -> str:
        """Compare the newest value with now; no value at all gives a denominator of 0."""
        newest = f"max({quoted(self.spec.columns[0])})"
        seen = f"CAST({newest} AS TIMESTAMP) + INTERVAL 1 DAY" if pa.types.is_date(self.type) else f"timezone('UTC', {newest})"
        if type_name(self.type) == "timestamp":
            seen = newest
        oldest = (subject.now.astimezone(UTC) - self.most).replace(tzinfo=None).isoformat(sep=" ")
        return (
            f"SELECT coalesce(CAST(seen >= CAST({literal(oldest)} AS TIMESTAMP) AS BIGINT), 0) AS numerator, "
            f"CAST(seen IS NOT NULL AS BIGINT) AS denominator, "
            f"{literal(self.promise())} || coalesce('; it is of ' || CAST(shown AS VARCHAR), '; there is none') AS detail "
            f"FROM (SELECT {seen} AS seen, {newest} AS shown FROM {self.chosen(subject)})"
        )

    def oracle(self, rows: Sequence[Row], parents: Mapping[Any, Sequence[Row]], now: datetime) -> set[int]:
        """Look at the newest value."""
        moments = [self._moment(row[self.spec.columns[0]]) for row in rows if row[self.spec.columns[0]] is not None]
        return {-1} if moments and now - max(moments) > self.most else set()

    @staticmethod
    def _moment(value: date | datetime) -> datetime:
        if not isinstance(value, datetime):
            return datetime.combine(value, time(), UTC) + timedelta(days=1)
        return value if value.tzinfo else value.replace(tzinfo=UTC)
