from __future__ import annotations

import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.model.conversion import convert
from limnos.model.names import literal
from limnos.model.types import type_name
from limnos.sources.files.inference import infer

MANY = ["1"] * 20_000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["true", "FALSE", None], "boolean"),
        (["yes", "no"], "string"),
        (["1", "-2", "9223372036854775807"], "long"),
        (["1", "9223372036854775808"], "string"),
        (["12345678901234567890123"], "string"),
        (["0", "007"], "string"),
        (["+33612345678"], "string"),
        (["1 ", "2"], "string"),
        (["1.50", "-0.25"], "decimal(18,2)"),
        (["1234567890123456.50", "-0.25"], "decimal(18,2)"),
        (["12345678901234567890.50", "-0.25"], "decimal(38,2)"),
        (["0." + "1" * 38], "string"),
        (["1.5", "2.25"], "double"),
        (["1.5", "2"], "double"),
        (["1e5", "-2.5E-3"], "double"),
        (["1.5", "NaN", "-inf"], "double"),
        (["1e400", "1.5"], "string"),
        (["1.5", "0.12345678901234567890123"], "string"),
        (["1.5", "12345678901234567"], "string"),
        (["01.5"], "string"),
        (["1.2.3"], "string"),
        (["2024-02-29", "0001-01-01"], "date"),
        (["2023-02-29"], "string"),
        (["29/02/2024"], "string"),
        (["2024-02-29 10:00:00", "2024-02-29T10:00:00.123456"], "timestamp"),
        (["2024-02-29 10:00:00.1234567"], "string"),
        (["2024-02-29T10:00:00Z", "2024-02-29 10:00:00+02:00"], "timestamptz"),
        (["2024-02-29", "2024-02-29 10:00:00"], "string"),
        ([None, None], "string"),
        ([], "string"),
        ([""], "string"),
        ([*MANY, "2"], "long"),
        ([*MANY, "x"], "string"),
        ([*MANY, "2.5"], "double"),
        ([None] * 20_000 + ["1.50", "2.255"], "double"),
        ([*["1.50"] * 20_000, "2.255"], "double"),
    ],
)
def test_the_narrowest_type_that_holds_every_value_is_found(values: list[str | None], expected: str) -> None:
    rows = ", ".join("(NULL)" if value is None else f"({literal(value)})" for value in values) or "(NULL)"
    with DuckEngine().session() as session:
        session.run(f"CREATE TABLE t AS SELECT v FROM (VALUES {rows}) AS t(v) {'' if values else 'LIMIT 0'}")
        found = infer(session, 'SELECT CAST(v AS VARCHAR) AS "a ""b" FROM t', ['a "b'])['a "b']
        assert type_name(found) == expected
        fails = convert("CAST(v AS VARCHAR)", session.run("SELECT ''").schema.types[0], found).fails
        assert session.run(f"SELECT count(*) FROM t WHERE {fails}").column(0)[0].as_py() == 0
