from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from services import S3, Postgres

from limnos.engines.duckdb import DuckEngine
from limnos.ledger.events import StateLedger
from limnos.ledger.state import State
from limnos.model.project import StorageConfig
from limnos.model.secret import Secret
from limnos.tables.catalog import LakeCatalog
from limnos.tables.storage import Storage
from limnos.testing.catalog import CatalogSuite, World

_numbers = itertools.count()


@contextmanager
def world_of(url: str, lake: StorageConfig, kind: type[LakeCatalog] = LakeCatalog) -> Iterator[World]:
    strangers: list[SqlCatalog] = []

    def opened() -> tuple[LakeCatalog, StateLedger]:
        state = State(Secret(url))
        return kind(state.engine, Storage(lake)), StateLedger(state, "suite")

    def foreign() -> SqlCatalog:
        strangers.append(SqlCatalog("limnos", uri=url, **Storage(lake).properties))
        return strangers[-1]

    catalog, ledger = opened()
    files = Storage(lake)
    yield World(catalog, ledger, DuckEngine(s3=lake.options), opened, foreign, lambda: frozenset(files.files_below(files.uri)))
    for stranger in strangers:
        stranger.engine.dispose()


class TestOnSqliteAndADirectory(CatalogSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        with world_of(f"sqlite:///{tmp_path}/state.db", StorageConfig(str(tmp_path / "the lake #1 50%"))) as world:
            yield world


class TestOnPostgresAndADirectory(CatalogSuite):
    pytestmark = pytest.mark.e2e

    @pytest.fixture
    def world(self, postgres_server: Postgres, tmp_path: Path) -> Iterator[World]:
        database = f"state_{next(_numbers)}"
        with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
            owner.execute(f"CREATE DATABASE {database}")
            with world_of(postgres_server.url(database), StorageConfig(str(tmp_path / "lake"))) as world:
                yield world
            owner.execute(f"DROP DATABASE {database} WITH (FORCE)")


class TestOnSqliteAndS3(CatalogSuite):
    pytestmark = pytest.mark.e2e

    @pytest.fixture
    def world(self, s3_server: S3, tmp_path: Path) -> Iterator[World]:
        options = {
            "endpoint": s3_server.endpoint,
            "region": s3_server.region,
            "access_key": Secret(s3_server.access_key),
            "secret_key": Secret(s3_server.secret_key),
            "path_style": True,
        }
        lake = StorageConfig(f"s3://{s3_server.bucket}/suite/{next(_numbers)}", options)
        with world_of(f"sqlite:///{tmp_path}/state.db", lake) as world:
            yield world
