"""The conformance suite of `Engine`; it needs pytest, which the tests of an adapter bring along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limnos.errors import LimnosError, QueryInvalid, Refused, RequestError, StorageFailed
from limnos.model.data import Layout, Relation
from limnos.model.decision import Action, Decision, Principal
from limnos.model.names import TableName, literal
from limnos.ports import Engine
from limnos.testing.attacks import ATTACKS

Relations = Mapping[str, Relation | pa.Table]
Rows = list[tuple[Any, ...]]

ORDERS = TableName("shop", "orders")
CUSTOMERS = TableName("shop", "customers")
ANA = Principal("ana")
SECRETS = ("zoe@secret.example", "max@secret.example", "eva@secret.example", "Hidden Street")

_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
_ORDER_ROWS = [(1, 10, "1.10"), (2, 10, "2.20"), (3, 20, "3.30"), (4, 30, "4.40"), (5, 30, None), (6, 99, "6.60")]
_CUSTOMER_ROWS = [
    (10, "Zoe", "zoe@secret.example", "FR"),
    (20, "Max", "max@secret.example", "FR"),
    (30, "Eva", "eva@secret.example", "DE"),
    (40, "Hidden Street", "hid@secret.example", "DE"),
]

RESULTS: tuple[tuple[str, Rows], ...] = (
    ("SELECT 1 + 1", [(2,)]),
    ("SELECT count(*), count(amount), sum(amount) FROM shop.orders", [(6, 5, Decimal("17.60"))]),
    ("SELECT id FROM Shop.ORDERS WHERE amount > 3 ORDER BY id DESC", [(6,), (4,), (3,)]),
    ("FROM shop.orders SELECT id ORDER BY id LIMIT 1 OFFSET 2", [(3,)]),
    (
        "SELECT c.name, sum(o.amount) FROM shop.orders o JOIN shop.customers c ON c.id = o.customer GROUP BY ALL ORDER BY 1",
        [("Eva", Decimal("4.40")), ("Max", Decimal("3.30")), ("Zoe", Decimal("3.30"))],
    ),
    ("SELECT o.id FROM shop.orders o LEFT JOIN shop.customers c ON c.id = o.customer WHERE c.id IS NULL", [(6,)]),
    ("SELECT name FROM shop.customers WHERE id NOT IN (SELECT customer FROM shop.orders) ORDER BY 1", [("Hidden Street",)]),
    ("WITH orders AS (SELECT id FROM shop.orders WHERE id < 3) SELECT sum(id) FROM orders", [(Decimal(3),)]),
    ("WITH a AS (SELECT 1 AS n), b AS (SELECT n + 1 AS n FROM a) SELECT * FROM a UNION ALL SELECT * FROM b ORDER BY 1", [(1,), (2,)]),
    ("WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 4) SELECT count(*) FROM up", [(4,)]),
    (
        "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY customer ORDER BY id DESC) r FROM shop.orders) WHERE r = 1 ORDER BY id",
        [(2,), (3,), (5,), (6,)],
    ),
    ("SELECT customer FROM shop.orders EXCEPT SELECT id FROM shop.customers", [(99,)]),
    ("SELECT customer FROM shop.orders INTERSECT SELECT id FROM shop.customers ORDER BY 1", [(10,), (20,), (30,)]),
    ("SELECT shop.orders.id FROM shop.orders WHERE shop.orders.id = (SELECT max(id) FROM shop.orders)", [(6,)]),
    (
        "SELECT name, n FROM shop.customers c, LATERAL (SELECT count(*) AS n FROM shop.orders WHERE customer = c.id) WHERE n = 1",
        [("Max", 1)],
    ),
    ("SELECT sum(x) FROM (VALUES (9223372036854775807), (9223372036854775807)) AS v(x)", [(Decimal(18446744073709551614),)]),
    (
        "SELECT CASE WHEN id % 2 = 0 THEN 'even' ELSE 'odd' END AS k, count(*) FROM shop.orders GROUP BY k ORDER BY k",
        [("even", 3), ("odd", 3)],
    ),
    (
        "SELECT strftime(placed, '%Y-%m-%d %H'), date_trunc('day', placed) = placed FROM shop.orders WHERE id = 1",
        [("2026-11-22 12", False)],
    ),
    (
        "SELECT list_transform([1, 2], x -> x * 2), upper('a') || 'b', regexp_replace('abc', 'b', ''), greatest(1, 2)",
        [([2, 4], "Ab", "ac", 2)],
    ),
    ("SELECT unnest(range(2)) ORDER BY 1", [(0,), (1,)]),
    ("SELECT * EXCLUDE (placed, amount) FROM shop.orders WHERE id = 1", [(1, 10)]),
    ("SELECT count(DISTINCT customer) FILTER (WHERE amount > 2), string_agg(id, ',' ORDER BY id) FROM shop.orders", [(4, "1,2,3,4,5,6")]),
)
"""Queries over the orders and customers of this suite with the results that a person computed."""

GOVERNED: tuple[tuple[str, Rows], ...] = (
    ("SELECT * FROM shop.customers ORDER BY id", [(10, "Zoe", "***", "FR"), (20, "Max", "***", "FR")]),
    ("SELECT count(*) FROM shop.customers", [(2,)]),
    ("SELECT min(email), max(email), count(DISTINCT email) FROM shop.customers", [("***", "***", 1)]),
    ("SELECT name FROM shop.customers WHERE email = 'zoe@secret.example'", []),
    ("SELECT name FROM shop.customers WHERE email LIKE '%zoe%' OR country = 'DE'", []),
    ("SELECT x.e FROM (SELECT email AS e FROM shop.customers) AS x GROUP BY ALL", [("***",)]),
    ("WITH c AS (SELECT * FROM shop.customers) SELECT max(c.email), count(*) FROM c", [("***", 2)]),
    ("SELECT count(*) FROM shop.orders o JOIN shop.customers AS c ON c.id = o.customer", [(3,)]),
    ("SELECT o.id FROM shop.orders o WHERE EXISTS (SELECT 1 FROM shop.customers c WHERE c.id = o.customer) ORDER BY 1", [(1,), (2,), (3,)]),
    (
        "SELECT (SELECT max(email) FROM shop.customers c WHERE c.id = customer) FROM shop.orders WHERE id IN (1, 4) ORDER BY id",
        [("***",), (None,)],
    ),
    ("SELECT a.email FROM shop.customers a JOIN shop.customers b ON a.email = b.email AND a.id < b.id", [("***",)]),
    ("SELECT email FROM shop.customers UNION SELECT email FROM shop.customers", [("***",)]),
    ("SELECT first_value(email) OVER (ORDER BY email) FROM shop.customers", [("***",), ("***",)]),
    ("SELECT customers.email FROM shop.customers ORDER BY email LIMIT 1", [("***",)]),
    ("SELECT COLUMNS('em.*') FROM shop.customers LIMIT 1", [("***",)]),
    ("SELECT customers::VARCHAR FROM shop.customers WHERE id = 10", [("{'id': 10, 'name': Zoe, 'email': ***, 'country': FR}",)]),
    ("SELECT approx_count_distinct(email), mode(email), any_value(email) FROM shop.customers", [(1, "***", "***")]),
)
"""Queries under a row filter (`country = 'FR'`) and a mask on `email`, with what may come back."""


@dataclass(frozen=True, slots=True)
class Shop:
    """Hold the relations of the suite, and decisions that allow all of them."""

    relations: dict[str, Relation | pa.Table]
    decisions: dict[str, Decision]

    def governed(self) -> dict[str, Decision]:
        """Give decisions that hide customers outside France, and every address."""
        hiding = replace(self.decisions[str(CUSTOMERS)], row_filter="country = 'FR'", masks={"email": "'***'"})
        return {**self.decisions, str(CUSTOMERS): hiding}


def fields(*columns: tuple[int, str, pa.DataType]) -> pa.Schema:
    """Give a schema whose columns carry these field ids."""
    return pa.schema([pa.field(name, kind, metadata={"PARQUET:field_id": str(number)}) for number, name, kind in columns])


def allowing(*tables: TableName) -> dict[str, Decision]:
    """Give decisions that allow reading these tables."""
    return {str(table): Decision(ANA, Action.READ, table, allowed=True, reasons=("ana owns this lake",)) for table in tables}


def _file(path: Path, schema: pa.Schema, rows: list[tuple[Any, ...]]) -> str:
    columns = [pa.array([row[at] for row in rows], field.type) for at, field in enumerate(schema)]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path)
    return str(path)


class EngineSuite:
    """Assert what every engine promises; a test class inherits it and gives the fixture `engine`."""

    @pytest.fixture
    def shop(self, tmp_path: Path) -> Shop:
        return shop_in(tmp_path)

    def rows(self, engine: Engine, sql: str, relations: Relations, decisions: Mapping[str, Decision]) -> Rows:
        """Run a query and give its rows as tuples."""
        with engine.query(sql, relations, decisions) as reader:
            table = reader.read_all()
        return [tuple(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)] if table.num_columns else []

    @pytest.mark.parametrize(("sql", "expected"), RESULTS)
    def test_a_result_is_what_a_person_computed(self, engine: Engine, shop: Shop, sql: str, expected: Rows) -> None:
        assert self.rows(engine, sql, shop.relations, shop.decisions) == expected

    @pytest.mark.parametrize(("sql", "expected"), GOVERNED)
    def test_filters_and_masks_survive_every_shape_of_query(self, engine: Engine, shop: Shop, sql: str, expected: Rows) -> None:
        assert self.rows(engine, sql, shop.relations, shop.governed()) == expected

    def test_a_mask_holds_whatever_the_case_of_its_column(self, engine: Engine, shop: Shop) -> None:
        decisions = {**shop.decisions, str(CUSTOMERS): replace(shop.decisions[str(CUSTOMERS)], masks={"EMAIL": "left(email, 1)"})}
        assert self.rows(engine, "SELECT email FROM shop.customers WHERE id = 10", shop.relations, decisions) == [("z",)]

    def test_filters_and_masks_hold_on_rows_in_memory(self, engine: Engine) -> None:
        runs = TableName("system", "runs")
        hiding = {str(runs): replace(allowing(runs)["system.runs"], row_filter="n > 1", masks={"n": "n * 10"})}
        sql = "SELECT r.n FROM system.runs r JOIN system.runs ON r.n = runs.n"
        assert self.rows(engine, sql, {"system.runs": pa.table({"n": [1, 2]})}, hiding) == [(20,)]

    def test_two_queries_at_once_keep_their_own_decisions(self, engine: Engine, shop: Shop) -> None:
        sql = "SELECT count(*) FROM shop.customers"
        with engine.query(sql, shop.relations, shop.governed()) as narrow, engine.query(sql, shop.relations, shop.decisions) as wide:
            assert (wide.read_all().to_pylist(), narrow.read_all().to_pylist()) == ([{"count_star()": 4}], [{"count_star()": 2}])

    @pytest.mark.parametrize("why", ["missing", "refusal", "other action", "other table"])
    def test_what_no_decision_allows_is_refused(self, engine: Engine, shop: Shop, why: str) -> None:
        right = shop.decisions[str(CUSTOMERS)]
        wrong = {
            "refusal": replace(right, allowed=False, reasons=("no role reads it",)),
            "other action": replace(right, action=Action.RUN),
            "other table": replace(right, table=ORDERS),
        }
        decisions = {str(ORDERS): shop.decisions[str(ORDERS)], **({str(CUSTOMERS): wrong[why]} if why in wrong else {})}
        with pytest.raises(Refused) as caught:
            self.rows(engine, "SELECT 1 FROM shop.orders WHERE EXISTS (FROM shop.customers)", shop.relations, decisions)
        assert caught.value.subject == str(CUSTOMERS)

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_an_attack_is_refused_or_shows_nothing(
        self, engine: Engine, shop: Shop, attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PLANTED", SECRETS[0])
        relation = shop.relations[str(CUSTOMERS)]
        file = relation.files[0] if isinstance(relation, Relation) else ""
        sql = attack.replace("{file}", file).replace("{directory}", str(tmp_path))
        before = _content(tmp_path)
        try:
            shown = str(self.rows(engine, sql, shop.relations, shop.governed()))
        except RequestError as refused:
            shown = refused.render()
        assert not [secret for secret in (*SECRETS, str(tmp_path)) if secret in shown and secret not in sql]
        assert _content(tmp_path) == before
        assert self.rows(engine, "SELECT count(*) FROM shop.customers", shop.relations, shop.governed()) == [(2,)]

    def test_an_error_in_a_governed_query_shows_no_value(self, engine: Engine, shop: Shop) -> None:
        masks = {"email": "CAST(email AS INTEGER)::VARCHAR"}
        decisions = {**shop.decisions, str(CUSTOMERS): replace(shop.decisions[str(CUSTOMERS)], masks=masks)}
        with pytest.raises(QueryInvalid) as caught:
            self.rows(engine, "SELECT email FROM shop.customers", shop.relations, decisions)
        assert not [secret for secret in SECRETS if secret in caught.value.render()]

    @pytest.mark.parametrize(
        "sql",
        [
            "SELEC 1",
            "SELECT",
            "SELECT nothing FROM shop.orders",
            "SELECT no_such(1)",
            "SELECT 'a'::INTEGER",
            "",
            f"SELECT 1{' + 1' * 5000}",
        ],
    )
    def test_wrong_sql_is_told_in_four_parts(self, engine: Engine, shop: Shop, sql: str) -> None:
        with pytest.raises(QueryInvalid) as caught:
            self.rows(engine, sql, shop.relations, shop.decisions)
        error = caught.value
        assert all((error.what, error.subject, error.seen, error.expected, error.hint))

    def test_an_unknown_table_is_told_with_the_nearest_one(self, engine: Engine, shop: Shop) -> None:
        for sql in ("SELECT * FROM shop.ordes", "SELECT * FROM orders"):
            with pytest.raises(QueryInvalid, match=r"shop\.orders \(did you mean this\?\)"):
                self.rows(engine, sql, shop.relations, shop.decisions)

    def test_tables_are_named_as_written_without_common_table_expressions(self, engine: Engine) -> None:
        sql = """WITH a AS (SELECT * FROM shop.orders), b AS (WITH c AS (SELECT * FROM a) SELECT * FROM c JOIN Shop.Customers ON TRUE)
            SELECT *, (SELECT max(n) FROM x.y) FROM b WHERE id IN (SELECT id FROM x.z ORDER BY (SELECT 1 FROM x.w))"""
        assert engine.tables_of(sql) == {"shop.orders", "Shop.Customers", "x.y", "x.z", "x.w"}

    def test_a_common_table_expression_is_only_known_where_it_stands(self, engine: Engine) -> None:
        with pytest.raises(QueryInvalid):
            engine.tables_of("SELECT * FROM (WITH inner_ AS (SELECT 1) SELECT * FROM inner_), inner_")

    def test_leaving_stops_a_query_without_end(self, engine: Engine) -> None:
        with engine.query("SELECT a.range + b.range AS n FROM range(10000000000) a, range(1000) b", {}, {}) as reader:
            assert reader.read_next_batch().num_rows > 0
        with pytest.raises((LimnosError, StopIteration)):
            _drain_to_the_end(reader)
        assert self.rows(engine, "SELECT 1", {}, {}) == [(1,)]

    def test_an_error_in_the_middle_of_a_stream_is_one_of_ours(self, engine: Engine) -> None:
        with pytest.raises(QueryInvalid):
            self.rows(engine, "SELECT CASE WHEN range = 900000 THEN error('late') END FROM range(1000000)", {}, {})

    def test_columns_are_found_by_field_id(self, engine: Engine, tmp_path: Path) -> None:
        old = _file(
            tmp_path / "old.parquet", fields((1, "id", pa.int32()), (2, "name", pa.string()), (3, "gone", pa.string())), [(1, "a", "x")]
        )
        now = fields((4, "added", pa.decimal128(10, 2)), (1, "number", pa.int64()), (2, "gone", pa.string()))
        new = _file(tmp_path / "new.parquet", now, [(Decimal("1.50"), 2**40, "b")])
        table = TableName("shop", "things")
        relation = Relation(table, now, (old, new), 2)
        expected = [(None, 1, "a"), (Decimal("1.50"), 2**40, "b")]
        assert self.rows(engine, "SELECT * FROM shop.things ORDER BY number", {str(table): relation}, allowing(table)) == expected

    def test_deleted_rows_are_not_read(self, engine: Engine, tmp_path: Path) -> None:
        schema = fields((1, "id", pa.int64()))
        first = _file(tmp_path / "1.parquet", schema, [(n,) for n in range(5)])
        second = _file(tmp_path / "2.parquet", schema, [(n,) for n in range(5, 10)])
        deletes = pa.table({"file_path": [first, f"file://{second}", second], "pos": pa.array([0, 4, 1], pa.int64())})
        pq.write_table(deletes, tmp_path / "deletes.parquet")
        table = TableName("shop", "things")
        relation = Relation(table, schema, (first, second), 7, deletes=(str(tmp_path / "deletes.parquet"),))
        rows = self.rows(engine, "SELECT id FROM shop.things ORDER BY id", {str(table): relation}, allowing(table))
        assert [n for (n,) in rows] == [1, 2, 3, 4, 5, 7, 8]

    def test_a_table_without_files_has_its_types(self, engine: Engine) -> None:
        table = TableName("shop", "empty")
        schema = fields((1, "id", pa.int64()), (2, "at", pa.timestamp("us", tz="UTC")), (3, "l", pa.list_(pa.string())))
        with engine.query("SELECT * FROM shop.empty", {str(table): Relation(table, schema, (), 0)}, allowing(table)) as reader:
            found = reader.read_all()
        assert (found.num_rows, found.schema.types[:2]) == (0, [pa.int64(), pa.timestamp("us", tz="UTC")])

    def test_times_with_a_zone_come_in_utc(self, engine: Engine, shop: Shop) -> None:
        with engine.query("SELECT placed FROM shop.orders WHERE id = 1", shop.relations, shop.decisions) as reader:
            found = reader.read_all()
        assert (found.schema.types, found.to_pylist()) == ([pa.timestamp("us", tz="UTC")], [{"placed": _NOON}])

    def test_a_missing_or_damaged_file_is_told(self, engine: Engine, shop: Shop) -> None:
        relation = shop.relations[str(ORDERS)]
        assert isinstance(relation, Relation)
        file = Path(relation.files[0])
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(StorageFailed):
            self.rows(engine, "SELECT * FROM shop.orders", shop.relations, shop.decisions)
        file.unlink()
        with pytest.raises(StorageFailed):
            self.rows(engine, "SELECT * FROM shop.orders", shop.relations, shop.decisions)

    def test_a_session_writes_what_it_is_told_and_counts_it(self, engine: Engine, tmp_path: Path) -> None:
        layout = Layout(str(tmp_path / "data"), {"n": 1, "part": 2}, {"p": "part"})
        with engine.session() as session:
            files = session.write("SELECT range AS n, range % 3 AS part FROM range(1000)", layout)
            again = session.write("SELECT n, part FROM more", layout, more=pa.table({"n": [1], "part": [None]}, schema=_PART))
            assert session.write("SELECT 1 AS n, 1 AS part WHERE FALSE", layout) == ()
        assert sorted((file.partition["p"], file.rows) for file in files) == [("0", 334), ("1", 333), ("2", 333)]
        assert [(file.partition["p"], file.rows, file.null_counts["part"]) for file in again] == [(None, 1, 1)]
        for file in (*files, *again):
            written = pq.ParquetFile(file.path)
            assert written.metadata.num_rows == file.rows
            assert file.size_bytes == Path(file.path).stat().st_size
            assert [(field.metadata or {})[b"PARQUET:field_id"] for field in written.schema_arrow] == [b"1", b"2"]
        assert len({file.path for file in (*files, *again)}) == 4

    def test_a_session_gives_the_rows_of_a_version_and_where_they_are(self, engine: Engine, tmp_path: Path) -> None:
        schema = fields((1, "id", pa.int64()))
        file = _file(tmp_path / "1.parquet", schema, [(7,), (8,)])
        relation = Relation(TableName("shop", "things"), schema, (file,), 2)
        with engine.session() as session:
            found = session.run(f"SELECT * FROM ({session.relation(relation, positions=True)}) ORDER BY id").to_pylist()
        assert found == [{"id": 7, "_file": file, "_row": 0}, {"id": 8, "_file": file, "_row": 1}]

    def test_a_session_tells_failures_in_our_words(self, engine: Engine, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with engine.session() as session:
            for sql in ("SELEC 1", "SELECT * FROM nowhere", "SELECT 'a'::INTEGER"):
                with pytest.raises(QueryInvalid):
                    session.run(sql)
                with pytest.raises(QueryInvalid):
                    session.stream(sql).read_all()
            with pytest.raises(StorageFailed):
                session.run(f"SELECT * FROM read_parquet({literal(str(tmp_path / 'absent.parquet'))})")
            with pytest.raises(StorageFailed):
                session.write("SELECT 1 AS n", Layout(str(tmp_path / "file" / "data"), {"n": 1}))
            with pytest.raises(QueryInvalid):
                session.write("SELECT 'a'::INTEGER AS n", Layout(str(tmp_path / "data"), {"n": 1}))


_PART = pa.schema([("n", pa.int64()), ("part", pa.int64())])


def shop_in(directory: Path) -> Shop:
    """Write the orders and customers of the suite into a directory."""
    orders = fields(
        (1, "id", pa.int64()), (2, "customer", pa.int64()), (3, "amount", pa.decimal128(12, 2)), (4, "placed", pa.timestamp("us", tz="UTC"))
    )
    customers = fields((1, "id", pa.int64()), (2, "name", pa.string()), (3, "email", pa.string()), (4, "country", pa.string()))
    rows = [(number, customer, Decimal(amount) if amount else None, _NOON) for number, customer, amount in _ORDER_ROWS]
    files = (
        _file(directory / "orders-1.parquet", orders, rows[:4]),
        _file(directory / "orders-2.parquet", orders, rows[4:]),
        _file(directory / "customers.parquet", customers, list(_CUSTOMER_ROWS)),
    )
    relations: dict[str, Relation | pa.Table] = {
        str(ORDERS): Relation(ORDERS, orders, files[:2], 6),
        str(CUSTOMERS): Relation(CUSTOMERS, customers, files[2:], 4),
    }
    return Shop(relations, allowing(ORDERS, CUSTOMERS))


def _drain_to_the_end(reader: pa.RecordBatchReader) -> None:
    while True:
        reader.read_next_batch()


def _content(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): path.stat().st_size for path in sorted(directory.rglob("*"))}
