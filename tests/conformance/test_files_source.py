from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.model.names import TableName
from limnos.model.project import SourceConfig, SourceTable
from limnos.sources.files import FilesSource
from limnos.testing.source import SourceSuite, World

PATHS = {"prices": "in/prices-*.csv", "broken": "broken.csv.gz", "events": "events.ndjson", "parts": "parts.parquet"}
ROWS = {
    "prices": [
        {"id": "1", "price": "1.50", "note": 'it\'s\n"fine"', "day": "2024-02-29"},
        {"id": "2", "price": "-0.25", "note": "", "day": None},
        {"id": "2", "price": None, "note": None, "day": "2024-03-01"},
    ],
    "broken": [{"a": "007", "b": "true"}, {"a": "\U0001f600", "b": "false"}],
    "events": [{"n": "12345678901234567890", "o": '{"x": 0.10}'}, {"n": None, "o": None}, {"n": "1", "o": "[1,  2]"}],
    "parts": [{"n": str(number), "u": str(2**64 - 1)} for number in range(3000)],
}


def lay_down(root: Path) -> None:
    (root / "in").mkdir()
    (root / "in/prices-1.csv").write_text('id,price,note,day\r\n1,1.50,"it\'s\n""fine""",2024-02-29\r\n', newline="")
    (root / "in/prices-2.csv").write_text('price,id,day,note\n-0.25,2,,""\n,2,2024-03-01,\n')
    (root / "broken.csv.gz").write_bytes(gzip.compress('a,b\n007,true\nshort\n\U0001f600,false\n"open,1\n'.encode()))
    (root / "events.ndjson").write_text('{"n": 12345678901234567890, "o": {"x": 0.10}}\n{}\nnothing\n{"n": 1, "o": [1,  2]}\n')
    table = pa.table({"n": pa.array(range(3000), pa.uint16()), "u": pa.array([2**64 - 1] * 3000, pa.uint64())})
    pq.write_table(table, root / "parts.parquet", row_group_size=500)


def change(root: Path, table: str) -> None:
    match table:
        case "prices":
            (root / "in/prices-2.csv").write_text('price,id,day,note\n-0.25,3,,""\n,2,2024-03-01,\n')
        case "broken":
            (root / "broken.csv.gz").write_bytes(gzip.compress('a,b\n008,true\nshort\n\U0001f600,false\n"open,1\n'.encode()))
        case "events":
            (root / "events.ndjson").write_text('{"n": 12345678901234567890, "o": {"x": 0.10}}\n{}\nnothing\n{"n": 2, "o": [1,  2]}\n')
        case _:
            pq.write_table(pa.table({"n": range(1, 3001), "u": [0] * 3000}), root / "parts.parquet")


class TestFilesSource(SourceSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        lay_down(tmp_path)
        engine = DuckEngine()
        tables = tuple(SourceTable(name, TableName("web", name), options={"path": path}) for name, path in PATHS.items())
        source = FilesSource(SourceConfig("web", "files", tmp_path, "web", tables=tables), engine)
        absent = FilesSource(SourceConfig("web", "files", tmp_path, "web", {"path": "nowhere/*.csv"}), engine)
        return World(source, engine, ROWS, lambda table: change(tmp_path, table), absent)
