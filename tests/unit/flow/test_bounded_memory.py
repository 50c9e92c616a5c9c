from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.flow.scripted import RAW, START, Script, ScriptReading, lake_of, published

from limnos.model.changes import ENVELOPE, Changes
from limnos.model.position import Position

_BATCH = 20_000
_FEW, _MANY = 300_000, 1_200_000
_MORE_MIB = 150
"""Held in memory, as many more of these changes take over 300 MiB; what the engine may hold is 144 MiB."""


@dataclass
class Flood(Script):
    """A source that, asked for changes, inserts rows, changes every second one and deletes every fourth; `count` in all."""

    count: int = 0

    @contextmanager
    def open(self) -> Generator[FloodReading]:
        yield FloodReading(self, len(self.log), ())


@dataclass
class FloodReading(ScriptReading):
    def cut(self, table: str) -> Position:
        assert isinstance(self.script, Flood)
        return Position("script", {"at": self.script.count})

    def changes(self, since: Mapping[str, Position]) -> Iterator[Changes]:
        assert isinstance(self.script, Flood)
        for low in range(int(str(since["rows"].value["at"])), self.script.count, _BATCH):
            yield self._flood(np.arange(low, low + _BATCH), self.script.count * 4 // 7)

    def _flood(self, numbers: np.ndarray, rows: int) -> Changes:
        round_, ids = np.divmod(numbers, rows)
        # The first round inserts each row; the next one passes over those that are left as they are.
        ids = np.where(round_ == 1, (ids * 2) % rows, ids)
        deletes = (round_ == 1) & (ids % 4 == 0)
        operations = pa.array(["insert", "update", "delete"]).take(pa.array(np.where(deletes, 2, np.minimum(round_, 1))))
        texts = pa.array(np.char.add("a name of some length ", ids.astype(str)))
        columns = [
            pa.array(ids),
            texts,
            pa.array(np.char.add((numbers % 1000).astype(str), ".25")),
            pa.array(numbers),
        ]
        envelope = [
            pa.array(numbers),
            operations,
            pa.array(np.full(len(numbers), np.datetime64(START.replace(tzinfo=None), "us"))).cast(ENVELOPE.field("_at").type),
            pa.nulls(len(numbers), ENVELOPE.field("_kept").type),
        ]
        batch = pa.RecordBatch.from_arrays([*envelope, *columns], schema=pa.schema([*ENVELOPE, *RAW]))
        return Changes("rows", batch, ("id",))


def main(directory: str, count: str, table: str, promises: str) -> None:
    source = Flood()
    lake = lake_of(Path(directory), source, table=table, promises=promises)
    lake.run()
    source.count = int(count)
    (result,) = lake.run().tables
    assert result.error is None, result.error
    found = published(lake, "count(*)")
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    sys.stdout.write(json.dumps({"read": result.read, "closes": result.closes, "rows": found[0][0], "peak_mib": int(peak) / 1024}))


def _peak_mib(directory: Path, count: int, table: str, promises: str) -> float:
    directory.mkdir()
    arguments = [sys.executable, "-m", "tests.unit.flow.test_bounded_memory", str(directory), str(count), table, promises]
    said = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3]).stdout
    found = json.loads(said)
    assert (found["read"], found["closes"]) == (count, True)
    assert found["rows"] >= count * 3 // 7
    return float(found["peak_mib"])


@pytest.mark.parametrize(
    ("table", "promises"),
    [("mode: cdc", ""), ("mode: cdc, deletes: soft", ""), ("mode: cdc", "history: scd2")],
    ids=["hard", "soft", "history"],
)
def test_four_times_as_many_changes_take_hardly_more_memory(tmp_path: Path, table: str, promises: str) -> None:
    few, many = (_peak_mib(tmp_path / str(count), count, table, promises) for count in (_FEW, _MANY))
    assert many - few < _MORE_MIB, (few, many)


if __name__ == "__main__":
    main(*sys.argv[1:])
