"""What may be imported from `limnos` and what it offers: a change here is a change for every user."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from keyword import iskeyword

import click
import pytest

import limnos
from limnos import Lake, Quarantine, Result
from limnos.apps.cli.main import VERBS
from limnos.apps.cli.main import limnos as command

PUBLIC = {
    "Column": "limnos.model.contract",
    "Contract": "limnos.model.contract",
    "Decision": "limnos.model.decision",
    "Event": "limnos.model.event",
    "Extract": "limnos.model.extract",
    "Lake": "limnos.lake",
    "LimnosError": "limnos.errors",
    "Outcome": "limnos.model.verdict",
    "Partition": "limnos.model.contract",
    "Plan": "limnos.model.run",
    "Position": "limnos.model.position",
    "Principal": "limnos.model.decision",
    "Quarantine": "limnos.lake",
    "Result": "limnos.flow.query",
    "RuleSpec": "limnos.model.contract",
    "RunResult": "limnos.model.run",
    "Severity": "limnos.model.contract",
    "Snapshot": "limnos.model.data",
    "TableName": "limnos.model.names",
    "TableResult": "limnos.model.run",
    "Verdict": "limnos.model.verdict",
}
ONLY_TYPED = {"explain"}
"""A verb that reads documentation and no lake."""


def _offered(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_the_public_names_are_these() -> None:
    assert sorted(PUBLIC) == limnos.__all__


@pytest.mark.parametrize(("name", "home"), PUBLIC.items())
def test_a_public_name_is_what_its_home_defines(name: str, home: str) -> None:
    found = getattr(limnos, name)
    assert found is getattr(import_module(home), name)
    assert (found.__module__, found.__name__) == (home, name)
    assert inspect.getdoc(found)


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Laek'"):
        limnos.Laek  # noqa: B018 reading it is the test


def test_every_verb_that_is_typed_is_a_method_of_the_lake_and_the_other_way_round() -> None:
    # `run --follow` and `anomalies --backtest` are typed, and methods of their own.
    methods = {f"{verb}_" if iskeyword(verb) else verb for verb in VERBS}
    assert _offered(Lake) == methods - ONLY_TYPED | {"backtest", "follow"}
    group = command.get_command(click.Context(command), "quarantine")
    assert isinstance(group, click.Group)
    typed = {{"list": "counts", "show": "entries"}.get(name, name) for name in group.commands}
    assert _offered(Quarantine) == typed


def test_a_result_offers_these_and_no_more() -> None:
    assert _offered(Result) == {"close", "reader", "rows", "to_arrow", "to_pandas", "to_polars"}


def test_naming_the_package_loads_no_driver() -> None:
    drivers = "{'duckdb', 'pyarrow', 'pyiceberg', 'sqlalchemy', 'click', 'psycopg'}"
    code = f"import sys, limnos; print(sorted({drivers} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
