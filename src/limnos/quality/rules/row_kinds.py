"""The rules on single rows, of which others are made."""

from __future__ import annotations

from collections.abc import Mapping

from limnos.quality.rules.accepted_values import AcceptedValues
from limnos.quality.rules.compare import Compare
from limnos.quality.rules.format import Format
from limnos.quality.rules.length import Length
from limnos.quality.rules.not_null import NotNull
from limnos.quality.rules.range import Range
from limnos.quality.rules.regex import Regex
from limnos.quality.rules.rejected_values import RejectedValues
from limnos.quality.rules.shape import RowRule
from limnos.quality.rules.sql import Sql

ROW_KINDS: Mapping[str, type[RowRule]] = {
    "accepted_values": AcceptedValues,
    "compare": Compare,
    "format": Format,
    "length": Length,
    "not_null": NotNull,
    "range": Range,
    "regex": Regex,
    "rejected_values": RejectedValues,
    "sql": Sql,
}
