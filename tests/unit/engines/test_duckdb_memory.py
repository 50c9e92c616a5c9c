"""The engine takes a stream as it needs it: what is in memory at once does not grow with the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.model.data import Layout
from limnos.ports import Session

ROWS, COUNT = 20_000, 100
SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])
ONE = pa.record_batch([pa.array(range(ROWS), pa.int64()), pa.array([f"{n * 7919:040}" for n in range(ROWS)])], SCHEMA)


def batches(seen: list[int]) -> Iterator[pa.RecordBatch]:
    """Give batches faster than anybody uses them, and note at each what all that are alive hold."""
    order = pa.array(range(ROWS))
    for _ in range(COUNT):
        yield ONE.take(order)
        seen.append(pa.total_allocated_bytes())


USES: dict[str, Callable[[Session, pa.RecordBatchReader, Path], object]] = {
    "write": lambda session, raw, home: session.write("SELECT * FROM raw", Layout(str(home), {"n": 1, "text": 2}), raw=raw),
    "run": lambda session, raw, _: session.run("SELECT sum(n), max(text) FROM raw", raw=raw),
    "stream": lambda session, raw, _: [len(batch) for batch in session.stream("SELECT * FROM raw WHERE n % 1000 = 0", raw=raw)],
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_of_many_batches_a_few_are_in_memory_at_once(use: Callable[..., object], tmp_path: Path) -> None:
    seen: list[int] = []
    before = pa.total_allocated_bytes()
    with DuckEngine(threads=2).session() as session:
        use(session, pa.RecordBatchReader.from_batches(SCHEMA, batches(seen)), tmp_path)
    assert len(seen) == COUNT
    assert max(seen) - before < COUNT // 10 * ONE.nbytes
