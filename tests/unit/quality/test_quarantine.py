from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limnos.engines.duckdb import DuckEngine
from limnos.model.contract import Column, Contract
from limnos.model.conversion import convert
from limnos.model.names import TableName, quoted
from limnos.model.types import parse_type
from limnos.ports import Session
from limnos.quality.quarantine import Stamp, of_bad_rows, of_failed_conversions, of_rejects, rows_back

COLUMNS = ["id", "table_name", "run_id", "at", "origin", "fingerprint", "row", "raw", "reasons"]
STAMP = Stamp(TableName("shop", "rates"), "run-1", datetime(2013, 1, 1, 5, tzinfo=UTC))
TYPES = {"n": "long", 'x "/~': "double", "d": "decimal(20,4)", "s": "string", "b": "binary", "tz": "timestamptz", "l": "list<date>"}
CONTRACT = Contract(STAMP.table, tuple(Column(name, parse_type(spelled)) for name, spelled in TYPES.items()))
TEXTS = pa.schema([pa.field(name, pa.string()) for name in ("n", "d", "extra")])


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with DuckEngine().session() as opened:
        yield opened


def entries(session: Session, sql: str, **inputs: pa.Table) -> list[dict[str, Any]]:
    found = session.run(sql, **inputs)
    assert found.column_names == COLUMNS
    return sorted(found.to_pylist(), key=lambda entry: (entry["origin"], entry["id"]))


def test_a_row_whose_values_do_not_fit_keeps_its_texts_and_a_reason_for_each(session: Session) -> None:
    rows = [("1", "1.5", "kept"), ("abc", "1.23456", "it's\x00"), (None, "x" * 200, None), ("2.5", None, "")]
    table = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], schema=TEXTS)
    table = table.append_column("_record", pa.array(range(4)))
    first, second, third = entries(session, of_failed_conversions("SELECT * FROM given", TEXTS, CONTRACT, STAMP), given=table)
    assert (first["origin"], json.loads(first["row"])) == ("1", {"n": "abc", "d": "1.23456", "extra": "it's\x00"})
    assert [(reason["rule"], reason["detail"], reason["columns"]) for reason in first["reasons"]] == [
        ("type:n", "'abc' is not of type long", ["n"]),
        ("type:d", "'1.23456' is not of type decimal(20,4)", ["d"]),
    ]
    assert json.loads(second["row"])["n"] is None
    assert second["reasons"][0]["detail"] == f"'{'x' * 80}' is not of type decimal(20,4)"
    assert [reason["rule"] for reason in third["reasons"]] == ["type:n"]
    assert (first["table_name"], first["run_id"], first["at"], first["raw"]) == ("shop.rates", "run-1", STAMP.at, None)


def test_columns_that_fit_by_their_type_give_no_entry(session: Session) -> None:
    raw = pa.schema([("n", pa.int32())])
    table = pa.table({"n": pa.array([1, None], pa.int32()), "_record": [0, 1]})
    assert entries(session, of_failed_conversions("SELECT * FROM given", raw, CONTRACT, STAMP), given=table) == []


def test_what_could_not_become_a_row_keeps_its_bytes(session: Session) -> None:
    table = pa.table({"origin": ["a.csv:2", "a.csv:3"], "raw": [b'1,"\xff', b""], "reason": ["a quote is not closed", "no fields"]})
    first, second = entries(session, of_rejects("SELECT * FROM given", STAMP), given=table)
    assert (first["row"], first["raw"], second["raw"]) == (None, b'1,"\xff', b"")
    assert first["reasons"][0]["rule"] == "malformed"
    assert first["reasons"][0]["detail"] == "a quote is not closed"
    assert first["fingerprint"] != second["fingerprint"]


def test_the_same_step_gives_the_same_ids_and_equal_rows_differ(session: Session) -> None:
    table = pa.table({"n": ["x"] * 3, "d": ["1"] * 3, "extra": ["y"] * 3, "_record": [0, 1, 2]})
    sql = of_failed_conversions("SELECT * FROM given", TEXTS, CONTRACT, STAMP)
    nowhere = of_failed_conversions("SELECT * FROM given", TEXTS, CONTRACT, STAMP, origin="''")
    other_run = of_failed_conversions("SELECT * FROM given", TEXTS, CONTRACT, Stamp(STAMP.table, "run-2", STAMP.at))
    first, nowhere_first = entries(session, sql, given=table), entries(session, nowhere, given=table)
    assert first == entries(session, sql, given=table)
    assert len({entry["id"] for entry in first}) == len({entry["id"] for entry in nowhere_first}) == 3
    assert len({entry["fingerprint"] for entry in first}) == 1
    later = entries(session, other_run, given=table)
    assert {entry["fingerprint"] for entry in later} == {entry["fingerprint"] for entry in first}
    assert not {entry["id"] for entry in later} & {entry["id"] for entry in first}


