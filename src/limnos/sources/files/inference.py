"""Work out the types of text columns from all of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from limnos.model.conversion import convert
from limnos.model.names import quoted
from limnos.ports import Session

_SAMPLES = (100, 10_000)
_SHORT = 19  # characters: 18 digits and a point
_DIGITS = "regexp_replace(split_part(lower({c}), 'e', 1), '[-.]', '', 'g')"

# What a value must look like, beyond having an exact value of the type: a code such as 007 or +33 is no number.
_FORMS: Mapping[str, str] = {
    "boolean": "lower({c}) IN ('true', 'false')",
    "long": "CAST(TRY_CAST({c} AS BIGINT) AS VARCHAR) = {c}",
    "decimal": "regexp_full_match({c}, '-?(0|[1-9][0-9]*)[.][0-9]+') AND strlen(replace({c}, '-', '')) <= 39",
    # Longer numbers would lose digits: 15 of an integer and 17 of any other survive the way through a double.
    "double": "regexp_full_match({c}, '-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?|-?(?i:nan|inf|infinity)') AND "
    f"(strlen({{c}}) <= 15 OR strlen(ltrim({_DIGITS}, '0')) <= CASE WHEN contains({{c}}, '.') THEN 17 ELSE 15 END)",
    "date": "{c} LIKE '____-__-__'",
    "timestamp": "regexp_full_match({c}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}([.][0-9]+)?)?')",
    "timestamptz": "regexp_full_match({c}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}([.][0-9]+)?)?"
    " ?(Z|[-+][0-9]{{2}}(:?[0-9]{{2}})?)')",
}
_TYPES: Mapping[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "long": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}
_OF_KIND: Mapping[str, frozenset[str]] = {
    "boolean": frozenset({"boolean"}),
    "number": frozenset({"long", "decimal", "double"}),
    "string": frozenset({"date", "timestamp", "timestamptz"}),
    "nested": frozenset(),
}


def infer(
    session: Session, scan: str, names: Sequence[str], kinds: Mapping[str, frozenset[str]] | None = None
) -> Mapping[str, pa.DataType]:
    """Find the narrowest type that holds every value of each column of `scan`, all of which are text; `string` where there is no value.

    `kinds` are the JSON kinds seen in a column, which rule types out: the JSON string "5" is text. Costs one pass over all rows.
    """
    open_ = {name: _Candidates(_allowed(None if kinds is None else kinds[name])) for name in names}
    for rows in _SAMPLES:
        open_ = _narrowed(session, f"SELECT * FROM ({scan}) LIMIT {rows}", open_)
    known = {name: candidates.settled for name, candidates in open_.items()}
    return {name: candidates.type for name, candidates in _narrowed(session, scan, known).items()}


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Hold the types that a column may still have, narrowest first; `scale` is that of its first decimals, `length` of its longest text."""

    kinds: tuple[str, ...]
    scale: int | None = None
    length: int | None = None

    @property
    def settled(self) -> _Candidates:
        """The same without decimal, where no sample told its scale."""
        return replace(self, kinds=tuple(kind for kind in self.kinds if kind != "decimal" or self.scale is not None))

    @property
    def type(self) -> pa.DataType:
        """The narrowest type; decimals have 18 or 38 digits, so that a new file seldom changes them."""
        if not self.kinds or self.length is None:
            return pa.string()
        return pa.decimal128(18 if self.length <= _SHORT else 38, self.scale or 0) if self.kinds[0] == "decimal" else _TYPES[self.kinds[0]]


def _allowed(kinds: frozenset[str] | None) -> tuple[str, ...]:
    return tuple(name for name in _FORMS if kinds is None or all(name in _OF_KIND[kind] for kind in kinds))


def _narrowed(session: Session, rows: str, open_: Mapping[str, _Candidates]) -> dict[str, _Candidates]:
    """Drop the candidates that a value of `rows` does not fit."""
    selects: list[str] = []
    for name, candidates in open_.items():
        column = quoted(name)
        scale = (
            f"any_value(strlen({column}) - instr({column}, '.')) FILTER (contains({column}, '.'))" if candidates.scale is None else "NULL"
        )
        selects += [scale, f"max(strlen({column}))"]
        selects += [f"bool_or({_unfit(column, kind, candidates.scale)})" for kind in candidates.kinds]
    found = [column[0].as_py() for column in session.run(f"SELECT {', '.join(selects)} FROM ({rows})").columns]
    narrowed: dict[str, _Candidates] = {}
    for name, candidates in open_.items():
        (scale, length, *unfit), found = found[: 2 + len(candidates.kinds)], found[2 + len(candidates.kinds) :]
        kept = tuple(kind for kind, out in zip(candidates.kinds, unfit, strict=True) if not out)
        narrowed[name] = _Candidates(kept, candidates.scale if scale is None else scale, length)
    return narrowed


def _unfit(column: str, kind: str, scale: int | None) -> str:
    form = _FORMS[kind].format(c=column)
    if kind != "decimal":
        fails = convert(column, pa.string(), _TYPES[kind]).fails
    elif scale is None or scale > 38:
        fails = "FALSE"
    else:
        form += f" AND strlen({column}) - instr({column}, '.') = {scale}"
        wide = convert(column, pa.string(), pa.decimal128(38, scale)).fails
        # The engine takes a hundred times longer to make a decimal of 38 digits than one of 18.
        short = convert(column, pa.string(), pa.decimal128(18, scale)).fails if scale <= 18 else wide
        fails = f"CASE WHEN strlen({column}) <= {_SHORT} THEN {short} ELSE {wide} END"
    # A cast that fails is slow in the engine, so the form comes first.
    return f"CASE WHEN {column} IS NULL THEN FALSE WHEN {form} THEN {fails} ELSE TRUE END"
