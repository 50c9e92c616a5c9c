"""Real servers for the tests that need them, each started once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

import built
import pytest
import services

from limnos.ports.compiled import PORTABLE
from limnos.sources.mysql import native as mysql_native
from limnos.sources.postgres import native

Server = TypeVar("Server")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background has them ignore interrupts, and so would each process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# It is tested as its users would: installed as a wheel (e2e/test_plugin.py).
collect_ignore = ["plugin"]

pytest.register_assert_rewrite(*(f"limnos.testing.{suite}" for suite in ("catalog", "engine", "policy", "rule", "sink", "source")))


@contextmanager
def _present(service: Callable[[], AbstractContextManager[Server]]) -> Generator[Server]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(service())
        except services.Absent as absent:
            missing = pytest.fail if os.environ.get("CI") else pytest.skip
            missing(f"{service.__name__} is absent: {absent}")
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Generator[services.Postgres]:
    with _present(services.postgres) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Generator[services.MariaDB]:
    with _present(services.mariadb) as server:
        yield server


@pytest.fixture(scope="session")
def mysql_server() -> Generator[services.MariaDB]:
    with _present(services.mysql) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Generator[services.S3]:
    with _present(services.s3) as server:
        yield server


@pytest.fixture(params=["compiled", "portable"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode with one or the other."""
    if request.param == "portable":
        monkeypatch.setenv(PORTABLE, "1")
    else:
        monkeypatch.delenv(PORTABLE, raising=False)
        monkeypatch.setattr(native, "SOURCE", built.library())
        monkeypatch.setattr(mysql_native, "SOURCE", built.library(built.MYSQL_ROWS))
