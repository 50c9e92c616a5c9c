"""The forms of text that have a name, each judged by the library that knows it."""

from __future__ import annotations

import importlib
import ipaddress
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from limnos.errors import ExtraMissing

Judge: TypeAlias = Callable[[str], bool]
"""Tells whether a text has a form."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}", re.ASCII)
_TIME = re.compile(r"\d{2}:\d{2}", re.ASCII)
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\.?$)({_LABEL}\.)*{_LABEL}\.?", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[!#-;=?-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """Say what a form is, and make its judge; `make` is given the region of phone numbers, or an empty text."""

    words: str
    make: Callable[[str], Judge]


def _library(name: str, package: str) -> Any:  # noqa: ANN401 what an optional package holds has no type when it is not there
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExtraMissing(
            f"{package} is not installed",
            subject="a rule of the kind format",
            seen=f"no module {name}",
            expected=package,
            hint="pip install 'limnos[formats]'",
        ) from error


def _reads(read: Callable[[str], object]) -> Judge:
    def judge(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return judge


def _stdnum(module: str) -> Callable[[str], Judge]:
    def make(_: str) -> Judge:
        valid = _library(f"stdnum.{module}", "python-stdnum").is_valid
        return lambda text: bool(valid(text))

    return make


def _always(judge: Judge) -> Callable[[str], Judge]:
    return lambda _: judge


def _email(_: str) -> Judge:
    library = _library("email_validator", "email-validator")

    def judge(text: str) -> bool:
        try:
            library.validate_email(text, check_deliverability=False)
        except library.EmailNotValidError:
            return False
        return True

    return judge


def _phone(region: str) -> Judge:
    library = _library("phonenumbers", "phonenumbers")

    def judge(text: str) -> bool:
        try:
            return bool(library.is_valid_number(library.parse(text, region or None)))
        except library.NumberParseException:
            return False

    return judge


def _card(_: str) -> Judge:
    valid = _library("stdnum.luhn", "python-stdnum").is_valid
    return lambda text: text.isascii() and text.isdigit() and 12 <= len(text) <= 19 and bool(valid(text))


def _country(_: str) -> Judge:
    library = _library("iso3166", "iso3166")
    return frozenset({*library.countries_by_alpha2, *library.countries_by_alpha3}).__contains__


def _currency(_: str) -> Judge:
    return frozenset(one.code for one in _library("iso4217", "iso4217").Currency).__contains__


def _url(text: str) -> bool:
    if not _URL.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        if host and ":" in host:
            return bool(ipaddress.IPv6Address(host))
    except ValueError:
        return False
    return bool(host and _HOST.fullmatch(host))


def _uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _iso(read: Callable[[str], date | time], form: re.Pattern[str]) -> Judge:
    return lambda text: form.match(text) is not None and _reads(read)(text)


def _constant(name: str) -> object:
    raise ValueError(name)


def _json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_constant)
    except (ValueError, RecursionError):
        return False
    return True


FORMATS: Mapping[str, Form] = {
    "bic": Form("a BIC (ISO 9362)", _stdnum("bic")),
    "card": Form("a payment card number: 12 to 19 digits with the check digit of ISO/IEC 7812 (Luhn)", _card),
    "country": Form("a country code (ISO 3166-1 alpha-2 or alpha-3)", _country),
    "currency": Form("a currency code (ISO 4217)", _currency),
    "date": Form("a date such as 2013-01-31", _always(_iso(date.fromisoformat, _DATE))),
    "datetime": Form("a date and time such as 2013-01-31T05:00:00Z", _always(_iso(datetime.fromisoformat, _MOMENT))),
    "ean": Form("an EAN or GTIN", _stdnum("ean")),
    "email": Form("an email address", _email),
    "iban": Form("an IBAN (ISO 13616)", _stdnum("iban")),
    "ip": Form("an IP address", _always(_reads(ipaddress.ip_address))),
    "ipv4": Form("an IPv4 address", _always(_reads(ipaddress.IPv4Address))),
    "ipv6": Form("an IPv6 address", _always(_reads(ipaddress.IPv6Address))),
    "isbn": Form("an ISBN", _stdnum("isbn")),
    "isin": Form("an ISIN (ISO 6166)", _stdnum("isin")),
    "json": Form("JSON (RFC 8259)", _always(_json)),
    "lei": Form("an LEI (ISO 17442)", _stdnum("lei")),
    "phone": Form("a valid phone number", _phone),
    "time": Form("a time such as 05:00:00", _always(_iso(time.fromisoformat, _TIME))),
    "url": Form("an absolute URL with a host (RFC 3986)", _always(_url)),
    "uuid": Form("a UUID with hyphens (RFC 9562)", _always(_uuid)),
}
"""Every form, by the word that `as` takes."""
