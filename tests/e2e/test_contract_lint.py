"""Contracts that we write pass `datacontract lint`, the check of the Data Contract CLI, of the version that is named here."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pyarrow as pa
import pytest

from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.model.names import TableName
from limnos.project.notations import Tables, read_notation
from limnos.project.odcs_edit import with_rules
from limnos.project.odcs_write import write_contract

LINTER = "datacontract-cli==1.2.8"
ORDERS = TableName("shop", "orders")
RULES = """
Rules = [
  IsPrimaryKey "id", RowCount between 0 and 1000, Completeness "mail" > 0.95 where "id > 1", IsUnique "mail",
  ColumnValues "mail" matches "^.+@.+$", ColumnValues "state" in ["open", "no", "1e5"], ColumnValues "state" not in ["x"],
  ColumnValues "id" between 1 and 9 with threshold > 0.5, ColumnLength "state" < 10, Mean "id" > 3,
  ReferentialIntegrity "id,mail" "customers.{a,b}" >= 0.5, ReferentialIntegrity "id" "customers.id" = 1.0,
  (ColumnValues "id" > 21) or (ColumnValues "id" = NULL), DataFreshness "day" <= 24 hours, ColumnDataType "id" = "Long",
  CustomSql "select count(*) from primary" > 1
]
"""
COLUMNS = (
    Column("id", pa.int64(), required=True, description="Number: yes # no"),
    Column("mail", pa.string(), classification="email"),
    Column("state", pa.string(), required=True),
    Column("day", pa.timestamp("us", tz="UTC")),
    Column("a b.c", pa.decimal128(12, 2)),
    Column("parts", pa.list_(pa.field("element", pa.string()))),
    Column("ref", pa.int64()),
)
MORE = (
    RuleSpec("range", ("ref",), {"min": 0, "max": 9}),
    RuleSpec("length", ("mail",), {"min": 1}),
    RuleSpec("not_null", ("ref",), severity=Severity.WARN, at_least=0.9),
    RuleSpec("foreign_key", ("ref",), {"references": "shop.customers", "columns": ["id"]}),
    RuleSpec("foreign_key", ("a b.c",), {"references": "shop.customers", "columns": ["id"]}),
    RuleSpec("foreign_key", ("ref", "id"), {"references": "shop.customers", "columns": ["id", "a"]}),
    RuleSpec("accepted_values", ("ref",), {"values": [1, 2]}, at_least=0.5),
    RuleSpec("any_of", (), {"rules": [{"not_null": {"column": "id"}}]}, name="either"),
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def lint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("linter")
    venv.create(place, with_pip=True)
    said = subprocess.run(
        [place / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", LINTER],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return place / "bin/datacontract"


def passes(lint: Path, *files: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    for file in files:
        said = subprocess.run([lint, "lint", file], capture_output=True, text=True, check=False, env=clean, cwd=file.parent)
        assert said.returncode == 0, said.stdout + said.stderr
        assert "Data contract is valid" in said.stdout


def test_an_exported_contract_and_an_edited_one_pass(lint: Path, tmp_path: Path) -> None:
    (found,) = read_notation("dqdl", RULES, "rules.dqdl", lambda _: Tables(ORDERS))
    assert (len(found.rules), found.refused) == (18, ())
    exported = tmp_path / "orders.odcs.yaml"
    contract = Contract(ORDERS, COLUMNS, ("id",), (*found.rules, *MORE), owner="Sales", description="What was ordered.")
    exported.write_text(write_contract(contract, {"mail": "its name"}), encoding="utf-8")
    files = [exported]
    for version in ("3.0.2", "3.1.0", "3.2.0"):
        root = tmp_path / version
        (root / "contracts").mkdir(parents=True)
        (root / "limnos.yml").write_text("version: 1\n", encoding="utf-8")
        file = root / "contracts/orders.odcs.yaml"
        file.write_text(
            f"apiVersion: v{version}\nkind: DataContract\nid: c1\nversion: 1.0.0\nstatus: active\nschema:\n"
            "  - name: orders\n    physicalName: shop.orders\n",
            encoding="utf-8",
        )
        file.write_text(with_rules(root, ORDERS, (*found.rules, *MORE)).after, encoding="utf-8")
        files.append(file)
    drafted = with_rules(tmp_path / "3.1.0", TableName("shop", "lines"), MORE)
    (tmp_path / "lines.odcs.yaml").write_text(drafted.after, encoding="utf-8")
    passes(lint, *files, tmp_path / "lines.odcs.yaml")
