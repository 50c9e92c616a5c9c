"""Turn what PostgreSQL's drivers say into errors of ours, without any secret in them."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from limnos.errors import LimnosError, SourceChanged, SourceRefused, SourceUnreachable
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret

_DEFAULTS = {"connect_timeout": "10", "application_name": "limnos", "client_encoding": "UTF8", "gssencmode": "disable"}
_PORTS = re.compile("[0-9,]*")
_CANCELED, _LOCKED, _NO_TABLE, _NO_RIGHT, _NO_TEXT = "57014", "55P03", "42P01", "42501", "22021"
_GONE = ("08", "57P")
_GARBLED = "08P01"


class Address:
    """Say where the server is; the password in it never leaves this object but towards the driver.

    Raises:
        SourceUnreachable: If the URL is none.
    """

    def __init__(self, config: SourceConfig) -> None:
        given = config.options.get("url", "")
        self._config = config
        self._url = given if isinstance(given, Secret) else Secret(str(given))
        try:
            parts = {key: str(value) for key, value in conninfo_to_dict(self._url.reveal()).items()}
        except psycopg.ProgrammingError:
            parts = {}
        # A raw `@`, `/` or `?` in a password makes the driver take a part of it for host, port or database, and show it.
        torn = any("@" in parts.get(key, "") for key in ("host", "dbname")) or not _PORTS.fullmatch(parts.get("port", ""))
        if not parts or torn:
            raise SourceUnreachable(
                f'The address of postgres "{config.name}" is not a connection URL',
                subject=config.name,
                seen="a text that cannot be taken apart",
                expected="postgresql://user:password@host:port/database, with special characters percent-encoded (`@` is `%40`)",
                hint=self.hint,
            ) from None
        self.conninfo = make_conninfo(self._url.reveal(), **{key: value for key, value in _DEFAULTS.items() if key not in parts})
        self.shown = f"{parts.get('host', 'localhost')}:{parts.get('port', '5432')}/{parts.get('dbname', '')}"
        self._secrets = [Secret(parts[key]) for key in ("password", "sslpassword") if parts.get(key)]

    @property
    def hint(self) -> str:
        """Name what to set, and what to type then."""
        where = self._url.name or "`url` in limnos.yml"
        return f"set {where}, then run `limnos doctor {self._config.name}`"

    def clean(self, text: str) -> str:
        """Take every secret out of a driver's message, however it was encoded, and keep its first line."""
        text = self._url.scrub(text)
        for secret in self._secrets:
            plain = secret.reveal()
            for spelled in (plain, quote(plain, safe=""), quote(plain), quote_plus(plain)):
                text = Secret(spelled).scrub(text)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[0] if lines else "no reason given"

    @contextmanager
    def refusals(self, subject: str = "") -> Generator[None]:
        """Turn a driver's error into the one error of ours that states the fact."""
        try:
            yield
        except (psycopg.Error, OSError) as error:
            said = self.error(error, subject)
            raise said from (error if str(error) == self._secretless(str(error)) else None)

    def _secretless(self, text: str) -> str:
        return text if all(Secret(part.reveal()).scrub(text) == text for part in (self._url, *self._secrets)) else ""

    def error(self, error: Exception, subject: str) -> LimnosError:
        """Choose the error by SQLSTATE; one that keeps a connection from opening may come without."""
        name, text = self._config.name, self.clean(str(error))
        state = getattr(error, "sqlstate", None) or ""
        where = f"{name}.{subject}" if subject else f"{name} ({self.shown})"
        if state == _CANCELED or "statement timeout" in text:
            return SourceRefused(
                f'postgres "{name}" stopped a statement that took too long',
                subject=where,
                seen=text,
                expected=f"an end within statement_timeout ({self._config.protect.statement_timeout_s:g} s)",
                hint="raise `statement_timeout` under `protect` of this source in limnos.yml, or run when the server is less busy",
            )
        if state == _LOCKED:
            return SourceRefused(
                f'postgres "{name}" has a table that somebody holds a lock on',
                subject=where,
                seen=text,
                expected=f"the lock within lock_timeout ({self._config.protect.lock_timeout_s:g} s)",
                hint="run again when no ALTER TABLE or LOCK TABLE holds it, or raise `lock_timeout` under `protect`",
            )
        if state == _NO_TABLE:
            return changed(name, subject or name, text)
        if state == _NO_RIGHT:
            hint = f"grant SELECT on it to the user of this source, then run `limnos doctor {name}`"
            return SourceRefused(
                f'postgres "{name}" refuses to be read', subject=where, seen=text, expected="the right to SELECT", hint=hint
            )
        if state == _NO_TEXT or "invalid byte sequence for encoding" in text:
            return SourceRefused(
                f'postgres "{name}" holds text that is not in its own encoding',
                subject=where,
                seen=text,
                expected="text that the server can give as UTF-8",
                hint="read it through a view that decodes the column: convert_from(column::bytea, 'LATIN1')",
            )
        if "FATAL:" in text:
            return SourceRefused(
                f'postgres "{name}" answers and says no',
                subject=where,
                seen=text,
                expected="a user that may connect and read",
                hint=self.hint,
            )
        if state == _GARBLED:
            return SourceUnreachable(
                f'postgres "{name}" sends what is not PostgreSQL\'s protocol',
                subject=where,
                seen=text,
                expected="messages and rows of COPY as PostgreSQL writes them",
                hint=f"look at what stands between here and the server, then run `limnos doctor {name}`",
            )
        if (state and not state.startswith(_GONE)) or "ERROR:" in text:
            hint = f"correct what the server names, then run `limnos doctor {name}`"
            return SourceRefused(
                f'postgres "{name}" refuses to be read', subject=where, seen=text, expected="every row of the table", hint=hint
            )
        return SourceUnreachable(
            f'postgres "{name}" does not answer', subject=where, seen=text, expected="a PostgreSQL server", hint=self.hint
        )


def garbled() -> psycopg.Error:
    """Say that what was received cannot be taken apart."""
    return psycopg.errors.ProtocolViolation("received what is no row of a binary COPY")


def changed(source: str, table: str, seen: str) -> SourceChanged:
    """State that a table was changed in a way that no transaction is shielded from."""
    return SourceChanged(
        f'A table of postgres "{source}" was dropped, truncated or rewritten while it was being read',
        subject=f"{source}.{table}",
        seen=seen,
        expected="the table as it was when the reading began",
        hint="run again",
    )
