"""Projects to start from, made of real data: one folder each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from limnos.examples import flights

EXAMPLES: Mapping[str, Callable[[Path], None]] = {"flights": flights.build}
"""What lays each example down in an empty directory."""
