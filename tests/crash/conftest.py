"""Servers' tables whose loads are killed."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from services import Postgres

from limnos.sources.postgres import transfer
from tests.crash.shops import CHUNK_BLOCKS, POSTGRES_TABLE, Shop


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
