"""Sources: their declaration, and their options once the adapter has said which ones it knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from limnos.errors import LimnosError
from limnos.model.names import TableName
from limnos.model.place import Place
from limnos.model.project import Deletes, LogLimit, Mode, Option, Protect, SourceConfig, SourceTable
from limnos.model.secret import Secret
from limnos.model.units import duration_s, size_bytes
from limnos.project.nodes import Mapped, invalid, plain
from limnos.project.secrets import resolve
from limnos.project.shape import located, nearest
from limnos.project.words import SOURCE, SOURCE_TABLE

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def read_source(name: str, node: Mapped, root: Path) -> SourceConfig:
    """Read a source that has its right shape; its options are not yet checked.

    Raises:
        ProjectInvalid: If a table's name in the lake is not a name.
    """
    namespace = node.text("namespace") or name
    tables = node.entries.get("tables")
    return SourceConfig(
        name,
        node.text("type"),
        root,
        namespace,
        options={key: plain(value) for key, value in node.entries.items() if key not in SOURCE.keys},
        tables=tuple(_tables(tables, namespace)) if isinstance(tables, Mapped) else (),
        every=not isinstance(tables, Mapped),
        protect=_protect(node.mapping("protect")),
        latency_s=duration_s(node.mapping("follow").text("latency") or "1s"),
        place=node.place,
        places={key: value.place for key, value in node.entries.items()}
        | {f"protect.{key}": value.place for key, value in node.mapping("protect").entries.items()},
    )


def _protect(node: Mapped) -> Protect:
    """Read what reading may cost; the replica's address stays as it was written until the source is used."""
    durations = ("statement_timeout", "lock_timeout", "max_lag", "max_snapshot_age")
    said: dict[str, Any] = {f"{key}_s": duration_s(node.text(key)) for key in durations if key in node.entries}
    said |= {key: int(node.text(key)) for key in ("max_rows_per_s", "connections") if key in node.entries}
    if "adaptive" in node.entries:
        said["adaptive"] = node.value("adaptive") is True
    if "replica" in node.entries:
        said["replica"] = Secret(node.text("replica"), name="replica")
    if "max_log" in node.entries:
        said["max_log_bytes"] = size_bytes(node.text("max_log"))
    if "on_log_limit" in node.entries:
        said["on_log_limit"] = LogLimit(node.text("on_log_limit"))
    return Protect(**said)


def _tables(tables: Mapped, namespace: str) -> Iterator[SourceTable]:
    for name, entry in tables.entries.items():
        node = entry if isinstance(entry, Mapped) else Mapped(entry.place, {})
        target = node.text("table") or name.rpartition(".")[2]
        try:
            parsed = TableName.parse(target) if "." in target else TableName(namespace, target)
        except LimnosError as error:
            raise located(error, node.place_of("table")) from error
        _check_mode(name, node)
        yield SourceTable(
            name,
            parsed,
            mode=Mode(node.text("mode") or Mode.FULL),
            key=node.texts("key"),
            cursor=node.text("cursor"),
            lookback=node.text("lookback"),
            deletes=Deletes(node.text("deletes") or Deletes.HARD),
            options={key: plain(value) for key, value in node.entries.items() if key not in SOURCE_TABLE.keys},
            place=node.place,
            places={key: value.place for key, value in node.entries.items()},
        )


_MODE_OF = {"cursor": Mode.INCREMENTAL, "lookback": Mode.INCREMENTAL, "deletes": Mode.CDC}


def _check_mode(table: str, node: Mapped) -> None:
    mode = node.text("mode") or Mode.FULL
    for word, needed in _MODE_OF.items():
        if word in node.entries and mode != needed:
            raise invalid(
                f"{word!r} of the table {table} needs another mode", node.place_of(word), seen=f"mode: {mode}", expected=f"mode: {needed}"
            )
    if mode == Mode.INCREMENTAL and "cursor" not in node.entries:
        raise invalid(
            f"The table {table} is read incrementally without a cursor",
            node.place_of("mode"),
            seen="no cursor",
            expected="cursor: the column that grows with every new or changed row",
        )


