from __future__ import annotations

from pathlib import Path

from limnos.engines.duckdb import DuckEngine
from limnos.model.data import Layout


def test_no_rows_leave_no_file(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path), {"a": 1})
    with DuckEngine().session() as session:
        assert session.write("SELECT 1::BIGINT AS a WHERE FALSE", layout) == ()
        assert list(tmp_path.iterdir()) == []
        (file,) = session.write("SELECT 1::BIGINT AS a", layout)
    assert [str(path) for path in tmp_path.iterdir()] == [file.path]
