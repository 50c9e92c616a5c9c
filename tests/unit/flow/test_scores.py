from __future__ import annotations

import pytest

from limnos import Lake
from limnos.errors import QueryInvalid


def of_orders(lake: Lake, what: str = "score", more: str = "") -> list[object]:
    sql = f"SELECT {what} AS said FROM system.scores WHERE table_name = 'shop.orders' AND scope = 'table' {more} ORDER BY judged_at, judge"
    return [row["said"] for row in lake.query(sql).rows()]


def again(lake: Lake, orders: str) -> Lake:
    (lake.project.root / "orders.csv").write_text(orders)
    return Lake(lake.project.root)


def test_scores_follow_the_runs(loaded: Lake) -> None:
    loaded.run()
    again(loaded, "id,customer\n1,1\n2,2\n3,1\n4,9\n").run()
    assert of_orders(loaded, "score", "AND dimension = 'consistency'") == [0.5, 0.5, 0.75]
    assert of_orders(loaded, "numerator || ' of ' || denominator", "AND dimension = 'consistency'") == ["1 of 2", "1 of 2", "3 of 4"]
    assert of_orders(loaded, "breaks", "AND dimension IS NULL") == [False, False, False]


def test_another_rule_breaks_the_line(loaded: Lake) -> None:
    project = loaded.project.root / "limnos.yml"
    project.write_text(project.read_text().replace("checks: [{foreign", "checks: [{not_null: id}, {foreign"))
    Lake(loaded.project.root).run()
    assert of_orders(loaded, "breaks", "AND dimension IS NULL") == [False, True]


def test_a_run_that_failed_leaves_the_score_of_the_published_version(loaded: Lake) -> None:
    before = loaded.query("SELECT score('shop.orders') AS s").rows()
    again(loaded, "id\n1\n").run()
    assert loaded.query("SELECT score('shop.orders') AS s").rows() == before
    assert len(of_orders(loaded, "score", "AND dimension IS NULL")) == 1


def test_a_check_is_a_series_of_its_own_and_leaves_an_event(loaded: Lake) -> None:
    loaded.check()
    assert of_orders(loaded, "judge || ' ' || score", "AND dimension = 'consistency'") == ["run 0.5", "check 1.0"]
    assert loaded.query("SELECT count(*) AS n FROM system.events WHERE action = 'check.finished'").rows() == [{"n": 1}]
    assert loaded.query("SELECT score('shop.orders', 'consistency') AS s").rows() == [{"s": 0.5}]


def test_a_score_is_asked_in_sql(loaded: Lake) -> None:
    sql = (
        "SELECT score('shop.orders') AS o, score('shop.orders', 'consistency') AS c, score('shop.orders', 'accuracy') AS a, score() AS lake"
    )
    said = loaded.query(sql).rows()[0]
    assert (said["c"], said["a"]) == (0.5, None)
    assert said["o"] == pytest.approx(0.5**0.5, abs=1e-6)
    assert said["lake"] == pytest.approx((1 + 0.5**0.5) / 2, abs=1e-6)
    each = "SELECT name, Score(name) AS s FROM (VALUES ('shop.customers'), ('shop.orders')) AS t(name) ORDER BY s"
    assert [row["name"] for row in loaded.query(each).rows()] == ["shop.orders", "shop.customers"]


@pytest.mark.parametrize("call", ["score('shop.ordres')", "score('shop.orders', 'vality')"])
def test_a_name_that_is_not_there_is_an_error_and_no_null(loaded: Lake, call: str) -> None:
    with pytest.raises(QueryInvalid, match="does not run"):
        loaded.query(f"SELECT {call}").rows()


def test_status_shows_dimensions_and_what_is_lowest(loaded: Lake) -> None:
    customers, orders = loaded.status()
    assert (customers.lowest, orders.lowest) == (None, "consistency")
    assert orders.score == pytest.approx(0.5**0.5, abs=1e-6)
    assert orders.as_json()["scores"] == {
        "accuracy": None,
        "completeness": None,
        "consistency": 0.5,
        "timeliness": None,
        "uniqueness": None,
        "validity": 1.0,
    }


def test_comparing_with_the_source_measures_accuracy_of_this_version_only(loaded: Lake) -> None:
    loaded.verify("shop.customers")
    assert loaded.status()[0].scores["accuracy"] == 1.0
    (loaded.project.root / "customers.csv").write_text("id\n1\n2\n3\n")
    Lake(loaded.project.root).run()
    assert "accuracy" not in loaded.status()[0].scores
