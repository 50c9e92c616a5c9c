"""A small project, the command line run in this process, and its comparison with text files."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest

from limnos.apps.cli.main import run

SNAPSHOTS = Path(__file__).parent / "snapshots"
VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"\b\d+\.\d s\b"), "<seconds>"),
    (re.compile(r'("seconds": )[\d.]+'), r"\1<seconds>"),
    (re.compile(r'("actor": )"[^"]*"'), r"\1<actor>"),
    (re.compile(r"\b\d{15,19}\b"), "<snapshot>"),
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "<digest>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<version>"),
    (re.compile(r"\b\d{8}T\d{6}\w*(-\w+)*\b"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "<time>"),
    (re.compile(r"(<id> +)\S+$", re.MULTILINE), r"\1<actor>"),
    (re.compile(r"(?<=\S) {2,}(?=\S)"), "  "),
]
PROJECT = """\
version: 1
project: shop
sources:
  shop:
    type: files
    path: in/*.csv
    format: csv
    tables:
      customers: {path: in/customers.csv}
      orders: {path: in/orders.csv}
tables:
  shop.customers:
    columns:
      - {name: id, type: long, checks: [not_null, unique]}
      - {name: name, type: string}
  shop.orders:
    columns:
      - {name: id, type: long, checks: [not_null, unique]}
      - {name: customer, type: long}
      - {name: amount, type: "decimal(12,2)", checks: [{range: {min: 0}}]}
    checks:
      - foreign_key: {column: customer, references: shop.customers.id}
"""
CUSTOMERS = "id,name\n1,Ada\n2,Grace\n"
ORDERS = "id,customer,amount\n1,1,12.50\n2,9,7.00\n3,2,-1.00\n4,2,a\x1b[31mb\n5,2,30.00\n"


@dataclass(frozen=True)
class Spoken:
    """Hold what one command said."""

    typed: str
    code: int
    out: str
    err: str

    def text(self) -> str:
        parts = [f"$ {self.typed}\n", self.out]
        if self.err:
            parts.append("-- standard error\n" + self.err)
        return "".join(part if part.endswith("\n") or not part else part + "\n" for part in [*parts, f"-- exit {self.code}\n"])


Typist = Callable[..., Spoken]
Comparison = Callable[[str, str], None]


@pytest.fixture
def limnos(capfd: pytest.CaptureFixture[str]) -> Typist:
    """Run one command line in this process."""

    def typed(*arguments: str) -> Spoken:
        capfd.readouterr()
        code = run(arguments)
        said = capfd.readouterr()
        return Spoken(shlex.join(["limnos", *arguments]), code, said.out, said.err)

    return typed


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """Stand in a project of two CSV files; three of the five orders are bad."""
    (tmp_path / "in").mkdir()
    (tmp_path / "limnos.yml").write_text(PROJECT)
    (tmp_path / "in/customers.csv").write_text(CUSTOMERS)
    (tmp_path / "in/orders.csv").write_text(ORDERS)
    with chdir(tmp_path):
        yield tmp_path


@pytest.fixture
def same_as(tmp_path: Path) -> Comparison:
    """Compare a text with a snapshot, times, ids and places of this machine aside; `LIMNOS_REWRITE=1` writes it anew."""

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / f"{name}.txt"
        steady = text.replace(str(tmp_path), "<project>")
        for varying, instead in VARYING:
            steady = varying.sub(instead, steady)
        steady = "\n".join(line.rstrip() for line in steady.splitlines()) + "\n"
        if os.environ.get("LIMNOS_REWRITE"):
            path.write_text(steady, encoding="utf-8")
        assert steady == path.read_text(encoding="utf-8"), "run with LIMNOS_REWRITE=1, and read the difference"

    return compare


@pytest.fixture
def loaded(shop: Path, limnos: Typist) -> Path:
    """Stand in the project after one run."""
    assert limnos("run", "--quiet").code == 0
    return shop
