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

_PLAIN = "-?(0|[1-9][0-9]*)([.][0-9]+)?"

# When a value is none of the type. Stricter than the conversion, never laxer: a code such as 007 or +33 is no number. {fails} is the
# conversion's word; where it is missing, the form alone already makes the value exact. A cast that fails is slow in the engine, so the form
# comes first.
_UNFIT: Mapping[str, str] = {
    "boolean": "lower({c}) NOT IN ('true', 'false')",
    "long": "CAST(TRY_CAST({c} AS BIGINT) AS VARCHAR) IS DISTINCT FROM {c}",
    "decimal": "strlen({c}) - instr({c}, '.') <> {scale} OR strlen(replace({c}, '-', '')) > 39 OR "
    "NOT regexp_full_match({c}, '-?(0|[1-9][0-9]*)[.][0-9]+')",
    # Longer numbers would lose digits: 15 of an integer and 17 of any other survive the way through a double.
    "double": f"CASE WHEN strlen({{c}}) <= 15 AND regexp_full_match({{c}}, '{_PLAIN}') THEN FALSE "
    f"WHEN regexp_full_match({{c}}, '{_PLAIN}([eE][-+]?[0-9]+)?|-?(?i:nan|inf|infinity)') "
    f"AND strlen(ltrim({_DIGITS}, '0')) <= CASE WHEN contains({{c}}, '.') THEN 17 ELSE 15 END THEN {{fails}} ELSE TRUE END",
    "date": "CASE WHEN {c} LIKE '____-__-__' THEN {fails} ELSE TRUE END",
    "timestamp": "CASE WHEN {c} LIKE '____-__-__%' THEN {fails} ELSE TRUE END",
    "timestamptz": "CASE WHEN {c} LIKE '____-__-__%' THEN {fails} ELSE TRUE END",
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
    return tuple(name for name in _UNFIT if kinds is None or all(name in _OF_KIND[kind] for kind in kinds))


def _narrowed(session: Session, rows: str, open_: Mapping[str, _Candidates]) -> dict[str, _Candidates]:
    """Drop the candidates that a value of `rows` does not fit."""
    selects: list[str] = []
    for name, candidates in open_.items():
        column = quoted(name)
        wanted = "decimal" in candidates.kinds and candidates.scale is None
        scale = f"any_value(strlen({column}) - instr({column}, '.')) FILTER (contains({column}, '.'))" if wanted else "NULL"
        selects += [scale, f"max(strlen({column}))" if candidates.kinds else "NULL"]
        selects += [f"bool_or({_unfit(column, kind, candidates.scale)})" for kind in candidates.kinds]
    found = [column[0].as_py() for column in session.run(f"SELECT {', '.join(selects)} FROM ({rows})").columns]
    narrowed: dict[str, _Candidates] = {}
    for name, candidates in open_.items():
        (scale, length, *unfit), found = found[: 2 + len(candidates.kinds)], found[2 + len(candidates.kinds) :]
        kept = tuple(kind for kind, out in zip(candidates.kinds, unfit, strict=True) if not out)
        narrowed[name] = _Candidates(kept, candidates.scale if scale is None else scale, length)
    return narrowed


def _unfit(column: str, kind: str, scale: int | None) -> str:
    if kind == "decimal":
        # Without a scale yet, every one will do: the next sample knows it.
        unfit = _UNFIT[kind].format(c=column, scale=f"strlen({column}) - instr({column}, '.')" if scale is None else scale)
    else:
        unfit = _UNFIT[kind].format(c=column, fails=convert(column, pa.string(), _TYPES[kind]).fails)
    return f"CASE WHEN {column} IS NULL THEN FALSE ELSE {unfit} END"
