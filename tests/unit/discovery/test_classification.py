from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.discovery.classification import classify
from limnos.discovery.values import NATIONAL_IDS, is_card, is_iban, is_ip, is_phone, luhn

TEXT, LONG, DOUBLE, DATE = pa.string(), pa.int64(), pa.float64(), pa.date32()
EMAILS = ["ana@example.org", "m.x+tag@mail.example.co.uk", "o'neil@example.ie"]
PHONES = ["+49 30 901820", "+33 1 42 68 53 00", "+1 (202) 456-1111", "+351213111400", "+34912345678"]
NATIONAL = ["06 12 34 56 78", "030/901820", "(202) 456-1111"]
IBANS = ["DE89 3704 0044 0532 0130 00", "FR1420041010050500013M02606", "GB29NWBK60161331926819"]
CARDS = ["4111111111111111", "5500 0000 0000 0004", "340000000000009"]
PLACES = ["203.0.113.7", "198.51.100.23", "192.0.2.146", "10.0.0.5", "2001:db8::1", "172.16.254.1", "8.8.8.8", "192.168.1.100"]
VERSIONS = ["1.2.3.4", "1.2.3.5", "1.2.4.0", "2.0.0.1", "2.0.0.2", "2.1.0.0", "2.1.0.1", "3.0.0.0"]
ORDERS = [str(4111111111111000 + n) for n in range(40)]
LUCKY = ["4111111111111111", "4012888888881881", "4222222222222"]
UUIDS = ["6fa459ea-ee8a-3ca4-894e-db77e160355e", "16fd2706-8baf-433b-82eb-8c7fada847da", "886313e1-3b8a-5372-9b90-0c9aee199e5d"]
NAMES = ["Ana", "Max", "Zoé"]
DAYS = ["1980-01-31", "2001-12-01", "1955-07-04"]

POSITIVE: list[tuple[str, pa.DataType, Sequence[str], str]] = [
    ("email", TEXT, EMAILS, "email"),
    ("contact", TEXT, EMAILS, "email"),
    ("customerEMail", TEXT, EMAILS, "email"),
    ("correo_electronico", TEXT, EMAILS, "email"),
    ("email_address", TEXT, EMAILS, "email"),
    ("email", TEXT, [], "email"),
    ("phone", TEXT, NATIONAL, "phone"),
    ("telefonnummer", TEXT, NATIONAL, "phone"),
    ("mobile_phone", TEXT, PHONES, "phone"),
    ("contact", TEXT, PHONES, "phone"),
    ("kontonummer", TEXT, IBANS, "iban"),
    ("x", TEXT, IBANS, "iban"),
    ("card_number", TEXT, CARDS, "card"),
    ("numero_carte", TEXT, CARDS, "card"),
    ("ip_address", TEXT, PLACES, "ip"),
    ("x", TEXT, PLACES, "ip"),
    ("ip", TEXT, ["10.0.0.1", "10.0.0.2"], "ip"),
    ("x", TEXT, ["00:1B:44:11:3A:B7", "00:1b:44:11:3a:b8", "00-1B-44-11-3A-B9"], "mac"),
    ("homepage", TEXT, ["https://example.org", "http://example.org/a?b=c#d", "https://example.org:8080/"], "url"),
    ("token", TEXT, UUIDS, "uuid"),
    ("country_code", TEXT, ["FR", "de", "US"], "country"),
    ("pays", TEXT, ["FR"], "country"),
    ("currency", TEXT, ["EUR", "USD"], "currency"),
    ("Währung", TEXT, ["EUR", "CHF"], "currency"),
    ("first_name", TEXT, NAMES, "name"),
    ("LastName", TEXT, NAMES, "name"),
    ("nachname", TEXT, NAMES, "name"),
    ("prénom", TEXT, NAMES, "name"),
    ("customer_name", TEXT, NAMES, "name"),
    ("date_of_birth", DATE, DAYS, "birth_date"),
    ("GeburtsDatum", TEXT, ["31.01.1980"], "birth_date"),
    ("fecha_nacimiento", DATE, [], "birth_date"),
    ("street", TEXT, ["1 Main St"], "address"),
    ("shipping_address", TEXT, ["1 Main St"], "address"),
    ("address_line_1", TEXT, ["1 Main St"], "address"),
    ("PLZ", TEXT, ["10115"], "address"),
    ("ssn", TEXT, ["078-05-1120", "219-09-9999"], "national_id"),
    ("nif", TEXT, ["12345678Z", "X1234567L"], "national_id"),
    ("codice_fiscale", TEXT, ["RSSMRA85T10A562S"], "national_id"),
    ("lat", DOUBLE, ["48.85", "-33.9"], "latitude"),
    ("longitude", pa.decimal128(9, 6), ["2.35", "151.2"], "longitude"),
]
NEGATIVE: list[tuple[str, pa.DataType, Sequence[str]]] = [
    ("order_no", LONG, ORDERS),
    ("order_no", TEXT, ORDERS),
    ("order_no", TEXT, LUCKY),
    ("card_id", LONG, ["1", "2"]),
    ("version", TEXT, VERSIONS),
    ("x", TEXT, VERSIONS),
    ("firmware_version", TEXT, PLACES),
    ("name", TEXT, NAMES),
    ("product_name", TEXT, ["Chair", "Table"]),
    ("file_name", TEXT, ["a.txt"]),
    ("company_name", TEXT, ["Example Ltd"]),
    ("email", TEXT, ["yes", "no"]),
    ("email_verified_at", pa.timestamp("us"), []),
    ("email_count", LONG, ["3"]),
    ("email_id", LONG, ["3"]),
    ("phone_model", TEXT, ["X200"]),
    ("phone", TEXT, ["X200", "Y300"]),
    ("state", TEXT, ["CA", "DE", "IN"]),
    ("language", TEXT, ["de", "fr", "it"]),
    ("country", TEXT, ["France", "Germany"]),
    ("ticker", TEXT, ["ALL", "TRY", "CAD"]),
    ("currency_rate", DOUBLE, ["1.1"]),
    ("created_at", pa.timestamp("us"), []),
    ("birthday_discount", DOUBLE, ["0.1"]),
    ("date_of_birth", TEXT, ["unknown", "n/a"]),
    ("address_id", LONG, ["1"]),
    ("latency", DOUBLE, ["12.5"]),
    ("platform", TEXT, ["web"]),
    ("flat", DOUBLE, ["3"]),
    ("lat", DOUBLE, ["480.85"]),
    ("lon", LONG, ["1", "2"]),
    ("phone", LONG, ["1", "2", "3"]),
    ("ean", TEXT, ["4006381333931", "9780306406157"]),
    ("isbn", TEXT, ["9780306406157"]),
    ("bsn", TEXT, ["111222334", "123456789"]),
    ("tracking", TEXT, ["123456782"]),
    ("amount", pa.decimal128(12, 2), ["12.00"]),
    ("flags", pa.bool_(), ["True"]),
    ("payload", pa.binary(), []),
    ("tags", pa.list_(TEXT), []),
    ("", TEXT, []),
]