def check_options(config: SourceConfig, options: tuple[Option, ...]) -> SourceConfig:
    """Compare a source's options with those its adapter declares; fill defaults, resolve `secret://` and wrap secrets.

    A table's option that the source has as well gets no default: where it is not given, the source's word holds.

    Raises:
        ProjectInvalid: If an option is unknown, missing, or of the wrong form.
        SecretMissing: If a secret is nowhere to be found.
    """
    whole = tuple(option for option in options if not option.per_table)
    both = {option.name for option in whole}
    single = tuple(replace(option, default=None) if option.name in both else option for option in options if option.per_table)
    of_source = f"source {config.name}"
    tables = tuple(
        replace(
            table,
            options=_checked(
                table.options, single, table.places, table.place, config.root, f"table {table.name} of {of_source}", SOURCE_TABLE.keys
            ),
        )
        for table in config.tables
    )
    checked = _checked(config.options, whole, config.places, config.place, config.root, of_source, SOURCE.keys)
    return replace(config, options=checked, tables=tables, protect=_resolved(config, checked))


def _resolved(config: SourceConfig, options: Mapping[str, object]) -> Protect:
    """Resolve the replica's address; the older option `statement_timeout` holds where `protect` says nothing of it."""
    protect = config.protect
    if protect.replica is not None:
        place = config.places.get("protect.replica", config.place)
        protect = replace(protect, replica=resolve(protect.replica.reveal(), root=config.root, place=place, name="replica"))
    if "statement_timeout" in config.options and "protect.statement_timeout" not in config.places:
        said = str(options["statement_timeout"])
        try:
            # A bare number is milliseconds, as PostgreSQL has it.
            protect = replace(protect, statement_timeout_s=duration_s(f"{said}ms" if said.strip().isdecimal() else said))
        except ValueError as error:
            raise invalid(
                f"{said!r} is not a duration",
                config.places.get("statement_timeout", config.place),
                seen=said,
                expected="a number with a unit: 500ms, 30s, 5m, 2h; 0 for no limit",
            ) from error
    return protect


def _checked(
    given: Mapping[str, object],
    options: tuple[Option, ...],
    places: Mapping[str, Place],
    place: Place,
    root: Path,
    where: str,
    words: Mapping[str, object],
) -> dict[str, object]:
    known = {option.name: option for option in options}
    for name in given:
        if name not in known:
            raise invalid(
                f"Unknown option {name!r} of {where}", places.get(name, place), seen=name, expected=nearest(name, [*known, *words])
            )
    checked: dict[str, object] = {}
    for name, option in known.items():
        if name in given:
            checked[name] = _value(option, given[name], places.get(name, place), root, where)
        elif option.required:
            raise invalid(f"The {where} has no {name!r}", place, expected=f"{name}: {option.description or option.kind}")
        elif option.default is not None:
            checked[name] = option.default
    return checked


def _value(option: Option, value: object, place: Place, root: Path, where: str) -> object:
    fits = isinstance(value, _KINDS[option.kind]) and (option.kind == "boolean" or not isinstance(value, bool))
    if not fits or (option.required and value == ""):
        seen = "something else" if option.secret else "nothing" if value in (None, "") else repr(value)
        quotes = " in quotes" if option.kind == "string" and isinstance(value, int | float) else ""
        raise invalid(f"The option {option.name!r} of {where} has the wrong form", place, seen=seen, expected=f"{option.kind}{quotes}")
    if option.choices and value not in option.choices:
        seen = "something else" if option.secret else str(value)
        raise invalid(f"The option {option.name!r} of {where} has no such value", place, seen=seen, expected=nearest(seen, option.choices))
    if isinstance(value, str) and option.secret:
        return resolve(value, root=root, place=place, name=option.name)
    if isinstance(value, str) and value.startswith("secret://"):
        raise invalid(f"The option {option.name!r} of {where} cannot be a secret", place, seen=value, expected="the value itself")
    return value
