"""Servers' tables whose loads are killed."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from pathlib import Path

import psycopg
import pymysql
import pytest
from services import MariaDB, Postgres

from limnos.sources.mysql import chunks
from limnos.sources.postgres import transfer
from tests.crash.shops import CHUNK_BLOCKS, CHUNK_BYTES, MARIADB_TABLE, POSTGRES_TABLE, MariaShop, Shop


@pytest.fixture
def shop(postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Shop]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        made = Shop(tmp_path, postgres_server.url(name))
        made.execute(POSTGRES_TABLE)
        made.declare()
        monkeypatch.setenv("SHOP_DSN", made.url)
        monkeypatch.setattr(transfer, "CHUNK_BLOCKS", CHUNK_BLOCKS)
        yield made
        owner.execute(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'")
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def maria(mariadb_server: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[MariaShop]:
    name = f"t{uuid.uuid4().hex}"
    at = {"host": mariadb_server.host, "port": mariadb_server.port, "user": mariadb_server.user, "password": mariadb_server.password}
    with pymysql.connect(**at, autocommit=True) as owner, owner.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        made = MariaShop(tmp_path, mariadb_server.url(name))
        made.execute(MARIADB_TABLE)
        made.declare("cdc")
        monkeypatch.setenv("SHOP_DSN", made.url)
        monkeypatch.setattr(chunks, "CHUNK_BYTES", CHUNK_BYTES)
        yield made
        cursor.execute(f"DROP DATABASE {name}")
