"""A source by somebody else: a table of the tide, computed. All it takes is this file, an entry point and a test class."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import pyarrow as pa

from limnos.errors import SourceUnreachable, UnknownName, Unsupported
from limnos.model.contract import Column, Contract, RuleSpec
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Capability, Option, SourceConfig
from limnos.model.run import Finding
from limnos.ports import Engine, Reading

SCHEMA = pa.schema([pa.field("hour", pa.int64()), pa.field("height_m", pa.float64())])


class TideReading:
    """Compute the heights of one opening."""

    def __init__(self, name: str, hours: int) -> None:
        self._name = name
        self._hours = hours

    def tables(self) -> tuple[str, ...]:
        return ("high", "low")

    def describe(self, table: str, target: TableName) -> Contract:
        self._known(table)
        columns = (Column("hour", pa.int64(), required=True), Column("height_m", pa.float64()))
        return Contract(target, columns, ("hour",), (RuleSpec("primary_key", ("hour",)),))

    def position(self, table: str) -> Position:
        raise Unsupported(
            "The tide has no fingerprint",
            subject=f"{self._name}.{table}",
            seen="a computed table",
            hint="nothing to do: it is read in every run",
        )

    def read(self, table: str, contract: Contract) -> Extract:
        self._known(table)
        sign = 1 if table == "high" else -1
        return Extract(SCHEMA, self._hours, None, batches=self._batches(sign, self._hours))

    def _known(self, table: str) -> None:
        if table not in self.tables():
            raise UnknownName.among("table", table, self.tables(), hint=f"limnos doctor {self._name}")

    def _batches(self, sign: int, hours: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, hours, 100):
            some = range(start, min(start + 100, hours))
            heights = [sign * abs(math.sin(hour / 12.42 * math.pi)) for hour in some]
            yield pa.record_batch([pa.array(some, pa.int64()), pa.array(heights, pa.float64())], schema=SCHEMA)


class TideSource:
    """Compute the tide for a number of hours."""

    kind: ClassVar[str] = "tide"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.KEYS})
    options: ClassVar[tuple[Option, ...]] = (Option("hours", "integer", required=True, description="how many hours to compute"),)

    def __init__(self, config: SourceConfig, engine: Engine) -> None:
        self.config = config

    @contextmanager
    def open(self) -> Generator[Reading]:
        hours = int(str(self.config.options["hours"]))
        if hours < 0:
            raise SourceUnreachable(
                "The tide does not run backwards",
                subject=self.config.name,
                seen=f"hours: {hours}",
                expected="0 or more",
                hint=f"set `hours` in limnos.yml, then run `limnos doctor {self.config.name}`",
            )
        yield TideReading(self.config.name, hours)

    def findings(self) -> Iterable[Finding]:
        name = f"source {self.config.name}"
        try:
            with self.open() as reading:
                return [Finding(name, ok=True, detail=f"{len(reading.tables())} tables")]
        except SourceUnreachable as error:
            return [Finding(name, ok=False, detail=error.what, hint=error.hint)]
