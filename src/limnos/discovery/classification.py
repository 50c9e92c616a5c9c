"""Propose what class of data a column holds, from its name, its type and a few of its values.

A wrong class costs more than a missing one: a person reads the proposals, and trusts them less with each wrong one. So a form that
other data have too counts only under a name that says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from limnos.discovery.spellings import named, words
from limnos.discovery.values import BY_CHECK, NATIONAL_IDS
from limnos.model.types import type_name

_MOST, _HALF = 0.95, 0.5
_BOTH, _VALUES, _NAME, _UNSEEN = 0.98, 0.9, 0.7, 0.5
# How many different values have to be of a form that says it all; others need a name beside.
_BY_VALUES_ALONE = {"email": 3, "iban": 3, "mac": 3, "url": 3, "uuid": 3, "phone": 5, "ip": 8, "card": 20}
_LOOSE_PHONE = re.compile(r"\+?[0-9][0-9 ()./\-]{4,20}")
_VERSIONS = frozenset("version release build firmware revision schema".split())
_NUMBERS = frozenset({"int", "long", "float", "double", "decimal"})
_YEAR = re.compile(r"(19[0-9]{2}|20[0-4][0-9])-[0-9]{2}-[0-9]{2}.*|[0-9]{1,2}[./][0-9]{1,2}[./](19[0-9]{2}|20[0-4][0-9])")


@dataclass(frozen=True, slots=True)
class Proposal:
    """Propose a class for a column; `confidence` is between 0 and 1, `evidence` says what it rests on."""

    column: str
    classification: str
    confidence: float
    evidence: str


def classify(column: str, kind: pa.DataType, values: Sequence[str] = ()) -> Proposal | None:
    """Propose a class for one column, given some of its values as text without nulls; nothing where the evidence does not carry.

    Examples:
        >>> classify("mail", pa.string(), ["ana@example.org", "max@example.net"])
        Proposal(column='mail', classification='email', confidence=0.98, evidence='its name, and each of 2 values is an e-mail address')
        >>> classify("order_no", pa.int64(), ["4111111111111111"]) is None
        True
    """
    said = named(column)
    different = tuple(dict.fromkeys(value.strip() for value in values if value.strip()))
    type_ = "decimal" if pa.types.is_decimal(kind) else type_name(kind)
    if not _possible(said, type_):
        said = ""
    found = _by_name(said, different) if said else None
    found = found or (_by_values(column, different) if type_ in ("string", "uuid") else None)
    return Proposal(column, *found) if found else None


_Found = tuple[str, float, str]


def _possible(said: str, type_: str) -> bool:
    """Tell whether a column of this type can hold the class at all."""
    match said:
        case "latitude" | "longitude":
            return type_ in {"float", "double", "decimal", "string"}
        case "birth_date":
            return type_ in {"date", "timestamp", "timestamptz", "string"}
        case "phone" | "card" | "national_id":
            return type_ in {"string", "long", "decimal"}
        case "uuid":
            return type_ in {"string", "uuid"}
        case _:
            return type_ == "string"


def _by_name(said: str, values: Sequence[str]) -> _Found | None:
    what, test = _test(said)
    if not values:
        return (said, _UNSEEN, "its name; no value was looked at")
    if test is None:
        return (said, _NAME, "its name")
    passed = sum(map(test, values))
    if passed >= _MOST * len(values):
        return (said, _BOTH, f"its name, and {_counted(passed, len(values), what)}")
    if passed >= _HALF * len(values) and said not in ("country", "currency", "latitude", "longitude"):
        return (said, _NAME, f"its name, and {_counted(passed, len(values), what)}")
    return None


def _test(said: str) -> tuple[str, Callable[[str], bool] | None]:
    """Give what a value of the class is called, and the test of it under a name that says so; none where only the name tells."""
    match said:
        case "phone":
            return "a telephone number", lambda text: bool(_LOOSE_PHONE.fullmatch(text)) and 6 <= sum(map(str.isdigit, text)) <= 15
        case "national_id":
            return "an identity number with its check digits", lambda text: any(test(text) for test in NATIONAL_IDS.values())
        case "latitude":
            return "a latitude", lambda text: _within(text, 90)
        case "longitude":
            return "a longitude", lambda text: _within(text, 180)
        case "birth_date":
            return "a date since 1900", lambda text: bool(_YEAR.fullmatch(text))
        case "name" | "address":
            return "", None
        case _:
            return BY_CHECK[said]


def _by_values(column: str, values: Sequence[str]) -> _Found | None:
    for kind, least in _BY_VALUES_ALONE.items():
        what, test = BY_CHECK[kind]
        if len(values) < least or (kind == "ip" and not _no_versions(column, values)):
            continue
        passed = sum(map(test, values))
        if passed >= _MOST * len(values):
            return (kind, _VALUES, _counted(passed, len(values), what))
    return None


def _no_versions(column: str, values: Sequence[str]) -> bool:
    """Tell addresses from version numbers, which have the form of small ones."""
    large = sum(":" in value or any(len(part) == 3 for part in value.split(".")) for value in values)
    return large >= _HALF * len(values) and not _VERSIONS & set(words(column))


def _within(text: str, most: float) -> bool:
    try:
        return abs(float(text)) <= most
    except ValueError:
        return False


def _counted(passed: int, all_: int, what: str) -> str:
    if all_ == 1:
        return f"the one value is {what}"
    return f"each of {all_:,} values is {what}" if passed == all_ else f"{passed:,} of {all_:,} values: {what}"
