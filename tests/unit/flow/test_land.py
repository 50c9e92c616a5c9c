from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.errors import MalformedFile, SourceChanged
from limnos.flow.land import Landed, land
from limnos.flow.set_aside import FAILED
from limnos.model.contract import Column, Contract
from limnos.model.data import Layout
from limnos.model.extract import Extract
from limnos.model.names import TableName, literal

CONTRACT = Contract(TableName("s", "t"), (Column("id", pa.int64()), Column("n", pa.int32())))
RAW = pa.schema([("id", pa.int64()), ("n", pa.string())])
ROWS = [(1, "10"), (2, "x"), (3, None), (4, "2147483648"), (5, "-5")]


def _batches(*rows: list[tuple[int, str | None]]) -> Iterator[pa.RecordBatch]:
    for some in rows:
        yield pa.record_batch([[row[0] for row in some], [row[1] for row in some]], schema=RAW)


def _scan(path: Path) -> str:
    pq.write_table(pa.Table.from_batches(list(_batches(ROWS)), RAW), path)
    return f"SELECT * FROM read_parquet({literal(str(path))})"


def _landed(extract: Extract, directory: Path) -> tuple[Landed, list[dict[str, object]], list[dict[str, object]]]:
    engine = DuckEngine(memory_bytes=0, s3={})
    with engine.session() as session:
        landed = land(engine, session, extract, CONTRACT, Layout(str(directory / "data"), {"id": 1, "n": 2}))
        failed = session.run(f"SELECT * FROM {FAILED} ORDER BY _record").to_pylist() if landed.failed else []
    rows = [row for file in landed.files for row in pq.read_table(file.path).to_pylist()]
    return landed, sorted(rows, key=lambda row: row["id"]), failed


FITTING = [{"id": 1, "n": 10}, {"id": 3, "n": None}, {"id": 5, "n": -5}]
FAILING = [{"_record": 1, "id": 2, "n": "x"}, {"_record": 3, "id": 4, "n": "2147483648"}]


def test_a_scan_lands_what_fits_and_keeps_the_rest_as_it_was(tmp_path: Path) -> None:
    landed, rows, failed = _landed(Extract(RAW, 5, None, scan=_scan(tmp_path / "raw.parquet")), tmp_path)
    assert (landed.rows, landed.failed) == (3, 2)
    assert (rows, failed) == (FITTING, FAILING)


@pytest.mark.parametrize("cuts", [[5], [2, 3], [1, 1, 1, 1, 1], [0, 5], [2, 0, 3]])
def test_a_stream_lands_the_same_however_it_is_cut(tmp_path: Path, cuts: list[int]) -> None:
    left, batches = list(ROWS), []
    for cut in cuts:
        batches.append(left[:cut])
        left = left[cut:]
    landed, rows, failed = _landed(Extract(RAW, 5, None, batches=_batches(*batches)), tmp_path)
    assert (landed.rows, landed.failed) == (3, 2)
    assert (rows, failed) == (FITTING, FAILING)


def test_a_stream_of_which_nothing_fits_keeps_every_row(tmp_path: Path) -> None:
    landed, rows, failed = _landed(Extract(RAW, 2, None, batches=_batches([(1, "x")], [(2, "y")])), tmp_path)
    assert (landed.files, landed.failed, rows) == ((), 2, [])
    assert [row["n"] for row in failed] == ["x", "y"]


def test_an_empty_stream_lands_nothing(tmp_path: Path) -> None:
    assert _landed(Extract(RAW, 0, None, batches=_batches()), tmp_path) == (Landed((), 0), [], [])


@pytest.mark.parametrize("schema", [RAW, pa.schema([("id", pa.int64()), ("n", pa.int32())])])
def test_an_error_of_the_source_comes_out_of_the_stream_as_it_is(tmp_path: Path, schema: pa.Schema) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([pa.array([1]), pa.array([None], schema.field("n").type)], schema=schema)
        raise SourceChanged("The table changed", subject="t", seen="a", expected="b", hint="run again")

    with pytest.raises(SourceChanged, match="The table changed"):
        _landed(Extract(schema, 2, None, batches=batches()), tmp_path)


def test_a_scan_that_breaks_off_is_malformed_and_names_the_table(tmp_path: Path) -> None:
    path = tmp_path / "raw.parquet"
    pq.write_table(pa.table({"id": range(50_000), "n": ["1"] * 50_000}, schema=RAW), path, compression="zstd")
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * (len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(MalformedFile) as told:
        _landed(Extract(RAW, 50_000, None, scan=f"SELECT * FROM read_parquet({literal(str(path))})"), tmp_path)
    assert told.value.subject == "s.t"
