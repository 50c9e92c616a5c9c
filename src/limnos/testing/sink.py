"""The conformance suite of `Sink`; it needs pytest, which the tests of an adapter bring along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from limnos.errors import QueryInvalid, StorageFailed
from limnos.ports import Sink

_FIELDS: list[pa.Field[Any]] = [
    pa.field("id", pa.int64()),
    pa.field("name", pa.string()),
    pa.field("amount", pa.decimal128(38, 2)),
    pa.field("day", pa.date32()),
    pa.field("at", pa.timestamp("us", tz="UTC")),
    pa.field("ok", pa.bool_()),
]
SCHEMA = pa.schema(_FIELDS)
_AT = datetime(2026, 11, 22, 9, 15, 0, 123456, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {"id": 2**63 - 1, "name": 'quote " comma , line\nend', "amount": Decimal("-0.01"), "day": date(2013, 1, 31), "at": _AT, "ok": True},
    {"id": -(2**63), "name": "", "amount": Decimal("9" * 36 + ".99"), "day": None, "at": None, "ok": False},
    {"id": None, "name": None, "amount": None, "day": date(1, 1, 1), "at": _AT, "ok": None},
    {"id": 0, "name": "naïve 😀 NULL", "amount": Decimal("0.00"), "day": None, "at": None, "ok": None},
]


@dataclass(frozen=True, slots=True)
class Target:
    """Hold a sink with an empty target.

    `state` gives all that the target holds, times included, in a form that compares equal when nothing changed; `count` the rows that a
    reader of the target sees, 0 for an empty one; `broken` is a sink whose target refuses.
    """

    sink: Sink
    state: Callable[[], object]
    count: Callable[[], int]
    broken: Sink


def batches(rows: int = len(ROWS), *, fail: bool = False) -> pa.RecordBatchReader:
    """Give the first rows of the suite, one a batch; with `fail` the stream breaks after them."""

    def stream() -> Iterator[pa.RecordBatch]:
        for row in ROWS[:rows]:
            yield pa.RecordBatch.from_pylist([row], schema=SCHEMA)
        if fail:
            raise QueryInvalid("The query does not run", subject="query", seen="a late failure", hint="limnos explain query-invalid")

    return pa.RecordBatchReader.from_batches(SCHEMA, stream())


class SinkSuite:
    """Assert what every sink promises; a test class inherits it and gives the fixture `target`."""

    def test_it_declares_itself(self, target: Target) -> None:
        assert isinstance(target.sink, Sink)
        assert target.sink.kind

    def test_all_rows_arrive_and_are_counted(self, target: Target) -> None:
        assert target.sink.write(batches()) == len(ROWS) == target.count()

    def test_no_rows_can_be_written(self, target: Target) -> None:
        assert target.sink.write(batches(0)) == 0 == target.count()

    def test_a_replay_changes_nothing(self, target: Target) -> None:
        target.sink.write(batches())
        before = target.state()
        assert target.sink.write(batches()) == len(ROWS)
        assert target.state() == before

    def test_other_rows_take_the_place_of_the_first(self, target: Target) -> None:
        target.sink.write(batches())
        target.sink.write(batches(2))
        assert target.count() == 2

    @pytest.mark.parametrize("rows", [0, 1, len(ROWS)])
    def test_a_stream_that_breaks_leaves_nothing(self, target: Target, rows: int) -> None:
        before = target.state()
        with pytest.raises(QueryInvalid):
            target.sink.write(batches(rows, fail=True))
        assert target.state() == before

    def test_a_stream_that_breaks_leaves_what_was_there(self, target: Target) -> None:
        target.sink.write(batches(2))
        before = target.state()
        with pytest.raises(QueryInvalid):
            target.sink.write(batches(fail=True))
        assert target.state() == before

    def test_a_target_that_refuses_is_told(self, target: Target) -> None:
        with pytest.raises(StorageFailed) as caught:
            target.broken.write(batches())
        assert all((caught.value.what, caught.value.subject, caught.value.seen, caught.value.expected, caught.value.hint))
