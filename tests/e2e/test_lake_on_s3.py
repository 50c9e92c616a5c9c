"""The lake in object storage, alone and with the state and the source in PostgreSQL, as a team has it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pyarrow import fs
from services import S3, Postgres
from tests.crash import world
from whole_flow import LIMNOS, PUBLISHED, UNCHANGED, Shop, reveals, take

from limnos import Lake
from limnos.errors import StorageFailed

pytestmark = pytest.mark.e2e

LAKE = """\
lake:
  uri: s3://{bucket}/{prefix}
  endpoint: {endpoint}
  region: {region}
  access_key: secret://LIMNOS_TEST_ACCESS_KEY
  secret_key: secret://LIMNOS_TEST_SECRET_KEY
  path_style: true
"""


@pytest.fixture
def lake(s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LIMNOS_TEST_ACCESS_KEY", s3_server.access_key)
    monkeypatch.setenv("LIMNOS_TEST_SECRET_KEY", s3_server.secret_key)
    return LAKE.format(bucket=s3_server.bucket, prefix=tmp_path.name, endpoint=s3_server.endpoint, region=s3_server.region)


@pytest.fixture
def database(postgres_server: Postgres, tmp_path: Path) -> Iterator[str]:
    name = f"lake_{tmp_path.name}".replace("-", "_").lower()
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f'CREATE DATABASE "{name}"')
        yield postgres_server.url(name)
        owner.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def objects(s3: S3, prefix: str, to: Path) -> Path:
    """Copy every object of a lake into a directory."""
    host = s3.endpoint.removeprefix("http://")
    store = fs.S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, endpoint_override=host, scheme="http", region=s3.region)
    fs.copy_files(f"{s3.bucket}/{prefix}", str(to), source_filesystem=store, destination_filesystem=fs.LocalFileSystem())
    assert any(to.rglob("*.parquet"))
    return to


def test_the_whole_flow(lake: str, s3_server: S3, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", lake)
    take(shop)
    secrets = {"secret key": s3_server.secret_key}
    assert not any(s3_server.secret_key in text for text in shop.said)
    assert reveals(shop.directory, secrets) == []
    assert reveals(objects(s3_server, tmp_path.name, tmp_path / "copy"), secrets) == []
    assert not (shop.directory / ".limnos" / "lake").exists()


def test_a_wrong_key_and_an_unreachable_store_are_told(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path / "shop", lake)
    shop.make()
    monkeypatch.setenv("LIMNOS_TEST_SECRET_KEY", "hunter2hunter2")
    with pytest.raises(StorageFailed) as caught:
        Lake(shop.directory)._parts.catalog.probe()
    assert all((caught.value.what, caught.value.subject, caught.value.seen, caught.value.expected, caught.value.hint))
    said = shop.verb("--debug", "run")
    assert "hint:" in said
    assert "hunter2" not in said
    assert world.seen(shop.directory)["quarantine"] == []


def test_a_team_has_its_source_and_state_in_postgres(
    lake: str, database: str, postgres_server: Postgres, s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNOS_TEST_DSN", database)
    shop = Shop(tmp_path / "shop", "")
    shop.directory.mkdir()
    (shop.directory / "limnos.yml").write_text(
        f"version: 1\nproject: shop\n{lake}state: secret://LIMNOS_TEST_DSN\n"
        "sources:\n  shop: {type: postgres, url: secret://LIMNOS_TEST_DSN, schema: shop}\n"
    )
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.customers (id int PRIMARY KEY, name text NOT NULL);"
            "CREATE TABLE shop.orders (id int PRIMARY KEY, customer int REFERENCES shop.customers, placed timestamptz);"
            "INSERT INTO shop.customers SELECT n, 'name ' || n FROM generate_series(1, 50) n;"
            "INSERT INTO shop.orders SELECT n, 1 + n % 50, now() + n * interval '1 hour' FROM generate_series(1, 900) n"
        )
    assert shop.statuses() == [PUBLISHED] * 2
    assert shop.statuses() == [UNCHANGED] * 2
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("INSERT INTO shop.orders VALUES (1000, 1, now())")
    together = [
        subprocess.Popen([LIMNOS, "-C", str(shop.directory), "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for one in together:
        shop.said += one.communicate(timeout=120)
    assert [one.returncode for one in together] == [0, 0], shop.said
    opened = Lake(shop.directory)
    assert [entry.snapshot.rows for entry in opened.history("shop.orders")] == [900, 901]
    sql = "SELECT count(*) AS n, count(DISTINCT c.id) AS who FROM shop.orders AS o JOIN shop.customers AS c ON c.id = o.customer"
    assert opened.query(sql).rows() == [{"n": 901, "who": 50}]
    for verb in (("doctor",), ("status",), ("history", "--json"), ("query", "SELECT * FROM system.events")):
        assert "hint:" not in shop.verb(*verb)

    secrets = {"secret key": s3_server.secret_key, "password": postgres_server.password}
    assert not any(secret in text for text in shop.said for secret in secrets.values())
    assert reveals(shop.directory, secrets) == []
    assert reveals(objects(s3_server, tmp_path.name, tmp_path / "copy"), secrets) == []
    with psycopg.connect(database) as reader:
        names = reader.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").fetchall()
        dump = "".join(str(reader.execute(f'SELECT * FROM "{name}"').fetchall()) for (name,) in names)  # type: ignore[call-overload]
    assert "run.finished" in dump
    assert not any(secret in dump for secret in secrets.values())
