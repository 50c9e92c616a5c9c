"""A small project of two tables, one of them with a bad row."""

from __future__ import annotations

from pathlib import Path

import pytest

from limnos import Lake

PROJECT = """
version: 1
project: shop
sources:
  files: {type: files, namespace: shop, tables: {customers: {path: customers.csv}, orders: {path: orders.csv}}}
tables:
  shop.customers: {columns: [{name: id, type: long, checks: [not_null]}]}
  shop.orders:
    columns: [{name: id, type: long}, {name: customer, type: long}]
    checks: [{foreign_key: {column: customer, references: shop.customers.id}}]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Lake:
    (tmp_path / "limnos.yml").write_text(PROJECT)
    (tmp_path / "customers.csv").write_text("id\n1\n2\n")
    (tmp_path / "orders.csv").write_text("id,customer\n1,1\n2,9\n")
    return Lake(tmp_path)


@pytest.fixture
def loaded(shop: Lake) -> Lake:
    assert shop.run().exit_code() == 0
    return shop