@pytest.mark.parametrize(("column", "kind", "values", "expected"), POSITIVE, ids=lambda one: one if isinstance(one, str) else "")
def test_a_column_is_classified(column: str, kind: pa.DataType, values: Sequence[str], expected: str) -> None:
    proposal = classify(column, kind, values)
    assert proposal is not None
    assert proposal.classification == expected
    assert 0.5 <= proposal.confidence < 1
    assert ("values" in proposal.evidence or "value" in proposal.evidence) if values and expected not in ("name", "address") else True
    assert proposal.evidence


@pytest.mark.parametrize(("column", "kind", "values"), NEGATIVE, ids=lambda one: one if isinstance(one, str) else "")
def test_other_data_are_left_alone(column: str, kind: pa.DataType, values: Sequence[str]) -> None:
    assert classify(column, kind, values) is None


def test_evidence_weighs() -> None:
    def sure(column: str, values: Sequence[str]) -> float:
        proposal = classify(column, TEXT, values)
        assert proposal is not None
        return proposal.confidence

    assert sure("email", EMAILS) > sure("contact", EMAILS) > sure("email", [*EMAILS, "none", "?"]) > sure("email", [])


@pytest.mark.parametrize(
    ("what", "good"),
    [
        ("a Spanish NIF or NIE", "12345678Z"),
        ("a French NIR", "255081416802538"),
        ("an Italian codice fiscale", "RSSMRA85T10A562S"),
        ("a Dutch BSN", "111222333"),
        ("a Polish PESEL", "44051401359"),
        ("a Brazilian CPF", "529.982.247-25"),
    ],
)
def test_a_national_id_with_one_digit_changed_is_none(what: str, good: str) -> None:
    test = NATIONAL_IDS[what]
    assert test(good)
    places = [place for place, char in enumerate(good) if char.isdigit()]
    wrong = [good[:place] + str((int(good[place]) + 1) % 10) + good[place + 1 :] for place in places]
    assert not any(map(test, wrong))


@given(st.integers(0, 10**14 - 1).map(lambda number: f"4{number:014}"))
def test_exactly_one_of_ten_digits_completes_a_card(prefix: str) -> None:
    assert sum(is_card(f"{prefix}{digit}") for digit in range(10)) == 1


@given(st.text())
def test_no_text_breaks_a_test(text: str) -> None:
    assert {classify("x", TEXT, [text]) is None, is_iban(text), is_phone(text), is_ip(text), luhn("0")} <= {True, False}
    for test in NATIONAL_IDS.values():
        assert test(text) in (True, False)
