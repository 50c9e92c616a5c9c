from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from limnos import Lake
from limnos.errors import QueryInvalid, UnknownName


def test_every_way_to_take_the_rows_gives_the_same(loaded: Lake) -> None:
    sql = "SELECT id FROM shop.customers ORDER BY id"
    expected = pa.table({"id": pa.array([1, 2], pa.int64())})
    assert loaded.query(sql).rows() == [{"id": 1}, {"id": 2}]
    assert loaded.query(sql).to_arrow() == expected
    assert loaded.query(sql).reader().read_all() == expected
    assert loaded.query(sql).to_polars().to_arrow() == expected
    assert loaded.query(sql).to_pandas()["id"].tolist() == [1, 2]
    assert loaded.query(sql).schema == expected.schema


def test_a_result_that_is_left_early_frees_what_it_held(loaded: Lake) -> None:
    with loaded.query("SELECT * FROM range(10000000)") as result:
        batch = next(iter(result.reader()))
        assert batch.num_rows
    result.close()
    assert loaded.query("SELECT 1 AS one").rows() == [{"one": 1}]


def test_names_are_found_in_any_case(loaded: Lake) -> None:
    assert loaded.query("SELECT count(*) AS n FROM Shop.CUSTOMERS").rows() == [{"n": 2}]
    assert loaded.query('SELECT count(*) AS n FROM "shop"."customers" AS c JOIN SYSTEM.runs AS r ON true').rows() == [{"n": 4}]


def test_a_table_that_is_not_there_is_told_with_the_nearest(loaded: Lake) -> None:
    with pytest.raises(UnknownName) as told:
        loaded.query("SELECT * FROM shop.custmers")
    assert told.value.expected == "shop.customers (did you mean this?)"


def test_before_the_first_run_there_is_no_table(loaded: Lake) -> None:
    with pytest.raises(UnknownName):
        loaded.query("SELECT * FROM shop.customers", as_of=datetime.now(UTC) - timedelta(days=1))


def test_all_tables_are_read_as_of_one_instant(loaded: Lake) -> None:
    at = loaded.history("shop.customers")[0].snapshot.at
    (loaded.project.root / "customers.csv").write_text("id\n1\n2\n9\n")
    loaded.run()
    sql = "SELECT (SELECT count(*) FROM shop.customers) AS c, (SELECT count(*) FROM shop.orders) AS o"
    assert loaded.query(sql).rows() == [{"c": 3, "o": 2}]
    assert loaded.query(sql, as_of=at).rows() == [{"c": 2, "o": 1}]


@pytest.mark.parametrize(
    "sql", ["", "  ;", "DELETE FROM shop.customers", "SELECT 1; SELECT 2", "SELECT nope FROM shop.customers", "SELECT 1/"]
)
def test_anything_but_one_select_that_binds_is_refused(loaded: Lake, sql: str) -> None:
    with pytest.raises(QueryInvalid):
        loaded.query(sql).rows()


def test_the_quarantine_is_read_through_its_system_table_only(loaded: Lake) -> None:
    assert loaded.query("SELECT status, count(*) AS n FROM system.quarantine GROUP BY 1").rows() == [{"status": "open", "n": 1}]
    assert loaded.query("SELECT DISTINCT table_name FROM system.verdicts ORDER BY 1").rows()[0] == {"table_name": "shop.customers"}
