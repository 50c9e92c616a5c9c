"""What all notations share: how a check of another tool becomes a `RuleSpec`, or an error that names it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from limnos.errors import LimnosError, Unsupported
from limnos.model.contract import RuleSpec
from limnos.model.names import TableName, literal
from limnos.model.place import Place
from limnos.project.nodes import Mapped, Node, Scalar, invalid, plain
from limnos.project.shape import nearest

HINT = "limnos explain notations"
Number = int | float


def refused(what: str, place: Place, why: str) -> Unsupported:
    """Build the error for a check that is understood and has no equal here."""
    return Unsupported(
        f"{what} cannot be translated", subject=str(place), seen=what, expected=why, hint=f"{HINT}, or leave it out with --partial"
    )


def malformed(what: str, place: Place, *, seen: str = "", expected: str = "") -> LimnosError:
    """Build the error for a check that its own format does not allow."""
    return invalid(what, place, seen=seen, expected=expected, hint=HINT)


@dataclass(frozen=True, slots=True)
class Imported:
    """Hold what a file says of one table: its name there (empty where there is none), the rules, and an error for each refused check."""

    table: str
    rules: tuple[RuleSpec, ...] = ()
    refused: tuple[LimnosError, ...] = ()


@dataclass(frozen=True, slots=True)
class Tables:
    """Find the lake's table that a name in a file means.

    `own` is the table that is written about, `known` are the others, `every` the namespaces that may hold more. Where neither is given,
    any name is one of the own namespace.

    Examples:
        >>> str(Tables(TableName("shop", "orders")).find("customers", Place("x")))
        'shop.customers'
    """

    own: TableName
    known: frozenset[TableName] = frozenset()
    every: frozenset[str] = frozenset()

    def find(self, name: str, place: Place) -> TableName:
        """Find a table by its full or its last name.

        Raises:
            ProjectInvalid: If there is none, or several.
        """
        parts = re.split(r"[./]", name)[-2:]
        namespaces = parts[:-1] or [self.own.namespace]
        if TableName.fits(namespaces[0], parts[-1]) and self._there(near := TableName(namespaces[0], parts[-1])):
            return near
        same = [table for table in self.known if table.name == parts[-1]]
        if not same and TableName.fits(self.own.namespace, parts[-1]) and self._there(near := TableName(self.own.namespace, parts[-1])):
            return near
        if len(same) != 1:
            names = sorted(map(str, same or self.known))
            raise malformed(f"{name!r} is not one table of the lake", place, seen=name, expected=nearest(name, names) or "namespace.name")
        return same[0]

    def _there(self, table: TableName) -> bool:
        return table in self.known or table.namespace in self.every or not (self.known or self.every)


TablesOf = Callable[[str], Tables]
"""Gives the lake as it is seen from a table, by its name in a file."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Hold `low <= x <= high`, either side open or strict."""

    low: Number | str | None = None
    high: Number | str | None = None
    low_strict: bool = False
    high_strict: bool = False

    @classmethod
    def of(cls, operator: str, *values: Number | str) -> Bounds | None:
        """Read a comparison; nothing for one that bounds leave out (`!=`, `not between`).

        Examples:
            >>> Bounds.of(">", 3).whole()
            {'min': 4}
        """
        match operator, values:
            case ((">" | ">="), [low]):
                return cls(low, None, low_strict=operator == ">")
            case (("<" | "<="), [high]):
                return cls(None, high, high_strict=operator == "<")
            case (("=" | "=="), [value]):
                return cls(value, value)
            case "between", [low, high]:
                return cls(low, high)
            case "inside", [low, high]:
                return cls(low, high, low_strict=True, high_strict=True)
            case _:
                return None

    def arguments(self) -> dict[str, object]:
        """Give `min`, `max` and `exclusive`; where only one side is strict, that bound is the next number within."""
        low, high = self.low, self.high
        strict = (low is not None and self.low_strict) or (high is not None and self.high_strict)
        if low is not None and high is not None and self.low_strict != self.high_strict:
            if isinstance(low, str) or isinstance(high, str):
                raise ValueError("mixed")
            low = math.nextafter(low, math.inf) if self.low_strict else low
            high = math.nextafter(high, -math.inf) if self.high_strict else high
            strict = False
        given: dict[str, object] = {word: value for word, value in (("min", low), ("max", high)) if value is not None}
        return given | ({"exclusive": True} if strict else {})

    def whole(self) -> dict[str, object]:
        """Give `min` and `max` of a count.

        Raises:
            ValueError: If a bound is not a number.
        """
        low, high = _number(self.low), _number(self.high)
        given: dict[str, object] = {}
        if low is not None:
            least = math.floor(low) + 1 if self.low_strict else math.ceil(low)
            given |= {"min": least} if least > 0 or high is None else {}
        if high is not None:
            given["max"] = math.ceil(high) - 1 if self.high_strict else math.floor(high)
        if any(isinstance(value, int) and value < 0 for value in given.values()):
            raise ValueError("a count below 0")
        return given

    def share(self) -> float:
        """Give the least share that these bounds ask for; a strict bound is the next number above.

        Raises:
            ValueError: If they ask for at most some share, or for more than all.
        """
        low, high = _number(self.low), _number(self.high)
        if high is not None and (high < 1 or (high == 1 and self.high_strict)):
            raise ValueError("at most a share")
        least = 0.0 if low is None else math.nextafter(low, math.inf) if self.low_strict else float(low)
        if not 0 <= least <= 1:
            raise ValueError("not a share")
        return least

    def sql(self, value: str) -> str:
        """Write them as a condition on an SQL value."""
        if self.low == self.high and self.low is not None and not self.low_strict and not self.high_strict:
            return f"{value} = {spelled(self.low)}"
        parts = [f"{value} {'>' if self.low_strict else '>='} {spelled(self.low)}"] if self.low is not None else []
        parts += [f"{value} {'<' if self.high_strict else '<='} {spelled(self.high)}"] if self.high is not None else []
        return " AND ".join(parts) or "TRUE"


