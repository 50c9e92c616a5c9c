"""Forms of text, by values that are known to have them or not."""

from __future__ import annotations

import sys

import pyarrow as pa
import pytest

from limnos.errors import ExtraMissing
from limnos.model.contract import Column, Contract, RuleSpec
from limnos.model.names import TableName
from limnos.project import words
from limnos.quality.rules import ROW_KINDS, build
from limnos.quality.rules.formats import FORMATS

CONTRACT = Contract(TableName("shop", "customers"), (Column("s", pa.string()),))
RIGHT = {
    "bic": ["DEUTDEFF", "DEUTDEFF500"],
    "card": ["4111111111111111", "378282246310005"],
    "country": ["FR", "FRA", "AX"],
    "currency": ["EUR", "XAF"],
    "date": ["2012-02-29", "0001-01-01"],
    "datetime": ["2013-01-31T05:00:00Z", "2013-01-31 05:00", "2013-01-31T05:00:00.123456+05:30"],
    "ean": ["4006381333931", "73513537"],
    "email": ["ana@example.com", "ana.b+c@mail.example.org", "jürgen@bücher.example.com"],
    "iban": ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32"],
    "ip": ["10.0.0.1", "::1"],
    "ipv4": ["10.0.0.1", "255.255.255.255"],
    "ipv6": ["::1", "2001:db8::8a2e:370:7334"],
    "isbn": ["978-3-16-148410-0", "0306406152"],
    "isin": ["US0378331005"],
    "json": ["{}", '[1, "a", null]', "1e5"],
    "lei": ["5493001KJTIIGC8Y1R12"],
    "phone": ["+33612345678", "+1 212 555 2368"],
    "time": ["05:00", "23:59:59.999"],
    "url": ["https://example.com", "ftp://u:p@host:21/a%20b?c#d", "http://[::1]:8080/", "http://10.0.0.1"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
}
WRONG = {
    "bic": ["DEUTDEF", "DEUT1EFF"],
    "card": ["4111111111111112", "0", "4111 1111 1111 1111", "\u0664111111111111111"],
    "country": ["fr", "XX", "250", "France"],
    "currency": ["eur", "EURO", "XYZ"],
    "date": ["2013-02-29", "20130131", "2013-W01-1", "2013-01-31T00:00", "31.01.2013", "2013-01-31\n"],
    "datetime": ["2013-01-31", "2013-01-31T25:00", "2013-02-30 00:00"],
    "ean": ["4006381333932", "123"],
    "email": ["ana", "ana@", "@example.com", "a b@example.com", "ana@example", "ana@example.com "],
    "iban": ["DE89370400440532013001", "DE00", "XX89370400440532013000"],
    "ip": ["10.0.0", "10.0.0.1/8", "10.0.0.1:80"],
    "ipv4": ["256.0.0.1", "1.2.3", "01.2.3.4", "::1", "1.2.3.4\n", "\u0661.2.3.4"],
    "ipv6": ["10.0.0.1", ":::", "2001:db8::g"],
    "isbn": ["978-3-16-148410-1", "123"],
    "isin": ["US0378331006"],
    "json": ["{", "NaN", "{'a': 1}", "[" * 100_000],
    "lei": ["5493001KJTIIGC8Y1R13"],
    "phone": ["0612345678", "+33", "call me"],
    "time": ["24:00", "5:00", "0500", "05:00 pm"],
    "url": [
        "example.com",
        "http://",
        "http://exa mple.com",
        "http://a..b",
        "http://h:99999",
        "mailto:a@b.c",
        "http://é.fr",
        "http://-a.fr",
    ],
    "uuid": [
        "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
        "\u0660" * 36,
    ],
}


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_form_is_known_by_its_examples(form: str) -> None:
    rule = build(RuleSpec("format", ("s",), {"as": form}), CONTRACT)
    rows = [{"s": text} for text in [*RIGHT[form], *WRONG[form], ""]]
    assert [rows[index]["s"] for index in sorted(rule.oracle(rows, {}, None))] == [*WRONG[form], ""]  # type: ignore[arg-type]


def test_a_phone_number_without_a_country_code_belongs_to_the_region() -> None:
    rule = build(RuleSpec("format", ("s",), {"as": "phone", "region": "FR"}), CONTRACT)
    assert rule.oracle([{"s": "06 12 34 56 78"}, {"s": "+1 212 555 2368"}, {"s": "06"}], {}, None) == {2}  # type: ignore[arg-type]


def test_the_words_of_a_project_are_the_forms_and_rules_that_exist() -> None:
    assert sorted(words.FORMATS) == sorted(FORMATS)
    assert set(words.ROW_RULES) == set(ROW_KINDS)


def test_a_form_whose_library_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stdnum.iban", None)
    with pytest.raises(ExtraMissing, match="python-stdnum is not installed") as caught:
        build(RuleSpec("format", ("s",), {"as": "iban"}), CONTRACT)
    assert caught.value.hint == "pip install 'limnos[formats]'"
