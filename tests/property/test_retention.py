"""Which versions are kept, against the rule spelled out one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from limnos.model.data import Snapshot
from limnos.model.names import TableName
from limnos.model.retention import Retention

NOW = datetime(2026, 1, 31, tzinfo=UTC)
TABLE = TableName("pond", "fish")


def history(ages_s: list[int], expired: int) -> list[Snapshot]:
    ages_s = sorted(ages_s, reverse=True)
    return [
        Snapshot(TABLE, at, 0, NOW - timedelta(seconds=age), "", metadata_location=str(at), expired=at < min(expired, len(ages_s) - 1))
        for at, age in enumerate(ages_s)
    ]


@given(
    ages_s=st.lists(st.integers(0, 100), min_size=1, max_size=12),
    expired=st.integers(0, 4),
    versions=st.integers(0, 5),
    age_s=st.integers(0, 120),
    grace_s=st.integers(0, 60),
    needed=st.frozensets(st.integers(0, 12).map(str), max_size=3),
)
def test_a_version_stays_while_anybody_may_ask_for_it(
    ages_s: list[int], expired: int, versions: int, age_s: int, grace_s: int, needed: frozenset[str]
) -> None:
    all_of_them = history(ages_s, expired)
    gone = set(Retention(versions, age_s, grace_s).outdated(all_of_them, NOW, needed))
    alive = [one for one in all_of_them if not one.expired]
    assert alive[-1] not in gone
    for place, one in enumerate(alive[:-1]):
        ended = alive[place + 1].at
        asked_for = place >= len(alive) - versions if versions else ended > NOW - timedelta(seconds=age_s)
        young = ended > NOW - timedelta(seconds=grace_s)
        assert (one in gone) == (not asked_for and not young and one.metadata_location not in needed)
    assert gone <= set(alive)