def _number(value: Number | str | None) -> Number | None:
    if isinstance(value, str):
        raise ValueError("not a number")  # noqa: TRY004 every caller asks only whether it fits
    return value


def spelled(value: object) -> str:
    """Spell a value as SQL.

    Examples:
        >>> spelled("it's"), spelled(1.5), spelled(True), spelled(None)
        ("'it''s'", '1.5', 'TRUE', 'NULL')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    return repr(value) if isinstance(value, int | float) else literal(str(value))


def sql_rule(condition: str, place: Place) -> RuleSpec:
    """Make a rule out of an SQL condition on one row."""
    condition = " ".join(condition.split())
    return RuleSpec("sql", (), {"expression": condition}, name=f"sql:{condition}", place=place)


def searching(pattern: str) -> str:
    r"""Turn a pattern that is searched for into one that the whole text must match.

    Examples:
        >>> searching("^[a-z]+$"), searching("ab|c")
        ('[a-z]+', '(?s:.*)(?:ab|c)(?s:.*)')
    """
    if re.fullmatch(r"\^(?:[^\\|]|\\.)*\$", pattern, re.DOTALL):
        return pattern[1:-1]
    return f"(?s:.*)(?:{pattern})(?s:.*)"


def like(pattern: str) -> str:
    """Turn a LIKE pattern into a regular expression.

    Examples:
        >>> like("a_c%")
        'a(?s:.)c(?s:.*)'
    """
    return "".join({"%": "(?s:.*)", "_": "(?s:.)"}.get(char) or re.escape(char) for char in pattern)


class Arguments:
    """Read the arguments of one check, each once; `done` refuses what nobody read, so that a typo never passes."""

    def __init__(self, what: str, node: Mapped) -> None:
        self.what = what
        self.node = node
        self.place = node.place
        self._left = dict(node.entries)
        self._known: set[str] = set()

    def node_of(self, name: str) -> Node | None:
        """Take an argument as it stands."""
        self._known.add(name)
        return self._left.pop(name, None)

    def take(self, name: str) -> Any:  # noqa: ANN401 whatever was written
        """Take an argument as Python values; nothing if it is not given."""
        node = self.node_of(name)
        return None if node is None else plain(node)

    def skip(self, *names: str) -> None:
        """Pass over what is documentation."""
        for name in names:
            self.node_of(name)

    def text(self, name: str) -> str:
        """Take a text as it was written; empty if it is not given."""
        node = self.node_of(name)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return ""
        if not isinstance(node, Scalar):
            raise self.wrong(name, "a text")
        return node.text

    def need(self, name: str) -> str:
        """Take a text that must be there."""
        return self.text(name) or self._missing(name)

    def _missing(self, name: str) -> str:
        raise malformed(f"{self.what} has no {name!r}", self.place, expected=f"{name}: ...")

    def texts(self, name: str) -> tuple[str, ...]:
        """Take a list of texts that must be there and hold something."""
        value = self.take(name)
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise self.wrong(name, "a list of texts")
        return tuple(value)

    def values(self, name: str) -> list[object]:
        """Take a list of values that must be there."""
        value = self.take(name)
        if not isinstance(value, list) or any(isinstance(one, list | dict) for one in value):
            raise self.wrong(name, "a list of values")
        return value

    def listed(self, name: str) -> list[object]:
        """Give a list that was taken before, once more."""
        value = plain(self.node.entries[name])
        return [*value] if isinstance(value, list) else []

    def number(self, name: str) -> Number | None:
        """Take a number."""
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.wrong(name, "a number")
        return value

    def bound(self, name: str) -> Number | str | None:
        """Take a number or a text, such as a date."""
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | str)):
            raise self.wrong(name, "a number or a text")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Take a truth value."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return default if value is None else value

    def wrong(self, name: str, expected: str) -> LimnosError:
        """Build the error for an argument of the wrong form."""
        node = self.node.entries.get(name)
        seen = node.form if node else "nothing"
        return malformed(f"{name!r} of {self.what} has the wrong form", self.node.place_of(name), seen=seen, expected=expected)

    def refused(self, why: str) -> Unsupported:
        """Build the error for a check that is understood and has no equal here."""
        return refused(self.what, self.place, why)

    def done(self) -> None:
        """Refuse every argument that was not read."""
        for name, node in self._left.items():
            raise malformed(f"Unknown key {name!r} in {self.what}", node.place, seen=name, expected=nearest(name, self._known))


def collected(checks: Iterable[Callable[[], Iterable[RuleSpec]]]) -> tuple[tuple[RuleSpec, ...], tuple[LimnosError, ...]]:
    """Translate each check on its own, so that all that is refused is told at once."""
    rules: list[RuleSpec] = []
    errors: list[LimnosError] = []
    for check in checks:
        try:
            rules += list(check())
        except LimnosError as error:
            errors.append(error)
    return distinct(rules), tuple(errors)


def distinct(rules: Iterable[RuleSpec], taken: Collection[RuleSpec] = ()) -> tuple[RuleSpec, ...]:
    """Leave out what is said twice, and give rules of one name names of their own: the digest of what they say is added.

    Examples:
        >>> [one.name for one in distinct([RuleSpec("range", ("a",), {"min": 1}), RuleSpec("range", ("a",), {"max": 9})])]
        ['range:a', 'range:a:66308e385ed4']
    """
    named = {rule.name: rule for rule in taken}
    found: list[RuleSpec] = []
    for rule in rules:
        own = rule
        if own.name in named and named[own.name].version != own.version:
            own = replace(own, name=f"{own.name}:{own.version}")
        if own.name not in named:
            named[own.name] = own
            found.append(own)
    return tuple(found)
