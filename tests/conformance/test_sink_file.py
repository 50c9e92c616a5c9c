from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limnos.sinks.files import FileSink
from limnos.sinks.rows import FORMATS
from limnos.testing.sink import SinkSuite, Target


def counted(path: Path) -> int:
    match path.suffix:
        case ".parquet":
            return pq.read_metadata(path).num_rows
        case ".arrow":
            return pa.ipc.open_stream(path.read_bytes()).read_all().num_rows
        case ".csv":
            with path.open(newline="") as file:
                return sum(1 for _ in csv.DictReader(file))
        case ".json":
            return len(json.loads(path.read_text()))
        case _:
            return len([json.loads(line) for line in path.read_text().splitlines()])


def state(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()}


class TestFileSink(SinkSuite):
    @pytest.fixture(params=FORMATS)
    def target(self, request: pytest.FixtureRequest, tmp_path: Path) -> Target:
        directory = tmp_path / "out"
        directory.mkdir()
        path = directory / f"rows.{request.param}"
        broken = FileSink(tmp_path / "absent" / path.name, request.param)
        return Target(FileSink(path, request.param), lambda: state(directory), lambda: counted(path), broken)
