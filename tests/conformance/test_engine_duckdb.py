from __future__ import annotations

import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.ports import Engine
from limnos.testing.engine import EngineSuite


class TestDuckEngine(EngineSuite):
    @pytest.fixture
    def engine(self) -> Engine:
        return DuckEngine()
