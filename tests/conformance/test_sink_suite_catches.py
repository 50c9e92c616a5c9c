"""Sinks that break one promise each; a suite that lets one of them pass is worth nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from limnos.errors import StorageFailed
from limnos.sinks.files import FileSink
from limnos.sinks.rows import write_rows
from limnos.testing.sink import SinkSuite, Target


class WritesInPlace(FileSink):
    def write(self, rows: pa.RecordBatchReader) -> int:
        with self._path.open("wb") as file:
            return write_rows(rows, file, self._form)


class Appends(FileSink):
    def write(self, rows: pa.RecordBatchReader) -> int:
        with self._path.open("ab") as file:
            return write_rows(rows, file, self._form)


class LosesTheFirstRow(FileSink):
    def write(self, rows: pa.RecordBatchReader) -> int:
        rows.read_next_batch()
        return super().write(rows) + 1


class Miscounts(FileSink):
    def write(self, rows: pa.RecordBatchReader) -> int:
        return super().write(rows) + 1


class WritesAgain(FileSink):
    def _holds(self, other: Path) -> bool:
        return False


class LeavesItsScratchFile(FileSink):
    def write(self, rows: pa.RecordBatchReader) -> int:
        self._path.with_suffix(".part").touch()
        count = super().write(rows)
        self._path.with_suffix(".part").unlink()
        return count


class SwallowsFailures(FileSink):
    def write(self, rows: pa.RecordBatchReader) -> int:
        try:
            return super().write(rows)
        except StorageFailed:
            return 0


def _breaks(suite: SinkSuite, target: Target) -> None:
    suite.test_a_stream_that_breaks_leaves_nothing(target, 1)


TESTS: dict[type[FileSink], Callable[[SinkSuite, Target], None]] = {
    WritesInPlace: SinkSuite.test_a_stream_that_breaks_leaves_what_was_there,
    Appends: SinkSuite.test_other_rows_take_the_place_of_the_first,
    LosesTheFirstRow: SinkSuite.test_all_rows_arrive_and_are_counted,
    Miscounts: SinkSuite.test_no_rows_can_be_written,
    WritesAgain: SinkSuite.test_a_replay_changes_nothing,
    LeavesItsScratchFile: _breaks,
    SwallowsFailures: SinkSuite.test_a_target_that_refuses_is_told,
}


def target_of(sink: type[FileSink], directory: Path) -> Target:
    path = directory / "rows.ndjson"
    return Target(
        sink(path, "ndjson"),
        lambda: {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in directory.iterdir()},
        lambda: len(path.read_text().splitlines()),
        sink(directory / "absent" / "rows.ndjson", "ndjson"),
    )


@pytest.mark.parametrize("wrong", TESTS)
def test_the_suite_catches_a_sink_that(wrong: type[FileSink], tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        TESTS[wrong](SinkSuite(), target_of(wrong, tmp_path))


@pytest.mark.parametrize("test", TESTS.values())
def test_the_suite_lets_the_right_sink_pass(test: Callable[[SinkSuite, Target], None], tmp_path: Path) -> None:
    test(SinkSuite(), target_of(FileSink, tmp_path))
