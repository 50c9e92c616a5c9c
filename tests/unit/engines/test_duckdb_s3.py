"""The embedded engine reads and writes object storage, and never shows its credentials."""

from __future__ import annotations

import pyarrow as pa
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.errors import LimnosError, StorageFailed
from limnos.model.data import Layout, Relation
from limnos.model.names import TableName
from limnos.model.secret import Secret
from limnos.testing.engine import allowing, fields

pytestmark = pytest.mark.e2e
TABLE = TableName("shop", "things")
SCHEMA = fields((1, "id", pa.int64()))


def options(s3_server, **changed) -> dict[str, object]:
    return {
        "endpoint": s3_server.endpoint,
        "region": s3_server.region,
        "access_key": Secret(s3_server.access_key),
        "secret_key": Secret(s3_server.secret_key),
        "path_style": True,
        **changed,
    }


def test_what_a_session_writes_a_governed_query_reads(s3_server) -> None:
    engine = DuckEngine(s3=options(s3_server))
    with engine.session() as session:
        files = session.write("SELECT range AS id FROM range(1000)", Layout(f"s3://{s3_server.bucket}/things", {"id": 1}))
        relation = Relation(TABLE, SCHEMA, tuple(file.path for file in files), 1000)
        counted = session.run(f"SELECT count(DISTINCT _file) AS files, count(*) AS n FROM ({session.relation(relation, positions=True)})")
    assert counted.to_pylist() == [{"files": len(files), "n": 1000}]
    with engine.query("SELECT sum(id) AS s FROM shop.things", {"shop.things": relation}, allowing(TABLE)) as rows:
        assert [int(row["s"]) for row in rows.read_all().to_pylist()] == [499_500]


@pytest.mark.parametrize("wrong", ["secret_key", "endpoint"])
def test_a_refusal_tells_no_credential(s3_server, wrong: str) -> None:
    planted = "planted-secret-of-this-test"
    changed = {"secret_key": Secret(planted), "endpoint": "http://127.0.0.1:9"}
    engine = DuckEngine(s3=options(s3_server, **{wrong: changed[wrong]}))
    with engine.session() as session, pytest.raises(StorageFailed) as caught:
        session.write("SELECT 1 AS id", Layout(f"s3://{s3_server.bucket}/refused", {"id": 1}))
    error: LimnosError = caught.value
    assert not [text for text in (planted, s3_server.secret_key) if text in error.render()]
    relation = Relation(TABLE, SCHEMA, (f"s3://{s3_server.bucket}/absent.parquet",), 1)
    with pytest.raises(StorageFailed), engine.query("SELECT * FROM shop.things", {"shop.things": relation}, allowing(TABLE)):
        pass
