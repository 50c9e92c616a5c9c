"""Texts in other notations, and what they are read as."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from limnos.model.contract import RuleSpec
from limnos.model.names import TableName
from limnos.project.notations import Imported, Tables, read_notation

Read = Callable[[str, str], tuple[Imported, ...]]
RulesOf = Callable[[str, str], list[tuple[object, ...]]]
RefusedOf = Callable[[str, str], list[tuple[str, str]]]
KNOWN = frozenset(TableName("shop", name) for name in ("orders", "customers", "countries"))


def tables_of(name: str) -> Tables:
    return Tables(TableName("shop", name.rpartition(".")[2] or "orders"), KNOWN)


@pytest.fixture
def read() -> Read:
    """Give what translates a text of a format."""
    return lambda form, text: read_notation(form, text, "file", tables_of)


@pytest.fixture
def rules_of(read: Read) -> RulesOf:
    """Give what translates a text about one table in which nothing is refused."""

    def rules(form: str, text: str) -> list[tuple[object, ...]]:
        (one,) = read(form, text)
        assert [error.render() for error in one.refused] == []
        return [said(rule) for rule in one.rules]

    return rules


@pytest.fixture
def refused_of(read: Read) -> RefusedOf:
    """Give what translates a text about one table in which everything is refused."""

    def refused(form: str, text: str) -> list[tuple[str, str]]:
        (one,) = read(form, text)
        assert one.rules == ()
        return [(error.subject, error.what) for error in one.refused]

    return refused


def said(rule: RuleSpec) -> tuple[object, ...]:
    """Give a rule as kind, columns, arguments, and what differs from the usual."""
    more = {"where": rule.where, "at_least": rule.at_least, "severity": rule.severity}
    usual = {"where": "", "at_least": 1.0, "severity": None}
    beside = {word: value for word, value in more.items() if value != usual[word]}
    return (rule.kind, rule.columns, dict(rule.arguments), *([beside] if beside else []))
