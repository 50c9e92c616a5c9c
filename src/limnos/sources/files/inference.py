"""Work out the types of text columns from all of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from limnos.model.conversion import convert
from limnos.model.names import quoted
from limnos.ports import Session

_SAMPLES = (100, 10_000)
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
    candidates: Mapping[str, Sequence[str]] = {name: _candidates(None if kinds is None else kinds[name]) for name in names}
    scales: Mapping[str, int | None] = dict.fromkeys(names)
    for rows in _SAMPLES:
        sample = f"SELECT * FROM ({scan}) LIMIT {rows}"
        scales = _scales(session, sample, names)
        candidates = _survivors(session, sample, candidates, scales)
    candidates = _survivors(session, scan, candidates, scales)
    narrow = _narrow(session, scan, [name for name, kept in candidates.items() if kept and kept[0] == "decimal"])
    return {
        name: _type(kept[0], scales[name], narrow=narrow.get(name, False)) if kept else pa.string() for name, kept in candidates.items()
    }


def _candidates(kinds: frozenset[str] | None) -> tuple[str, ...]:
    return tuple(name for name in _FORMS if kinds is None or all(name in _OF_KIND[kind] for kind in kinds))


def _type(candidate: str, scale: int | None, *, narrow: bool) -> pa.DataType:
    return pa.decimal128(18 if narrow else 38, scale or 0) if candidate == "decimal" else _TYPES[candidate]


def _scales(session: Session, sample: str, names: Sequence[str]) -> Mapping[str, int | None]:
    columns = ", ".join(
        f"max(strlen({quoted(name)}) - instr({quoted(name)}, '.')) FILTER (contains({quoted(name)}, '.'))" for name in names
    )
    row = session.run(f"SELECT {columns} FROM ({sample})")
    return {name: scale if (scale := row.column(at)[0].as_py()) is not None and scale <= 38 else None for at, name in enumerate(names)}


def _survivors(
    session: Session, scan: str, candidates: Mapping[str, Sequence[str]], scales: Mapping[str, int | None]
) -> Mapping[str, tuple[str, ...]]:
    asked = [(name, kind) for name, kinds in candidates.items() for kind in kinds if kind != "decimal" or scales[name] is not None]
    checks = [f"bool_or({_unfit(quoted(name), kind, scales[name])})" for name, kind in asked]
    counts = [f"count({quoted(name)})" for name in candidates]
    row = session.run(f"SELECT {', '.join([*counts, *checks])} FROM ({scan})")
    values = {name: row.column(at)[0].as_py() for at, name in enumerate(candidates)}
    unfit = {pair: row.column(len(counts) + at)[0].as_py() for at, pair in enumerate(asked)}
    empty = scan.endswith(f"LIMIT {_SAMPLE_ROWS}")
    return {
        name: tuple(kind for kind in kinds if (name, kind) in unfit and not unfit[name, kind]) if values[name] or empty else ()
        for name, kinds in candidates.items()
    }


def _unfit(column: str, kind: str, scale: int | None) -> str:
    target = _type(kind, scale, narrow=False)
    form = _FORMS[kind].format(c=column)
    if kind == "decimal":
        form += f" AND strlen({column}) - instr({column}, '.') = {scale}"
    # A cast that fails is slow in the engine, so the form comes first.
    return f"CASE WHEN {column} IS NULL THEN FALSE WHEN {form} THEN {convert(column, pa.string(), target).fails} ELSE TRUE END"


def _narrow(session: Session, scan: str, names: Sequence[str]) -> Mapping[str, bool]:
    """Tell which decimals have 18 digits at most."""
    if not names:
        return {}
    row = session.run(f"SELECT {', '.join(f'max(strlen({quoted(name)}))' for name in names)} FROM ({scan})")
    return {name: row.column(at)[0].as_py() <= 19 for at, name in enumerate(names)}
