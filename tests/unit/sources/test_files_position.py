from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.errors import ProjectInvalid, SourceRefused
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import SourceConfig, SourceTable
from limnos.sources.files import FilesSource

_ENGINE = DuckEngine()
OLD = time.time_ns() - 3_600_000_000_000


def age(path: Path, at_ns: int = OLD) -> None:
    os.utime(path, ns=(at_ns, at_ns))


def position(source: FilesSource) -> Position:
    with source.open() as reading:
        return Position.from_json(reading.position("t").as_json())


def test_content_decides_and_times_do_not(files) -> None:
    path = files.write("t.csv", "a\n1\n")
    before = position(files.source("t.csv"))
    age(path)
    assert position(files.source("t.csv")).content == before.content
    files.write("t.csv", "a\n2\n")
    assert position(files.source("t.csv")).content != before.content


@pytest.mark.parametrize("name", ["stat", "u.csv"])
def test_a_file_that_comes_goes_or_moves_is_a_change(files, name: str) -> None:
    files.write("t.csv", "a\n1\n")
    one = position(files.source("*", format="csv")).content
    files.write(name, "a\n1\n")
    two = position(files.source("*", format="csv")).content
    files.write(name, "a\n3\n")
    three = position(files.source("*", format="csv")).content
    assert len({each.as_json() for each in (one, two, three)}) == 3


def test_reading_the_same_bytes_in_another_way_is_a_change(files) -> None:
    files.write("t.csv", "a\nNA\n")
    assert position(files.source("t.csv")).content != position(files.source("t.csv", null_values=["NA"])).content


def test_a_known_file_that_looks_the_same_is_not_read_again(files) -> None:
    path = files.write("t.csv", "a\n1\n")
    age(path)
    known = position(files.source("t.csv"))
    path.write_bytes(b"a\n2\n")
    age(path)
    trusting, careful = files.source("t.csv"), files.source("t.csv")
    trusting.known = {"t": known}
    assert position(trusting) == known
    assert position(careful).content != known.content
    age(path, OLD + 1)
    assert position(trusting).content == position(careful).content


def test_a_file_as_young_as_its_hash_is_read_again(files) -> None:
    path = files.write("t.csv", "a\n1\n")
    now = time.time_ns()
    age(path, now)
    source = files.source("t.csv")
    source.known = {"t": position(source)}
    path.write_bytes(b"a\n2\n")
    age(path, now)
    assert position(source).content != source.known["t"].content


def test_several_tables_each_need_a_path(tmp_path: Path) -> None:
    tables = (SourceTable("a", TableName("n", "a"), options={"path": "a.csv"}), SourceTable("b", TableName("n", "b")))
    with pytest.raises(ProjectInvalid) as raised:
        FilesSource(SourceConfig("web", "files", tmp_path, "n", {"path": "*.csv"}, tables), _ENGINE)
    assert "Table b" in raised.value.what


def test_a_table_has_its_own_options_before_those_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x;y\nNA;2\n")
    table = SourceTable("a", TableName("n", "a"), options={"path": "a.csv", "delimiter": ";"})
    with FilesSource(
        SourceConfig("web", "files", tmp_path, "n", {"null_values": ["NA"], "delimiter": "|"}, (table,)), _ENGINE
    ).open() as reading:
        assert reading.tables() == ("a",)
        assert reading.describe("a", TableName("n", "a")).names == ("x", "y")
        assert "['NA']" in reading.read("a", reading.describe("a", TableName("n", "a"))).scan


@pytest.fixture
def nobody() -> Generator[None]:
    """Root may read every file, so it becomes somebody who may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


def test_a_file_without_read_permission_is_refused(nobody: None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "t.csv").write_text("a\n1\n")
        Path(folder, "t.csv").chmod(0)
        source = FilesSource(SourceConfig("t", "files", Path(folder), "n", {"path": "*.csv"}), _ENGINE)
        with pytest.raises(SourceRefused) as raised, source.open():
            pass
        assert (raised.value.subject, raised.value.hint) == ("t.csv", "chmod u+r t.csv")


def test_the_doctor_is_told_files_and_sizes(files) -> None:
    files.write("in/1.csv", "a\n1\n")
    files.write("in/2.csv", "a\n22\n")
    (finding,) = files.source("in/*.csv").findings()
    assert (finding.ok, finding.detail) == (True, "2 csv file(s), 9 bytes, readable")
