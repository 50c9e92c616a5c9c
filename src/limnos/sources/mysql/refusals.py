"""Turn what a MySQL or MariaDB server says into errors of ours, by its error numbers.

Source: MySQL Reference Manual, "Server Error Message Reference"; MariaDB Knowledge Base, "MariaDB Error Codes".
"""

from __future__ import annotations

from typing import Protocol

from limnos.errors import LimnosError, SourceChanged, SourceRefused, SourceUnreachable

TIMEOUT, LOCKED, CHANGED, NO_RIGHT, CLOSED, GONE = (
    frozenset({1969, 3024, 1317}),
    frozenset({1205, 1213, 3572}),
    frozenset({1146, 1412, 1054, 1356}),
    frozenset({1142, 1143, 1227, 1370, 1044}),
    frozenset({1045, 1049, 1698, 1040, 1129, 1130, 1203, 1226, 1862}),
    frozenset({1053, 1077, 1080, 1152, 1153, 1159, 1160, 1161, 1927, 2002, 2003, 2005, 2006, 2013, 2055, 3169, 4031}),
)


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def hint(self) -> str: ...
    @property
    def shown(self) -> str: ...
    def clean(self, text: str) -> str: ...


def number_of(error: Exception) -> int:
    """Give the server's number of an error, 0 for none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) and not isinstance(error, OSError) else 0


def error(address: _Named, cause: Exception, subject: str) -> LimnosError:
    """Choose the error by the server's number; what bears none comes from the network."""
    name, number = address.name, number_of(cause)
    seen = address.clean(f"{cause.args[1]} (error {number})" if number and len(cause.args) > 1 else str(cause))
    where = f"{name}.{subject}" if subject else f"{name} ({address.shown})"
    if number in TIMEOUT:
        return SourceRefused(
            f'The server of "{name}" stopped a statement that took too long',
            subject=where,
            seen=seen,
            expected="an end within statement_timeout; sending a whole table is one statement",
            hint="raise `statement_timeout` under `protect` of this source in limnos.yml, or run when the server is less busy",
        )
    if number in LOCKED:
        return SourceRefused(
            f'A lock at "{name}" was not given up in time',
            subject=where,
            seen=seen,
            expected="a lock within lock_timeout",
            hint="run again when no ALTER TABLE or LOCK TABLES holds it, or raise `lock_timeout` under `protect`",
        )
    if number in CHANGED:
        return changed(name, subject or name, seen)
    if number in NO_RIGHT:
        return SourceRefused(
            f'The server of "{name}" refuses to be read',
            subject=where,
            seen=seen,
            expected="a user with the right to do it",
            hint=f"grant it to the user of this source (`GRANT SELECT ON ...`), then run `limnos doctor {name}`",
        )
    if number in CLOSED:
        return SourceRefused(
            f'The server of "{name}" answers and says no', subject=where, seen=seen, expected="a user that may connect", hint=address.hint
        )
    if not number or number in GONE:
        return SourceUnreachable(
            f'The server of "{name}" does not answer', subject=where, seen=seen, expected="a MySQL or MariaDB server", hint=address.hint
        )
    return SourceRefused(
        f'The server of "{name}" refuses to be read',
        subject=where,
        seen=seen,
        expected="every row of the table",
        hint=f"correct what the server names, then run `limnos doctor {name}`",
    )


def changed(source: str, table: str, seen: str) -> SourceChanged:
    """State that a table was changed in a way that no transaction is shielded from."""
    return SourceChanged(
        f'A table of "{source}" was dropped, altered or truncated while it was being read',
        subject=f"{source}.{table}",
        seen=seen,
        expected="the table as it was when the reading began",
        hint="run again",
    )
