"""Files in object storage, over the S3 protocol."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import S3FileSystem

from limnos.engines.duckdb import DuckEngine
from limnos.errors import SourceChanged, SourceUnreachable
from limnos.model.contract import Contract
from limnos.model.names import TableName
from limnos.model.project import SourceConfig
from limnos.sources.files import FilesSource

TARGET = TableName("web", "t")
pytestmark = pytest.mark.e2e


@pytest.fixture
def bucket(s3_server) -> S3FileSystem:
    return S3FileSystem(
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        endpoint_override=s3_server.endpoint,
        region=s3_server.region,
        force_virtual_addressing=False,
    )


@pytest.fixture
def source_of(s3_server, tmp_path: Path) -> Callable[[str], tuple[FilesSource, DuckEngine]]:
    def build(path: str) -> tuple[FilesSource, DuckEngine]:
        options = {name: getattr(s3_server, name) for name in ("endpoint", "access_key", "secret_key", "region")}
        engine = DuckEngine(s3={**options, "path_style": True})
        return FilesSource(SourceConfig("t", "files", tmp_path, "web", {"path": f"s3://{s3_server.bucket}/{path}"}), engine), engine

    return build


def put(bucket: S3FileSystem, s3_server, key: str, content: bytes) -> None:
    with bucket.open_output_stream(f"{s3_server.bucket}/{key}", compression=None) as stream:
        stream.write(content)


def test_files_of_each_format_are_read_from_a_bucket(bucket, s3_server, source_of) -> None:
    put(bucket, s3_server, "in/1.csv", b"a,b\n1,2\n")
    put(bucket, s3_server, "in/2.csv.gz", gzip.compress(b"a,b\n3\n4,5\n"))
    put(bucket, s3_server, "in/t.ndjson", b'{"a": 1, "b": 0.10}\n')
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1], "b": [2]}), sink)
    put(bucket, s3_server, "in/t.parquet", sink.getvalue().to_pybytes())
    for path, expected, rejected in (
        ("in/*.csv*", [("1", "2"), ("4", "5")], 1),
        ("in/*.ndjson", [("1", "0.10")], 0),
        ("in/t.parquet", [(1, 2)], 0),
    ):
        source, engine = source_of(path)
        with source.open() as reading, engine.session() as session:
            extract = reading.read("t", Contract(TARGET, ()))
            assert [tuple(row.values()) for row in session.run(extract.scan).to_pylist()] == expected
            assert extract.rejected == rejected
            assert extract.origins is not None
            assert s3_server.bucket in extract.origins([0])[0]


def test_an_object_that_is_replaced_is_a_change(bucket, s3_server, source_of) -> None:
    put(bucket, s3_server, "changing.csv", b"a\n1\n")
    source, _ = source_of("changing.csv")
    with source.open() as reading:
        before = reading.position("t")
        assert reading.position("t").content == before.content
        put(bucket, s3_server, "changing.csv", b"a\n1\n2\n")
        with pytest.raises(SourceChanged):
            reading.position("t")
    with source.open() as reading:
        assert reading.position("t").content != before.content


def test_a_path_without_an_object_is_an_error(bucket, source_of) -> None:
    source, _ = source_of("nothing/*.csv")
    with pytest.raises(SourceUnreachable), source.open():
        pass


def test_a_wrong_key_is_an_error_that_does_not_tell_it(s3_server, tmp_path: Path) -> None:
    engine = DuckEngine(
        s3={"endpoint": s3_server.endpoint, "access_key": "limnos", "secret_key": "planted", "region": "us-east-1", "path_style": True}
    )
    source = FilesSource(SourceConfig("t", "files", tmp_path, "web", {"path": f"s3://{s3_server.bucket}/x.csv"}), engine)
    with pytest.raises(SourceUnreachable) as raised, source.open():
        pass
    assert "planted" not in str(raised.value)
    assert not next(iter(source.findings())).ok
