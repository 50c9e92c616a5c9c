"""Names of tables, as Iceberg means them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from limnos.errors import ProjectInvalid

_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def quoted(identifier: str) -> str:
    """Quote an SQL identifier; the one place where a name becomes SQL text.

    Examples:
        >>> quoted('a"b')
        '"a""b"'
    """
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text as an SQL string literal; the one place where a value becomes SQL text.

    Examples:
        >>> literal("it's")
        "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """Name a table: `namespace.name`, letters, digits and underscores only, so it is safe in a path.

    Examples:
        >>> TableName.parse("shop.orders")
        TableName(namespace='shop', name='orders')
        >>> print(TableName("shop", "orders").sql)
        "shop"."orders"
    """

    namespace: str
    name: str

    def __post_init__(self) -> None:
        for part in (self.namespace, self.name):
            if not _PART.fullmatch(part):
                raise ProjectInvalid(
                    f"{part!r} cannot be part of a table name",
                    subject=f"{self.namespace}.{self.name}",
                    seen=part,
                    expected="letters, digits and underscores, not starting with a digit",
                    hint="rename it under `tables:` or `namespace:` in limnos.yml",
                )

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Read `namespace.name`.

        Raises:
            ProjectInvalid: If there is not exactly one dot, or a part is not a plain name.
        """
        namespace, dot, name = text.partition(".")
        if not dot or "." in name:
            raise ProjectInvalid(
                f"{text!r} is not a table name",
                subject=text,
                seen=text,
                expected="namespace.name",
                hint="write it as namespace.name, for example shop.orders",
            )
        return cls(namespace, name)

    @staticmethod
    def fits(namespace: str, name: str) -> bool:
        """Tell whether these can be the parts of a table name.

        Examples:
            >>> TableName.fits("shop", "orders"), TableName.fits("shop", "Order Lines")
            (True, False)
        """
        return bool(_PART.fullmatch(namespace) and _PART.fullmatch(name))

    @property
    def sql(self) -> str:
        """The name, quoted for SQL."""
        return f"{quoted(self.namespace)}.{quoted(self.name)}"

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"
