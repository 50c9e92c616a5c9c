"""A small project with every kind of fault in it, and what can be seen of its lake."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyiceberg.table import StaticTable

from limnos import Lake
from limnos.ledger.state import State

PROJECT = """
version: 1
project: shop
sources:
  db:
    type: sqlite
    path: shop.db
    namespace: shop
    tables: {customers: {}, orders: {}}
  files:
    type: files
    format: csv
    namespace: shop
    tables: {rates: {path: rates.csv}}
tables:
  shop.customers:
    checks: [{range: {column: age, min: 0, max: 150}}]
  shop.orders:
    partition: month(placed)
    checks: [{foreign_key: {column: customer, references: shop.customers.id}}]
  shop.rates:
    columns:
      - {name: id, type: long, checks: [not_null, unique]}
      - {name: rate, type: "decimal(12,4)"}
      - {name: day, type: date}
"""


def make(directory: Path) -> None:
    """Lay the project down: 60 customers of which one is too old, 400 orders of which some have no customer, rates with faults."""
    directory.mkdir(parents=True)
    (directory / "limnos.yml").write_text(PROJECT)
    with sqlite3.connect(directory / "shop.db") as db:
        db.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER)")
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, amount DECIMAL(12,2), placed DATE)")
        db.executemany("INSERT INTO customers VALUES (?,?,?)", [(i, f"name {i}", 200 if i == 7 else 20 + i) for i in range(60)])
        orders = [(i, i % 61, f"{i}.25", f"2024-{i % 4 + 1:02d}-{i % 28 + 1:02d}") for i in range(400)]
        db.executemany("INSERT INTO orders VALUES (?,?,?,?)", orders)
    db.close()
    (directory / "rates.csv").write_text(
        "id,rate,day\n1,1.5,2024-01-01\n2,x,2024-01-02\n3,2.5,2024-02-30\n4,4\n5,5.25,2024-01-05\n5,5.25,2024-01-05\n"
    )


def change(directory: Path) -> None:
    """Change the source: rows added, changed and gone, a fault mended, a fault new."""
    with sqlite3.connect(directory / "shop.db") as db:
        db.execute("UPDATE customers SET age = 70 WHERE id = 7")
        db.execute("DELETE FROM orders WHERE id < 20")
        db.execute("UPDATE orders SET amount = '1.00' WHERE id = 30")
        db.execute("INSERT INTO orders VALUES (1000, 3, '9.99', '2024-09-09'), (1001, 999, '9.99', '2024-09-09')")
    db.close()
    (directory / "rates.csv").write_text("id,rate,day\n1,1.5,2024-01-01\n2,2.25,2024-01-02\n6,6,2024-13-01\n")


def mend(directory: Path) -> None:
    """Change the rules so that the orders of unknown customers pass."""
    text = (directory / "limnos.yml").read_text()
    (directory / "limnos.yml").write_text(text.replace("references: shop.customers.id}", "references: shop.customers.id, severity: warn}"))


TABLES = ("shop.customers", "shop.orders", "shop.rates")


def seen(directory: Path) -> dict[str, Any]:
    """Give all that a reader can see of the lake, without what differs from run to run (ids, times)."""
    lake = Lake(directory)
    published = {str(state.table) for state in lake.status() if state.snapshot}
    found: dict[str, Any] = {name: _rows(lake, f"SELECT * FROM {name}") for name in TABLES if name in published}
    quarantine = "SELECT table_name, origin, row, raw, reasons, status FROM system.quarantine WHERE status <> 'superseded'"
    found["quarantine"] = _rows(lake, quarantine) if published else []
    found["positions"] = {
        str(table): (mark.position.content if mark.position else None, mark.read, mark.quarantined)
        for table, mark in lake._parts.ledger.marks().items()
    }
    return found


def _rows(lake: Lake, sql: str) -> Sequence[str]:
    return sorted(map(repr, lake.query(sql).rows()))


def strays(directory: Path) -> set[Path]:
    """Give the files below the lake that no published version, current or former but not expired, refers to."""
    lake = Lake(directory)
    catalog = lake._parts.catalog
    known: set[str] = set()
    for table in catalog.pin():
        for snapshot in (one for one in catalog.history(table) if not one.expired):
            loaded = StaticTable.from_metadata(snapshot.metadata_location)
            known.add(snapshot.metadata_location)
            for version in [one for one in loaded.metadata.snapshots if Path(one.manifest_list).exists()]:
                known.add(version.manifest_list)
                for manifest in version.manifests(loaded.io):
                    known.add(manifest.manifest_path)
                    known |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(loaded.io, discard_deleted=False)}
    root = directory / ".limnos" / "lake"
    return {path for path in root.rglob("*") if path.is_file() and str(path) not in known}


def ended(directory: Path) -> bool:
    """Tell whether every run that started is recorded as ended."""
    lake = Lake(directory)
    state: State = lake._parts.state
    return state.is_sqlite and not lake._parts.ledger.open_runs()
