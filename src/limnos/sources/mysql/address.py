"""Say where a MySQL or MariaDB server is, connect to it with settings of ours, and turn its refusals into errors without any secret."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from limnos.errors import SourceUnreachable
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret
from limnos.sources.mysql import refusals
from limnos.sources.mysql.driver import pymysql

Connection: TypeAlias = "pymysql.Connection[Any]"

_PARAMETERS = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_identity", "unix_socket", "connect_timeout")
# What a value looks like as text, and what a view computes, hangs on settings of the server; here they are ours. Strict modes are for
# writers only. Quoting by backslash stays as it is everywhere, for LIKE in a view depends on it.
_SETTINGS: Mapping[str, str] = {
    "sql_mode": "'ANSI_QUOTES'",
    "time_zone": "'+00:00'",
    "sql_select_limit": "18446744073709551615",
    "sql_auto_is_null": "0",
    "sql_big_selects": "1",
    "group_concat_max_len": "1048576",
    "div_precision_increment": "4",
    "default_week_format": "0",
    "lc_time_names": "'en_US'",
    "wait_timeout": "86400",
    "net_write_timeout": "3600",
    "net_read_timeout": "3600",
}


def literal(text: str) -> str:
    r"""Quote a text as a string literal of MySQL, where a backslash escapes as well.

    Examples:
        >>> literal("it's a \\")
        "'it''s a \\\\'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


class Address:
    """Say where the server is; the password in it never leaves this object but towards the driver.

    `url` replaces the one of the source, for a replica.

    Raises:
        SourceUnreachable: If the URL is none.
    """

    def __init__(self, config: SourceConfig, url: Secret | None = None) -> None:
        given = url or config.options.get("url", "")
        self._config = config
        self._url = given if isinstance(given, Secret) else Secret(str(given))
        self._arguments = self._taken_apart()
        self.database = str(self._arguments["database"])
        self.shown = f"{self._arguments['host']}:{self._arguments['port']}/{self.database}"
        self._secrets = [Secret(unquote(urlsplit(self._url.reveal()).password or ""))]

    @property
    def name(self) -> str:
        """The name of the source, for messages."""
        return self._config.name

    @property
    def hint(self) -> str:
        """Name what to set, and what to type then."""
        where = self._url.name or "`url` in limnos.yml"
        return f"set {where}, then run `limnos doctor {self._config.name}`"

    def connect(self) -> Connection:
        """Open a connection with our settings: UTC, utf8mb4, `"` quotes names, read-only, the time limits of `protect`.

        Raises:
            SourceUnreachable: If nobody answers.
            SourceRefused: If the server says no.
        """
        with self.refusals():
            connection = pymysql.connect(**self._arguments, charset="utf8mb4", autocommit=True, program_name="limnos")
            try:
                with connection.cursor() as cursor:
                    for statement in self._settings(is_mariadb(connection)):
                        cursor.execute(statement)
            except pymysql.MySQLError:
                connection.close()
                raise
        return connection

    @contextmanager
    def refusals(self, subject: str = "") -> Generator[None]:
        """Turn a driver's error into the one error of ours that states the fact."""
        try:
            yield
        except (pymysql.MySQLError, OSError) as error:
            clean = self.clean(str(error)) == " ".join(str(error).split())
            raise refusals.error(self, error, subject) from (error if clean else None)

    def clean(self, text: str) -> str:
        """Take every secret out of a driver's message, however it was encoded, and make it one line."""
        text = self._url.scrub(text)
        for secret in self._secrets:
            plain = secret.reveal()
            for spelled in (plain, quote(plain, safe=""), quote(plain), quote_plus(plain)):
                text = Secret(spelled).scrub(text)
        return " ".join(text.split()) or "no reason given"

    def allow(self, connection: Connection, limit_s: float) -> None:
        """Let the statements of a connection take that long; 0 for no limit."""
        name, value = _limited(is_mariadb(connection), limit_s)
        ask(connection, f"SET SESSION {name} = {value}")

    def _settings(self, mariadb: bool) -> list[str]:  # noqa: FBT001 the only argument
        seconds = self._config.protect.statement_timeout_s
        lock_s = max(1, round(self._config.protect.lock_timeout_s)) if self._config.protect.lock_timeout_s else 31536000
        values = dict(_SETTINGS)
        values |= [_limited(mariadb, seconds)]
        values |= {"lock_wait_timeout": str(lock_s), "innodb_lock_wait_timeout": str(lock_s)}
        assignments = ", ".join(f"SESSION {name} = {value}" for name, value in values.items())
        return [f"SET {assignments}", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"]

    def _taken_apart(self) -> Mapping[str, Any]:
        try:
            parts = urlsplit(self._url.reveal())
            found: dict[str, Any] = {
                "host": unquote(parts.hostname or "localhost"),
                "port": parts.port or 3306,
                "user": unquote(parts.username or ""),
                # The driver would write a text as Latin-1; the server compares bytes, and those of a password are UTF-8.
                "password": unquote(parts.password or "").encode(),
                "database": unquote(parts.path.removeprefix("/")),
            }
            more: dict[str, Any] = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
            # A raw `@`, `/` or `?` in a password makes a part of it host, port, database or parameter, and it would be shown.
            torn = "@" in found["database"] + parts.netloc.partition("@")[2] or "/" in found["database"] or set(more) - set(_PARAMETERS)
            if torn or parts.fragment or parts.scheme not in {"mysql", "mariadb"} or not found["database"] or not found["user"]:
                raise self._no_url()
            if "connect_timeout" in more:
                more["connect_timeout"] = int(more["connect_timeout"])
            found |= more
            found["ssl_verify_identity"] = str(more.get("ssl_verify_identity", "")).lower() in {"1", "true", "yes"}
            if not (more.get("ssl_ca") or more.get("ssl_cert") or found["ssl_verify_identity"]):
                found.pop("ssl_verify_identity")
        except ValueError:
            raise self._no_url() from None
        return found

    def _no_url(self) -> SourceUnreachable:
        kind = self._config.type
        return SourceUnreachable(
            f'The address of {kind} "{self._config.name}" is not a connection URL',
            subject=self._config.name,
            seen="a text that cannot be taken apart",
            expected=f"{kind}://user:password@host:port/database, with special characters percent-encoded (`@` is `%40`); "
            f"after `?` only {', '.join(_PARAMETERS)}",
            hint=self.hint,
        )


def _limited(mariadb: bool, limit_s: float) -> tuple[str, str]:  # noqa: FBT001 not a switch of ours
    return ("max_statement_time", f"{limit_s:.6f}") if mariadb else ("max_execution_time", f"{round(limit_s * 1000)}")


def is_mariadb(connection: Connection) -> bool:
    """Tell MariaDB from MySQL by the version that the server greets with."""
    return "mariadb" in str(cast("Any", connection).server_version).lower()


def ask(connection: Connection, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Run one statement of this room and give its rows, if it has any; `%s` stands for a value."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())
