"""The conformance suite of `Source`; it needs pytest, which the tests of an adapter bring along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pytest

from limnos.errors import LimnosError, SourceChanged, UnknownName, Unsupported, WorldError
from limnos.model.contract import Contract
from limnos.model.conversion import convert
from limnos.model.extract import Extract
from limnos.model.names import TableName, quoted
from limnos.model.project import Capability
from limnos.model.types import canonical, type_name
from limnos.ports import Engine, Reading, Session, Source

Row = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class World:
    """Hold a source with known content.

    `rows` maps each of its tables to the rows that must arrive, each value as the engine writes it in text once it has the type that
    `describe` promises; `keys` names the primary keys. `change(table)` alters one value of a table and nothing else. `broken` is
    configured for a place where nothing answers; `secrets` are the texts in both configurations that nobody may ever see.
    """

    source: Source
    engine: Engine
    rows: Mapping[str, Sequence[Row]]
    change: Callable[[str], None]
    broken: Source
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    secrets: tuple[str, ...] = ()


class SourceSuite:
    """Assert what every source promises; a test class inherits it and gives the fixture `world`.

    A world needs two tables with at least two rows each. A capability is tested both ways: declared means that it works, undeclared
    that it raises `Unsupported`.
    """

    def test_it_declares_itself(self, world: World) -> None:
        assert isinstance(world.source, Source)
        assert world.source.kind
        assert len({(option.name, option.per_table) for option in world.source.options}) == len(world.source.options)

    def test_it_lists_its_tables_in_a_stable_order(self, world: World) -> None:
        with world.source.open() as first, world.source.open() as second:
            assert first.tables() == first.tables() == second.tables()
            assert set(world.rows) <= set(first.tables())
            assert len(set(first.tables())) == len(first.tables())

    def test_every_row_arrives_exactly_once(self, world: World) -> None:
        with world.source.open() as reading:
            for table, rows in world.rows.items():
                _same(_arrived(world, reading, table), rows)

    def test_rows_are_counted_apart_from_the_stream(self, world: World) -> None:
        with world.source.open() as reading, world.engine.session() as session:
            for table in world.rows:
                extract = _read(reading, table)
                arrived = sum(piece.num_rows for piece in _pieces(session, extract))
                assert extract.read == arrived + extract.rejected, table
                rejects = session.run(f"SELECT * FROM ({extract.rejects})") if extract.rejects else None
                assert extract.rejected == (rejects.num_rows if rejects else 0), table
                assert rejects is None or rejects.column_names == ["origin", "raw", "reason"]

    def test_rows_travel_one_way(self, world: World) -> None:
        with world.source.open() as reading:
            for table in world.rows:
                extract = _read(reading, table)
                assert bool(extract.scan) is (extract.batches is None), table

    def test_the_raw_schema_is_the_announced_one_throughout(self, world: World) -> None:
        with world.source.open() as reading, world.engine.session() as session:
            for table in world.rows:
                extract = _read(reading, table)
                schemas = [batch.schema for batch in extract.batches] if extract.batches else [session.stream(extract.scan).schema]
                for schema in schemas:
                    assert schema.names == extract.schema.names, table
                    for arrived, announced in zip(schema.types, extract.schema.types, strict=True):
                        assert canonical(arrived) == canonical(announced) or (extract.batches and pa.types.is_string(announced)), table

    def test_a_scan_gives_the_same_rows_in_the_same_order_each_time(self, world: World) -> None:
        with world.source.open() as reading:
            for table in world.rows:
                extract = _read(reading, table)
                if extract.scan:
                    with world.engine.session() as one, world.engine.session() as other:
                        assert one.run(extract.scan).equals(one.run(extract.scan)), table
                        assert one.run(extract.scan).equals(other.run(extract.scan)), table

    def test_reads_are_independent_of_each_other(self, world: World) -> None:
        one, other = list(world.rows)[:2]
        with world.source.open() as reading, ExitStack() as stack:
            streams = [_stream(stack.enter_context(world.engine.session()), _read(reading, table)) for table in (one, other, one)]
            counts = [next(stream).num_rows for stream in streams]
            for turn in (2, 0, 1):
                counts[turn] += sum(batch.num_rows for batch in streams[turn])
            assert counts == [len(world.rows[table]) for table in (one, other, one)]

    def test_openings_are_independent_of_each_other(self, world: World) -> None:
        table, rows = next(iter(world.rows.items()))
        with world.source.open() as outer:
            with world.source.open() as inner:
                _same(_arrived(world, inner, table), rows)
            _same(_arrived(world, outer, table), rows)
        with world.source.open() as later:
            _same(_arrived(world, later, table), rows)

    def test_a_reading_stays_at_its_point_in_time_or_says_that_it_cannot(self, world: World) -> None:
        table, rows = next(iter(world.rows.items()))
        with world.source.open() as reading:
            world.change(table)
            try:
                arrived = _arrived(world, reading, table)
            except SourceChanged as error:
                _has_four_parts(error, world)
            else:
                _same(arrived, rows)
        with world.source.open() as later:
            assert _bag(_arrived(world, later, table)) != _bag(rows)

    def test_describe_promises_what_read_hands_over(self, world: World) -> None:
        with world.source.open() as reading:
            for table in world.rows:
                contract = reading.describe(table, _target(table))
                assert contract.table == _target(table)
                assert list(contract.names) == _read(reading, table).schema.names, table
                assert all(type_name(column.type) for column in contract.columns)

    def test_rules_of_the_source_name_its_columns_and_leave_the_severity_open(self, world: World) -> None:
        with world.source.open() as reading:
            for table in world.rows:
                contract = reading.describe(table, _target(table))
                for rule in contract.rules:
                    assert set(rule.columns) <= set(contract.names), rule
                    assert rule.severity is None, rule
                assert len(contract.rules) == len({rule.name for rule in contract.rules}), table

    def test_raw_columns_keep_the_order_of_the_source(self, world: World) -> None:
        with world.source.open() as reading:
            for table in world.rows:
                contract = reading.describe(table, _target(table))
                turned = replace(contract, columns=contract.columns[::-1])
                assert reading.read(table, turned).schema.names == list(contract.names), table

    def test_keys_are_described_if_declared(self, world: World) -> None:
        declared = Capability.KEYS in world.source.capabilities
        assert declared == any(world.keys.values()), "a world of a source with keys has one"
        with world.source.open() as reading:
            for table in world.rows:
                contract = reading.describe(table, _target(table))
                assert contract.key == (world.keys.get(table, ()) if declared else ()), table

    def test_a_fingerprint_is_equal_while_nothing_changed(self, world: World) -> None:
        if Capability.FINGERPRINT not in world.source.capabilities:
            self._has_no_fingerprint(world)
            return
        for table in world.rows:
            with world.source.open() as one, world.source.open() as other:
                before = one.position(table).content
                assert before == other.position(table).content
                extract = _read(one, table)
                assert extract.position is not None
                assert extract.position.content == before

    def test_a_fingerprint_differs_after_a_change(self, world: World) -> None:
        if Capability.FINGERPRINT not in world.source.capabilities:
            self._has_no_fingerprint(world)
            return
        for table in world.rows:
            with world.source.open() as reading:
                before = reading.position(table)
            world.change(table)
            with world.source.open() as reading:
                assert reading.position(table).content != before.content, table

    def _has_no_fingerprint(self, world: World) -> None:
        table = next(iter(world.rows))
        with world.source.open() as reading:
            with pytest.raises(Unsupported) as raised:
                reading.position(table)
            _has_four_parts(raised.value, world)
            assert _read(reading, table).position is None

    def test_an_unknown_table_is_an_error_that_lists_the_known_ones(self, world: World) -> None:
        table = next(iter(world.rows))
        absent = f"{table}_absent"
        with world.source.open() as reading:
            contract = reading.describe(table, _target(table))
            asked: list[Callable[[], object]] = [lambda: reading.describe(absent, _target(table)), lambda: reading.read(absent, contract)]
            if Capability.FINGERPRINT in world.source.capabilities:
                asked.append(lambda: reading.position(absent))
            for ask in asked:
                with pytest.raises(UnknownName) as raised:
                    ask()
                assert any(known in raised.value.expected for known in reading.tables())
                _has_four_parts(raised.value, world)

    def test_origins_tell_rows_apart(self, world: World) -> None:
        with world.source.open() as reading:
            for table, rows in world.rows.items():
                extract = _read(reading, table)
                if extract.origins is not None:
                    origins = extract.origins(range(len(rows)))
                    assert len(set(origins)) == len(rows), table
                    assert list(extract.origins([len(rows) - 1, 0])) == [origins[-1], origins[0]], table

    def test_a_place_where_nothing_answers_is_an_error_with_four_parts(self, world: World) -> None:
        with pytest.raises(WorldError) as raised, world.broken.open():
            pass
        _has_four_parts(raised.value, world)

    def test_the_doctor_is_told_what_is_well_and_what_is_not(self, world: World) -> None:
        well, ill = list(world.source.findings()), list(world.broken.findings())
        assert well
        assert all(finding.ok for finding in well), well
        assert any(not finding.ok and finding.hint for finding in ill), ill
        for finding in (*well, *ill):
            assert not any(secret in f"{finding}" for secret in world.secrets)


def _target(table: str) -> TableName:
    name = "".join(char if char.isascii() and char.isalnum() else "_" for char in table)
    return TableName("suite", f"t_{name}")


def _read(reading: Reading, table: str, contract: Contract | None = None) -> Extract:
    return reading.read(table, contract or reading.describe(table, _target(table)))


def _stream(session: Session, extract: Extract) -> Iterator[pa.RecordBatch]:
    return iter(session.stream(extract.scan)) if extract.scan else extract.batches or iter(())


def _pieces(session: Session, extract: Extract) -> Iterator[pa.Table]:
    if extract.scan:
        yield session.run(extract.scan)
    for batch in extract.batches or ():
        yield pa.Table.from_batches([batch])


def _arrived(world: World, reading: Reading, table: str) -> Sequence[Row]:
    """Read a table and give each value, converted to the promised type, as text."""
    contract = reading.describe(table, _target(table))
    extract = _read(reading, table, contract)
    rows: list[Row] = []
    with world.engine.session() as session:
        for piece in _pieces(session, extract):
            kinds = zip(piece.schema, contract.columns, strict=True)
            converted = [
                f"CAST({convert(quoted(raw.name), raw.type, column.type).value} AS VARCHAR) AS {quoted(raw.name)}" for raw, column in kinds
            ]
            rows += session.run(f"SELECT {', '.join(converted)} FROM raw", raw=piece).to_pylist()
    return rows


def _same(arrived: Sequence[Row], expected: Sequence[Row]) -> None:
    """Compare as bags: the order of rows is nobody's promise."""
    seen, wanted = _bag(arrived), _bag(expected)
    missing, surplus = list((wanted - seen).items())[:3], list((seen - wanted).items())[:3]
    # Only the first few are compared: on CI, pytest would lay out the difference of thousands of rows.
    assert (missing, surplus) == ([], []), f"not there: {missing}, too much: {surplus}"


def _bag(rows: Sequence[Row]) -> Counter[tuple[tuple[str, str | None], ...]]:
    return Counter(tuple(row.items()) for row in rows)


def _has_four_parts(error: LimnosError, world: World) -> None:
    assert error.what
    assert not error.what.endswith(".")
    assert error.subject
    assert error.seen or error.expected
    assert error.hint
    cause: BaseException | None = error
    while cause is not None:
        assert not any(secret in str(cause) for secret in world.secrets)
        cause = cause.__cause__
