"""What a plug-in's own tests look like: the suite and its world."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from limnos_tide import TideSource

from limnos.engines.duckdb import DuckEngine
from limnos.model.project import SourceConfig
from limnos.testing.source import SourceSuite, World


class TestTideSource(SourceSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        def source(hours: int) -> TideSource:
            return TideSource(SourceConfig("sea", "tide", tmp_path, "sea", {"hours": hours}), DuckEngine())

        def rows(hours: int, sign: int) -> list[dict[str, str | None]]:
            return [{"hour": str(hour), "height_m": str(sign * abs(math.sin(hour / 12.42 * math.pi)))} for hour in range(hours)]

        tide = source(250)

        def change(_: str) -> None:
            tide.config = replace(tide.config, options={"hours": 251})

        keys = {"high": ("hour",), "low": ("hour",)}
        return World(tide, DuckEngine(), {"high": rows(250, 1), "low": rows(250, -1)}, change, source(-1), keys)
