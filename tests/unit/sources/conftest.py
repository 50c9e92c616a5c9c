"""A directory of files that is read as one table."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.model.contract import Contract
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.project import SourceConfig, SourceTable
from limnos.model.types import type_name
from limnos.sources.files import FilesReading, FilesSource

TARGET = TableName("lake", "t")


@dataclass
class Opened:
    reading: FilesReading
    engine: DuckEngine

    @property
    def extract(self) -> Extract:
        return self.reading.read("t", Contract(TARGET, ()))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self._run(self.extract.scan).to_pylist()

    @property
    def rejects(self) -> list[tuple[str, bytes, str]]:
        sql = self.extract.rejects
        return [tuple(row.values()) for row in self._run(sql).to_pylist()] if sql else []

    @property
    def types(self) -> dict[str, str]:
        return {column.name: type_name(column.type) for column in self.reading.describe("t", TARGET).columns}

    def origins(self, ordinals: Sequence[int]) -> list[str]:
        assert self.extract.origins is not None
        return list(self.extract.origins(ordinals))

    def _run(self, sql: str) -> pa.Table:
        with self.engine.session() as session:
            return session.run(sql)


@dataclass
class Files:
    root: Path

    def write(self, name: str, content: bytes | str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def source(self, path: str, **options: object) -> FilesSource:
        table = SourceTable("t", TARGET)
        return FilesSource(SourceConfig("web", "files", self.root, "web", {"path": path, **options}, (table,)), DuckEngine())

    @contextmanager
    def open(self, path: str, **options: object) -> Generator[Opened]:
        with self.source(path, **options).open() as reading:
            yield Opened(reading, DuckEngine())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def csv_of(files: Files) -> Callable[..., Any]:
    @contextmanager
    def opened(content: bytes | str, **options: object) -> Generator[Opened]:
        files.write("t.csv", content)
        with files.open("t.csv", **options) as found:
            yield found

    return opened
