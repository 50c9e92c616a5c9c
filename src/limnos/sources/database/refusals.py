"""Turn what SQLAlchemy and its drivers say into errors of ours, without any secret in them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import NullPool

from limnos.errors import ExtraMissing, LimnosError, SourceRefused, SourceUnreachable
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret


class Address:
    """Say where the database is; the password in it never leaves this object but towards the driver.

    Raises:
        SourceUnreachable: If the URL is none.
    """

    def __init__(self, config: SourceConfig) -> None:
        given = config.options.get("url", "")
        self._config = config
        self._text = given if isinstance(given, Secret) else Secret(str(given))
        try:
            self._url = sa.make_url(self._text.reveal())
        except (exc.ArgumentError, ValueError):
            raise SourceUnreachable(
                f'The address of database "{config.name}" is not a connection URL',
                subject=config.name,
                seen="a text that cannot be taken apart",
                expected="dialect+driver://user:password@host:port/database, with special characters percent-encoded (`@` is `%40`)",
                hint=self.hint,
            ) from None
        query = [value for values in self._url.query.values() for value in ([values] if isinstance(values, str) else values)]
        # Some drivers take the password as a parameter, under many names; a short value is a setting and no password.
        self._secrets = [Secret(text) for text in (str(self._url.password or ""), *(value for value in query if len(value) > 5)) if text]

    @property
    def shown(self) -> str:
        """The address, without user, password and parameters."""
        return f"{self._url.drivername}://{self._url.host or ''}/{self._url.database or ''}"

    @property
    def hint(self) -> str:
        """Name what to set, and what to type then."""
        where = self._text.name or "`url` in limnos.yml"
        return f"set {where}, then run `limnos doctor {self._config.name}`"

    def engine(self) -> sa.Engine:
        """Find dialect and driver; connects to nothing.

        Raises:
            ExtraMissing: If one of them is not installed.
        """
        try:
            return sa.create_engine(self._url, poolclass=NullPool)
        except (exc.NoSuchModuleError, ImportError) as error:
            missing = self._url.drivername if isinstance(error, exc.NoSuchModuleError) else error.name or "its driver"
            raise ExtraMissing(
                f'The database "{self._config.name}" needs a package that is not installed',
                subject=self._config.name,
                seen=f"no {missing}",
                expected=f"a SQLAlchemy dialect and driver for {self._url.drivername}",
                hint=f"pip install the package of {missing}, then run `limnos doctor {self._config.name}`",
            ) from None
        except (exc.ArgumentError, TypeError) as error:
            raise self.error(error, "") from None

    def clean(self, text: str) -> str:
        """Take every secret out of a driver's message, however it was encoded, and keep its first line."""
        text = self._text.scrub(text)
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
        except (exc.SQLAlchemyError, OSError, ValueError, OverflowError) as error:
            # What the driver said names the statement and its address; only its cleaned first line goes on.
            raise self.error(error, subject) from None

    def error(self, error: Exception, subject: str) -> LimnosError:
        """Choose the error: refused where the database answered, unreachable where nothing did."""
        name = self._config.name
        text = self.clean(str(getattr(error, "orig", None) or error))
        if subject:
            return SourceRefused(
                f'The database "{name}" refuses to be read',
                subject=f"{name}.{subject}",
                seen=text,
                expected="every row of the table",
                hint=f"correct what the database names, then run `limnos doctor {name}`",
            )
        return SourceUnreachable(
            f'The database "{name}" does not answer', subject=f"{name} ({self.shown})", seen=text, expected="a database", hint=self.hint
        )
