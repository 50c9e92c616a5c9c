"""What columns are called, in several languages, by the class of what they hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_SPELLED = {
    "email": "email, e mail, mail, mail address, courriel, correo, correo electronico, posta elettronica",
    "phone": "phone, telephone, mobile, cell, cellphone, fax, msisdn, tel, telefon, telefono, telefone, handy, mobil, movil, celular, "
    "telefonnummer, handynummer, portable, cellulare, telefoon",
    "iban": "iban, bank account, kontonummer, compte bancaire, cuenta bancaria, conto bancario",
    "card": "card, card number, credit card, cc number, pan, kreditkarte, kartennummer, carte bancaire, numero carte, tarjeta, "
    "numero tarjeta, carta di credito, cartao",
    "ip": "ip, ip address, ipv4, ipv6, remote addr, client ip, adresse ip, direccion ip, indirizzo ip",
    "mac": "mac, mac address, hwaddr",
    "url": "url, uri, link, website, homepage, webseite, sitio web, site web",
    "uuid": "uuid, guid",
    "country": "country, country code, nationality, land, laendercode, pays, code pays, pais, codigo pais, paese, nazione",
    "currency": "currency, currency code, ccy, waehrung, devise, moneda, divisa, valuta, moeda",
    "name": "first name, last name, full name, middle name, given name, family name, maiden name, firstname, lastname, fullname, surname, "
    "forename, vorname, nachname, familienname, prenom, nom de famille, nom complet, nombre completo, apellido, apellidos, "
    "cognome, nome completo, sobrenome, voornaam, achternaam, imie, nazwisko, customer name, contact name, employee name, patient name, "
    "person name, cardholder, cardholder name, account holder",
    "birth_date": "birth date, birthdate, birthday, date of birth, dob, born on, geburtsdatum, geburtstag, date naissance, "
    "date de naissance, fecha nacimiento, fecha de nacimiento, data nascita, data di nascita, data nascimento, data de nascimento, "
    "geboortedatum, data urodzenia",
    "address": "street, street address, address line, address line 1, address line 2, address 1, address 2, postal address, home address, "
    "billing address, shipping address, delivery address, postcode, postal code, zip, zip code, zipcode, strasse, hausnummer, anschrift, "
    "plz, postleitzahl, rue, adresse postale, code postal, calle, domicilio, codigo postal, indirizzo, via, cap, endereco, cep, straat",
    "national_id": "ssn, social security number, national id, national insurance number, tax id, taxpayer id, nif, nie, dni, nir, "
    "numero securite sociale, codice fiscale, bsn, pesel, cpf, passport number, personalausweis, steuer id, sozialversicherungsnummer",
    "latitude": "lat, latitude, breitengrad, latitud, latitudine",
    "longitude": "lon, lng, longitude, laengengrad, longitud, longitudine",
}
_BY_WORDS: Mapping[tuple[str, ...], str] = {tuple(spelled.split()): kind for kind, text in _SPELLED.items() for spelled in text.split(", ")}
_MOST_WORDS = max(map(len, _BY_WORDS))
# Whole words that say by themselves what they mean only where nothing follows or precedes them.
_ALONE = frozenset(
    {"via", "cap", "land", "link", "pan", "card", "cell", "portable", "mail", "mobile", "street", "zip", "mac", "handy", "mobil"}
)
# What follows a class to say that the column holds something about it, and not it.
_ABOUT = frozenset(
    "id count type kind status verified flag at date time count hash opt sent template domain model enabled confirmed optin consent "
    "provider rate symbol format length version bounced subject".split()
)
_WORD = re.compile("[A-ZÀ-Þ]+(?![a-zß-ÿ])|[A-ZÀ-Þ]?[a-zß-ÿ]+|[0-9]+")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


def words(name: str) -> tuple[str, ...]:
    """Split a column's name into its words, in lower case and without accents.

    Examples:
        >>> words("customerEMail_Address"), words("WÄHRUNG"), words("numéro_carte")
        (('customer', 'e', 'mail', 'address'), ('waehrung',), ('numero', 'carte'))
    """
    return tuple(_plain(word) for word in _WORD.findall(unicodedata.normalize("NFC", name)))


def _plain(word: str) -> str:
    return unicodedata.normalize("NFKD", word.lower().translate(_UMLAUTS)).encode("ascii", "ignore").decode()


def named(name: str) -> str:
    """Tell which class a column's name speaks of; empty if of none.

    The longest spelling at the end of the name counts: `shipping_address_zip` is a zip, `email_verified_at` no e-mail address.

    Examples:
        >>> named("customer_email"), named("GeburtsDatum"), named("email_sent_at"), named("ip_address"), named("name")
        ('email', 'birth_date', '', 'ip', '')
    """
    said = words(name)
    while said and said[-1].isdigit() and len(said) > 1 and said not in _BY_WORDS:
        said = said[:-1]
    joined = ("".join(said),)
    if joined in _BY_WORDS:
        return _BY_WORDS[joined]
    if said and said[-1] in _ABOUT and said not in _BY_WORDS and not any(said[-size:] in _BY_WORDS for size in range(2, _MOST_WORDS + 1)):
        return ""
    if len(said) > 1 and said[-1] in ("address", "number", "nr", "no", "code", "value") and not _longest(said):
        said = said[:-1]
    return _longest(said)


def _longest(said: tuple[str, ...]) -> str:
    for size in range(min(_MOST_WORDS, len(said)), 0, -1):
        tail = said[-size:]
        if tail in _BY_WORDS and not (size == 1 and len(said) > 1 and tail[0] in _ALONE):
            return _BY_WORDS[tail]
    return ""
