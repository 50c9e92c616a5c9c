from __future__ import annotations

import tempfile
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnos.engines.duckdb import DuckEngine
from limnos.model.contract import Contract
from limnos.model.names import TableName
from limnos.model.project import SourceConfig
from limnos.ports import Session
from limnos.sources.files import FilesSource
from limnos.sources.files.broken_csv import Kind, Record, records
from limnos.sources.files.dialect import Dialect, Format
from limnos.sources.files.glance import glance

PIECES = [
    b"a",
    b"1",
    b",",
    b",",
    b'"',
    b'"',
    b"\n",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"NA",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b'""',
    b'" "',
    b"\xef\xbb\xbf",
]
NEARLY = [
    b"1,2,3\n",
    b'"x","y",z\n',
    b'1,"a\nb",3\n',
    b",,\n",
    b'"","",\n',
    b'1,"a""b",3\n',
    b'1, "x" ,3\n',
    b'1,"a"" ""b  ""c",3\n',
    b'" "," x ",5" "\n',
    b"1,2,3,\n",
    b"1,2,3\r\n",
    b"\n",
]
wild = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)
nearly = st.lists(st.one_of(st.sampled_from(NEARLY), st.sampled_from(NEARLY), st.sampled_from(PIECES)), max_size=20).map(b"".join)
nulls = st.sampled_from([("",), ("NA", ""), ("NA",), ()])


def dialect(null_values: tuple[str, ...] = ("",)) -> Dialect:
    return Dialect("t.csv", Format.CSV, null_values=null_values)


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


@given(st.one_of(st.binary(max_size=60), wild, nearly), st.integers(0, 4), nulls, st.integers(1, 9))
def test_no_byte_is_lost_whatever_the_bytes_and_however_they_come(
    content: bytes, width: int, null_values: tuple[str, ...], size: int
) -> None:
    found = list(records([content], dialect(null_values), width))
    assert b"".join(record.raw for record in found) == content
    assert found == list(records(cut(content, size), dialect(null_values), width))
    assert all(bool(record.reason) is (record.kind is Kind.REJECT) for record in found)
    lines = 1
    for record in found:
        assert record.line == lines
        lines += len(record.raw.splitlines())


@given(st.one_of(wild, nearly), st.integers(1, 4), nulls, st.integers(1, 30))
def test_rows_that_come_in_runs_are_the_rows_that_come_one_by_one(
    content: bytes, width: int, null_values: tuple[str, ...], size: int
) -> None:
    plain = replace(dialect(null_values), header=False)
    single: list[Record] = []
    for record in records(cut(content, size), plain, width, runs=True):
        lines = record.raw.splitlines(keepends=True) if record.rows > 1 else [record.raw]
        single += [record._replace(raw=raw, line=record.line + at, rows=1) for at, raw in enumerate(lines)]
    expected = list(records([content], plain, width))
    assert [record._replace(fields=()) for record in single] == [record._replace(fields=()) for record in expected]
    assert all(not one.fields or one.fields == other.fields for one, other in zip(single, expected, strict=True))


@given(
    st.lists(st.lists(st.text(st.characters(blacklist_characters="\0", codec="utf-8"), max_size=8), min_size=3, max_size=3), max_size=8),
    st.data(),
)
def test_what_was_written_by_the_rules_is_read_back(rows: list[list[str]], data: st.DataObject) -> None:
    def written(value: str) -> str:
        must = any(char in value for char in ',"\r\n ') or not value
        return '"' + value.replace('"', '""') + '"' if must or data.draw(st.booleans()) else value

    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    content = "".join(",".join(written(value) for value in row) + end for row in rows).encode()
    header = b"a,b,c" + end.encode()
    assert [list(record.fields) for record in records([header + content], dialect(), 3) if record.kind is Kind.ROW] == rows


@given(nearly, st.integers(1, 9))
def test_the_fast_count_does_not_depend_on_how_the_bytes_come(content: bytes, size: int) -> None:
    whole, pieces = glance([content], dialect(), 3), glance(cut(content, size), dialect(), 3)
    # Bytes at the edge of a chunk may look odd where they are not; then the slow way is taken.
    assert pieces in {whole, None}


@pytest.fixture(scope="module")
def session() -> Generator[Session]:
    with DuckEngine().session() as opened:
        yield opened


@settings(max_examples=400, deadline=None)
@given(content=st.one_of(wild, nearly), null_values=nulls)
def test_the_source_gives_what_the_exact_reader_gives(content: bytes, null_values: tuple[str, ...], session: Session) -> None:
    content = b"a,b,c\n" + content
    expected = list(records([content], dialect(null_values), 3))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "t.csv").write_bytes(content)
        source = FilesSource(
            SourceConfig("t", "files", Path(folder), "n", {"path": "t.csv", "null_values": list(null_values)}), DuckEngine()
        )
        with source.open() as reading:
            extract = reading.read("t", Contract(TableName("n", "t"), ()))
            rows = [record for record in expected if record.kind is Kind.ROW]
            assert [tuple(row.values()) for row in session.run(extract.scan).to_pylist()] == [tuple(record.fields) for record in rows]
            assert extract.rows == len(rows)
            assert extract.origins is not None
            assert extract.origins(range(len(rows))) == [f"t.csv:{record.line}" for record in rows]
            rejects = session.run(extract.rejects).to_pylist() if extract.rejects else []
            assert rejects == [_reject(record) for record in expected if record.kind is Kind.REJECT]
            assert extract.rejected == len(rejects)


def _reject(record: Record) -> dict[str, object]:
    return {"origin": f"t.csv:{record.line}", "raw": record.raw, "reason": record.reason}