def test_ids_do_not_depend_on_the_order_of_reading(session: Session) -> None:
    table = pa.table({"n": ["x", "y", "x", "z"], "d": ["1"] * 4, "extra": ["e"] * 4, "_record": [0, 1, 2, 3]})
    sql = of_failed_conversions("SELECT * FROM given", TEXTS, CONTRACT, STAMP, origin="''")
    assert entries(session, sql, given=table) == entries(session, sql, given=table.take([3, 2, 1, 0]))


_VALUES = {
    "n": st.integers(-(2**63), 2**63 - 1),
    'x "/~': st.floats(),
    "d": st.decimals(-(10**15), 10**15, places=4),
    "s": st.text() | st.sampled_from(["null", "NULL", '"', "\\", "\x00", "{}"]),
    "b": st.binary(max_size=5),
    "tz": st.datetimes(timezones=st.just(UTC)),
    "l": st.lists(st.none() | st.dates(), max_size=3),
}
_ROWS = st.lists(st.fixed_dictionaries({name: st.none() | values for name, values in _VALUES.items()}), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_ROWS)
def test_a_bad_row_comes_back_with_the_same_values(session: Session, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, CONTRACT.schema).append_column("_row", pa.array(range(len(rows)), pa.int64()))
    reason = "{'rule': 'r', 'version': 'v', 'severity': 'quarantine', 'columns': ['n'], 'detail': 'd'}"
    session.run(f"CREATE OR REPLACE TEMP TABLE bad AS SELECT 'f' AS _file, _row, [{reason}] AS reasons FROM given", given=table)
    sql = of_bad_rows("(SELECT *, 'f' AS _file FROM given)", "bad", CONTRACT, STAMP, origin="lpad(CAST(one._row AS VARCHAR), 3, '0')")
    kept = session.run(sql, given=table)
    raw = session.run(
        f"SELECT given.origin, raw.* FROM ({rows_back('SELECT * FROM given', CONTRACT)}) AS raw JOIN given ON id = _entry ORDER BY 1",
        given=kept,
    )
    assert raw.column_names == ["origin", "_entry", *CONTRACT.names]
    conversions = {column.name: convert(quoted(column.name), pa.string(), column.type) for column in CONTRACT.columns}
    fails = " OR ".join(conversion.fails for conversion in conversions.values())
    values = ", ".join(f"{conversion.value} AS {quoted(name)}" for name, conversion in conversions.items())
    back = session.run(f"SELECT {values}, {fails} AS fails FROM given ORDER BY origin", given=raw).to_pylist()
    assert not any(row.pop("fails") for row in back)
    # The texts are compared: there NaN equals NaN, and -0.0 is not 0.0.
    assert repr(back).replace("zoneinfo.ZoneInfo(key='UTC')", "UTC") == repr(table.drop_columns("_row").to_pylist()).replace(
        "zoneinfo.ZoneInfo(key='UTC')", "UTC"
    )


def test_columns_that_an_entry_does_not_hold_come_back_as_null(session: Session) -> None:
    kept = pa.table({"id": ["1", "2"], "row": ['{"n": "7", "gone": "x"}', None]})
    found = session.run(rows_back("SELECT * FROM given", CONTRACT), given=kept).to_pylist()
    assert found == [{"_entry": "1", **dict.fromkeys(CONTRACT.names), "n": "7"}]


def test_values_are_kept_as_people_read_them(session: Session) -> None:
    row = {"n": 7, 'x "/~': 0.1, "d": Decimal("1.5"), "s": "é", "b": b"\x00\xff", "tz": STAMP.at, "l": [STAMP.at.date(), None]}
    table = pa.Table.from_pylist([row], CONTRACT.schema)
    session.run("CREATE OR REPLACE TEMP TABLE bad AS SELECT 'f' AS _file, 0 AS _row, NULL AS reasons")
    (entry,) = entries(session, of_bad_rows("(SELECT *, 'f' AS _file, 0 AS _row FROM given)", "bad", CONTRACT, STAMP), given=table)
    assert json.loads(entry["row"]) == {
        "n": "7",
        'x "/~': "0.1",
        "d": "1.5000",
        "s": "é",
        "b": "\\x00ff",
        "tz": "2013-01-01 05:00:00+00:00",
        "l": '["2013-01-01",null]',
    }
