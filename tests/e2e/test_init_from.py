"""A project drafted out of a real database plans, runs and answers at once."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
import services

pytestmark = pytest.mark.e2e

PASSWORD = "p@ss w/rd"
SCHEMA = """
CREATE SCHEMA sales;
SET search_path = sales;
CREATE TABLE countries (code char(2) PRIMARY KEY, title text NOT NULL UNIQUE);
CREATE TABLE customers (
  customer_id bigint PRIMARY KEY, email text NOT NULL UNIQUE, first_name text, date_of_birth date,
  country_code char(2) REFERENCES countries,
  updated_at timestamptz NOT NULL, manager bigint REFERENCES customers
);
CREATE TABLE "Order Lines" (order_id bigint, line int, "select" numeric(12,2) NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE orders (order_id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, order_no text, version text);
CREATE TABLE payments (iban text, amount numeric(10,2), note text, order_id bigint REFERENCES orders);
ALTER TABLE "Order Lines" ADD FOREIGN KEY (order_id) REFERENCES orders;
COMMENT ON TABLE customers IS 'Who buys: "people" and #companies';
COMMENT ON COLUMN customers.email IS 'Where we write to';
INSERT INTO countries VALUES ('FR', 'France'), ('DE', 'Germany');
INSERT INTO customers
  SELECT n, 'c' || n || '@example.org', 'Ana', '1980-01-01', 'FR', now(), nullif(n / 2, 0) FROM generate_series(1, 2000) n;
INSERT INTO orders SELECT n, n % 2000 + 1, (4111111111111000 + n)::text, '1.2.' || n % 9 || '.' || n % 7 FROM generate_series(1, 3000) n;
INSERT INTO "Order Lines" SELECT n, 1, n / 100.0 FROM generate_series(1, 3000) n;
INSERT INTO payments VALUES
  ('DE89370400440532013000', 1, 'a', 1), ('FR1420041010050500013M02606', 2, 'b', 2), ('GB29NWBK60161331926819', 3, NULL, 3);
"""
TABLES = {"countries": 2, "customers": 2000, "order_lines": 3000, "orders": 3000, "payments": 3}


def limnos(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from limnos.apps.cli.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.fixture
def url(postgres_server: services.Postgres) -> Generator[str]:
    name = f"shop_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        try:
            with psycopg.connect(postgres_server.url(name)) as shop:
                shop.execute(SCHEMA)
                shop.execute(f"GRANT USAGE ON SCHEMA sales TO {name}")
                shop.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA sales TO {name}")
            yield postgres_server.url(name, user=name, password=PASSWORD)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            connection.execute(f'DROP ROLE "{name}"')


def test_a_draft_of_a_postgres_database_plans_runs_and_answers(url: str, tmp_path: Path) -> None:
    there = tmp_path / "shop"
    laid = limnos("init", "--from", url, "--schema", "sales", str(there))
    assert laid.returncode == 0, laid.stderr
    files = set(laid.stdout.split())
    assert {f"contracts/{table}.odcs.yaml" for table in TABLES} | {"limnos.yml", ".gitignore"} <= files

    committed = [path for path in there.rglob("*") if path.is_file() and ".limnos" not in path.parts]
    assert not any(PASSWORD in text or "p%40ss" in text for text in (path.read_text() for path in committed))
    (secret,) = (there / ".limnos/secrets").iterdir()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() == f"{url}\n"
    assert (there / ".limnos/.gitignore").read_text() == "*\n"

    customers = (there / "contracts/customers.odcs.yaml").read_text()
    for classed in ("email", "name", "birth_date", "country"):
        assert f"classification: {classed}" in customers
    assert "classification: iban" in (there / "contracts/payments.odcs.yaml").read_text()
    assert "classification" not in (there / "contracts/orders.odcs.yaml").read_text()

    planned = limnos("-C", str(there), "plan")
    assert planned.returncode == 0, planned.stderr
    ran = limnos("-C", str(there), "run", "--strict")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (namespace,) = {path.parent.name for path in (there / ".limnos/lake").glob("*/*") if path.name == "customers"}
    counts = " UNION ALL ".join(f"SELECT '{table}' AS name, count(*) AS n FROM {namespace}.{table}" for table in TABLES)
    asked = limnos("-C", str(there), "query", "--format", "csv", f"SELECT * FROM ({counts}) ORDER BY name")
    assert asked.stdout.split()[1:] == [f'"{table}",{count}' for table, count in sorted(TABLES.items())], asked.stdout + asked.stderr
    assert "manager" in limnos("-C", str(there), "plan", "--json").stdout


def test_a_wrong_password_lays_nothing_down_and_is_not_shown(url: str, tmp_path: Path) -> None:
    wrong = url.replace("p%40ss", "hunter2")
    said = limnos("init", "--from", wrong, "--schema", "sales", str(tmp_path / "shop"))
    assert said.returncode == 3
    assert "hunter2" not in said.stdout + said.stderr
    assert "limnos init --from URL" in said.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_schema_without_tables_is_said(url: str, tmp_path: Path) -> None:
    said = limnos("init", "--from", url, "--schema", "absent", str(tmp_path / "shop"))
    assert (said.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "--schema" in said.stderr


def test_a_url_from_the_environment_is_written_nowhere(url: str, tmp_path: Path) -> None:
    said = limnos("init", "--from", "secret://MY_SHOP", "--schema", "sales", "--no-sample", str(tmp_path / "shop"), MY_SHOP=url)
    assert said.returncode == 0, said.stderr
    assert not (tmp_path / "shop/.limnos").exists()
    assert "url: secret://MY_SHOP" in (tmp_path / "shop/limnos.yml").read_text()
    assert "no value was looked at" in (tmp_path / "shop/contracts/customers.odcs.yaml").read_text()
    assert limnos("-C", str(tmp_path / "shop"), "plan", MY_SHOP=url).returncode == 0


@pytest.mark.parametrize("wrong", [["--example", "flights", "--from", "sqlite:///x"], ["--schema", "s"], ["--no-sample"]])
def test_options_that_do_not_go_together_are_said(wrong: list[str], tmp_path: Path) -> None:
    said = limnos("init", *wrong, str(tmp_path / "shop"))
    assert (said.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "hint: limnos init --help" in said.stderr


def test_what_a_user_may_not_read_and_what_has_no_columns_leave_the_other_tables_alone(
    url: str, postgres_server: services.Postgres, tmp_path: Path
) -> None:
    database = url.rpartition("/")[2]
    with psycopg.connect(postgres_server.url(database), autocommit=True) as shop:
        shop.execute("CREATE TABLE sales.aside (id int PRIMARY KEY); CREATE TABLE sales.bare ()")
        shop.execute(f"GRANT SELECT ON sales.bare TO {database}")
    there = tmp_path / "shop"
    laid = limnos("init", "--from", url, "--schema", "sales", str(there))
    assert laid.returncode == 0, laid.stderr
    project = (there / "limnos.yml").read_text()
    assert "# bare has no columns\n" in project
    assert "(permission denied for table aside)\n      aside: {mode: full}" in project
    ran = limnos("-C", str(there), "run")
    assert ran.returncode == 3
    assert ran.stderr.count("permission denied") == 1
    assert {line.split()[0] for line in ran.stdout.splitlines() if " = written " in line} == {f"{database}.{table}" for table in TABLES}


def test_a_right_that_only_change_streams_need_stops_only_their_tables_and_is_told_once(url: str, tmp_path: Path) -> None:
    there, shop = tmp_path / "shop", url.rpartition("/")[2]
    assert limnos("init", "--from", url, "--schema", "sales", str(there)).returncode == 0
    project = there / "limnos.yml"
    lines = project.read_text().splitlines()
    streamed = [line.replace("full", "cdc", 1) if line.strip().startswith(("orders:", "Order Lines:")) else line for line in lines]
    project.write_text("\n".join(streamed))
    ran = limnos("-C", str(there), "run", *(f"{shop}.{name}" for name in ("countries", "customers", "orders", "order_lines")))
    assert ran.returncode == 3
    assert ran.stderr.count("does not let this user publish its tables") == 1
    assert f"\n{shop}.orders, {shop}.order_lines: postgres" in ran.stderr
    assert " read 2,000 = written 2,000" in ran.stdout
