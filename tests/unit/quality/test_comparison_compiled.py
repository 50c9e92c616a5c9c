"""Compiled code writes and hashes rows as the SQL of a comparison does, within its memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import built
import fuzz_numbers
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limnos.engines.duckdb import DuckEngine
from limnos.model.data import Relation
from limnos.model.digest import Ask, FileSums, Hash, Question
from limnos.model.names import TableName
from limnos.ports import Session
from limnos.quality import comparison_compiled, comparison_lake
from limnos.quality.comparison_lake import LakeSide
from limnos.quality.comparison_sides import typed_rows

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
# What PostgreSQL 15 gives for hashtextextended(left('Limnology measures lakes und Flüsse', n) COLLATE "C", 0).
OF_POSTGRES = {
    0: -6939563903564495251,
    1: 39559397423921924,
    7: 5213006114082482173,
    8: -3277607279103840208,
    9: 3806371592663393634,
    11: -7805736246891221921,
    12: -3247381680993709813,
    13: 4370760777659950791,
    24: 627122207976595523,
    35: -3799703596523426851,
}


class Forgetful:
    """Keep nothing of files."""

    def recall(self, form: str) -> Mapping[str, FileSums]:
        return {}

    def keep(self, form: str, found: Mapping[str, FileSums], live: Collection[str]) -> None:
        pass


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with pytest.MonkeyPatch.context() as patch, DuckEngine().session() as opened:
        for module in (comparison_compiled, comparison_lake):
            patch.setattr(module, "library", built.numbers)
        patch.setattr(comparison_lake, "_ROWS_WORTH_IT", 1)
        assert Hash.LOOKUP3 in opened.hashes()
        yield opened


def test_a_text_has_the_hash_that_postgresql_gives_it() -> None:
    texts = pa.array(["Limnology measures lakes und Flüsse"[:size] for size in OF_POSTGRES])
    assert comparison_compiled.hashes(built.numbers(), texts).to_pylist() == list(OF_POSTGRES.values())
    assert comparison_compiled.hashes(built.numbers(), texts.slice(3)).to_pylist() == list(OF_POSTGRES.values())[3:]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**64 - 1))
def test_rows_of_any_types_add_up_to_what_sql_adds_up(session: Session, tmp_path: Path, seed: int) -> None:
    rows = fuzz_numbers.case(seed)
    _same(session, tmp_path / "rows.parquet", rows)


def test_a_day_that_no_system_writes_alike_is_left_to_sql(session: Session, tmp_path: Path) -> None:
    days = pa.array([0, 2**31 - 1, -800_000], pa.int32()).cast(pa.date32())
    _same(session, tmp_path / "days.parquet", pa.table({"id": [1, 2, 3], "day": days}))


def _same(session: Session, file: Path, rows: pa.Table) -> None:
    pq.write_table(rows, file)
    question = Question(Ask.BUCKETS, ("id",), tuple(rows.schema.names), fuzz_numbers.BUCKETS, by_value=True, hash=Hash.LOOKUP3)
    relation = Relation(TableName.parse("a.b"), rows.schema, (str(file),), rows.num_rows)
    session.run("DROP TABLE IF EXISTS found")
    LakeSide(relation, rows.schema, "TRUE", Forgetful()).keep(session, question, "found")
    expected = session.run(typed_rows("given", rows.schema).select(question), given=rows).rename_columns(["bucket", "rows", "total"])
    found = session.run("SELECT bucket, rows, total::HUGEINT AS total FROM found").to_pylist()
    assert sorted(map(str, found)) == sorted(map(str, expected.to_pylist()))


def test_no_byte_outside_of_the_memory_is_touched() -> None:
    """Under the sanitizers of addresses and of undefined behaviour."""
    source = built.library(built.NUMBERS, *SANITIZERS)
    compiler = shutil.which("cc") or "gcc"
    runtime = [_done(compiler, f"-print-file-name={name}").stdout.strip() for name in ("libasan.so", "libubsan.so")]
    environment = {"LD_PRELOAD": ":".join(runtime), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONPATH": os.pathsep.join(sys.path)}
    hashed = _done(
        sys.executable, fuzz_numbers.__file__, source, "500", ARROW_DEFAULT_MEMORY_POOL="system", LIMNOS_PORTABLE="", **environment
    )
    assert hashed.returncode == 0, hashed.stderr


def _done(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], env={**os.environ, **environment}, capture_output=True, text=True, check=False)
