"""Recognise single values: forms, and check digits where the form has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,24}"
)
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_PHONE_MARKS = re.compile(r"[ ().\-/]|\(0\)")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_CARD = re.compile(
    r"(4[0-9]{12}([0-9]{3}){0,2}|(5[1-5]|2[2-7])[0-9]{14}|3[47][0-9]{13}|(6011|65[0-9]{2})[0-9]{12}|3(0[0-5]|[68][0-9])[0-9]{11})"
)
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-])([0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}")
_URL = re.compile(r"(?i)(https?|ftp)://[^\s/?#.]+(\.[^\s/?#.]+)*(:[0-9]{1,5})?([/?#]\S*)?")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_US_SSN = re.compile(r"(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}")
_ES_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_IBAN_FORMS = frozenset(
    (
        "AD24 AE23 AT20 BE16 BG22 CH21 CY28 CZ24 DE22 DK18 EE20 ES24 FI18 FR27 GB22 GR27 HR21 HU28 IE22 IL23 IS26 "
        "IT27 LI21 LT20 LU20 LV21 MC27 MT31 NL18 NO15 PL28 PT25 RO24 SA24 SE24 SI19 SK24 SM27 TR26 UA29"
    ).split()
)
COUNTRIES = frozenset(
    (
        "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH "
        "CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN "
        "GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI "
        "LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM "
        "PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD "
        "TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
    ).split()
)
CURRENCIES = frozenset(
    (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP "
        "CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD "
        "JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN "
        "NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SYP SZL THB "
        "TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW"
    ).split()
)


def _digits(text: str) -> str:
    return text.replace(" ", "").replace("-", "")


def luhn(digits: str) -> bool:
    """Check the last digit.

    Examples:
        >>> luhn("4111111111111111"), luhn("4111111111111112")
        (True, False)

    Source: ISO/IEC 7812-1, annex B.
    """
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def is_card(text: str) -> bool:
    """Tell whether it is the number of a payment card: an issuer's prefix, the issuer's length, and the check digit."""
    digits = _digits(text)
    return bool(_CARD.fullmatch(digits)) and luhn(digits)


def is_iban(text: str) -> bool:
    """Tell whether it is an international bank account number.

    Source: ISO 13616-1; ISO/IEC 7064, MOD 97-10.
    """
    plain = text.replace(" ", "").upper()
    if not _IBAN.fullmatch(plain) or f"{plain[:2]}{len(plain)}" not in _IBAN_FORMS:
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def is_phone(text: str) -> bool:
    """Tell whether it is a telephone number with its country.

    Source: ITU-T recommendation E.164.
    """
    return text.startswith("+") and bool(_PHONE.fullmatch(_PHONE_MARKS.sub("", text)))


def is_ip(text: str) -> bool:
    """Tell whether it is an address of the Internet Protocol, version 4 or 6."""
    try:
        return bool(IPv6Address(text) if ":" in text else IPv4Address(text))
    except AddressValueError:
        return False


def _weighted(text: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(text, weights, strict=False))


def _fr_nir(text: str) -> bool:
    plain = _digits(text).upper()
    if not re.fullmatch(r"[12][0-9]{2}(0[1-9]|1[0-2]|[2-9][0-9])(2A|2B|[0-9]{2})[0-9]{8}", plain):
        return False
    number = int(plain[:13].replace("2A", "19").replace("2B", "18"))
    return 97 - number % 97 == int(plain[13:])


def _es_nif(text: str) -> bool:
    plain = _digits(text).upper()
    if not re.fullmatch(r"[0-9XYZ][0-9]{7}[A-Z]", plain):
        return False
    number = plain[:8].translate(str.maketrans("XYZ", "012"))
    return _ES_LETTERS[int(number) % 23] == plain[8]


def _nl_bsn(text: str) -> bool:
    return bool(re.fullmatch("[0-9]{9}", text)) and text != "0" * 9 and _weighted(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _pl_pesel(text: str) -> bool:
    if not re.fullmatch("[0-9]{11}", text) or not 1 <= int(text[2:4]) % 20 <= 12 or not 1 <= int(text[4:6]) <= 31:
        return False
    return (10 - _weighted(text[:10], (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(text[10])


def _br_cpf(text: str) -> bool:
    plain = text.replace(".", "").replace("-", "")
    if not re.fullmatch("[0-9]{11}", plain) or len(set(plain)) == 1:
        return False
    first = _weighted(plain[:9], tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = _weighted(plain[:10], tuple(range(11, 1, -1))) * 10 % 11 % 10
    return plain[9:] == f"{first}{second}"


def _it_codice(text: str) -> bool:
    plain = text.upper()
    if not re.fullmatch(r"[A-Z]{6}[0-9L-NP-V]{2}[ABCDEHLMPRST][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z]", plain):
        return False
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    places = [int(char) if char.isdigit() else ord(char) - ord("A") for char in plain[:15]]
    return chr(ord("A") + sum(odd[value] if place % 2 == 0 else value for place, value in enumerate(places)) % 26) == plain[15]


NATIONAL_IDS: Mapping[str, Callable[[str], bool]] = {
    "a Spanish NIF or NIE": _es_nif,
    "a French NIR": _fr_nir,
    "an Italian codice fiscale": _it_codice,
    "a Dutch BSN": _nl_bsn,
    "a Polish PESEL": _pl_pesel,
    "a Brazilian CPF": _br_cpf,
    "a social security number of the United States": lambda text: bool(_US_SSN.fullmatch(text)),
}
"""Tests by what a value is called; all but the last have check digits."""

BY_CHECK: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "email": ("an e-mail address", lambda text: bool(_EMAIL.fullmatch(text))),
    "iban": ("an IBAN with its check digits", is_iban),
    "card": ("a card number with its check digit", is_card),
    "phone": ("a telephone number with its country", is_phone),
    "ip": ("an IP address", is_ip),
    "mac": ("a MAC address", lambda text: bool(_MAC.fullmatch(text))),
    "url": ("a URL", lambda text: bool(_URL.fullmatch(text))),
    "uuid": ("a UUID", lambda text: bool(_UUID.fullmatch(text))),
    "country": ("a country of ISO 3166", lambda text: text.upper() in COUNTRIES),
    "currency": ("a currency of ISO 4217", lambda text: text in CURRENCIES),
}
"""Tests by class."""
