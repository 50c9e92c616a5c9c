from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from limnos.errors import LimnosError, ProjectInvalid, ProjectMissing, SecretMissing, UnknownName, Unsupported
from limnos.model.contract import Drift, DriftPolicy, Partition, Severity
from limnos.model.names import TableName
from limnos.model.place import Place
from limnos.model.project import Deletes, LogLimit, Mode, Project, Protect, VerifyConfig
from limnos.model.retention import Retention
from limnos.project import load_project
from limnos.project.words import LATER_SECTIONS, LATER_SOURCE_TABLE_WORDS, LATER_TABLE_WORDS

Load = Callable[..., Project]
HEAD = "version: 1\nsources: {shop: {type: postgres, url: secret://SHOP_DSN}}\n"

SOURCE_TABLE = "version: 1\nsources: {a: {type: x, tables: {t: {%s}}}}"

DESIGN = """\
version: 1
project: shop
lake: .limnos/lake                      # or s3://bucket/prefix
state: .limnos/state.db                 # or postgresql://...

sources:
  shop:
    type: postgres
    url: secret://SHOP_DSN              # environment, file or secret store; never printed
    protect: {max_rows_per_s: 50000, statement_timeout: 5m}
    tables:
      customers: {mode: incremental, cursor: updated_at, key: customer_id}
      orders:    {mode: cdc, key: order_id, deletes: soft}
      payments:  {mode: incremental, cursor: paid_at, key: payment_id, lookback: 2d}
  web:
    type: files
    path: logs/*.log.gz                 # relative to the project, or s3://..., globs welcome
    format: csv
    tables: {hits: {}}                  # this source's table web.hits
  rates: {type: files, path: in/rates-*.csv, format: csv, namespace: shop, tables: {rates: {}}}

tables:
  shop.orders:
    partition: month(created_at)
    checks:
      - not_null: [order_id, customer_id]
      - unique: order_id
      - foreign_key: {column: customer_id, references: shop.customers.customer_id}
      - range: {column: amount, min: 0}
      - freshness: {column: created_at, max: 6h, severity: warn}
    on_fail: quarantine                 # quarantine | block | warn
    drift: {add: accept, drop: block, type: quarantine}
  web.hits: {partition: day(ts)}
  shop.rates:                           # a file has no catalog to read types from, so they may be declared; else they are inferred
    columns:
      - {name: id, type: long, checks: [not_null, unique]}
      - {name: rate, type: "decimal(12,6)", checks: [{range: {min: 0}}]}
      - {name: day, type: date}

verify:
  shop.orders: {against: source, content: all, every: run}
"""


def test_the_shapes_of_the_design_are_read(load: Load, tmp_path: Path) -> None:
    project = load(DESIGN)
    assert project.name == "shop"
    assert project.lake.uri == str(tmp_path / ".limnos/lake")
    assert project.state.reveal() == f"sqlite:///{tmp_path}/.limnos/state.db"
    shop, web, rates = project.sources
    assert [(table.name, str(table.target), table.key) for table in shop.tables] == [
        ("customers", "shop.customers", ("customer_id",)),
        ("orders", "shop.orders", ("order_id",)),
        ("payments", "shop.payments", ("payment_id",)),
    ]
    assert [(table.mode, table.cursor, table.lookback, table.deletes) for table in shop.tables] == [
        (Mode.INCREMENTAL, "updated_at", "", Deletes.HARD),
        (Mode.CDC, "", "", Deletes.SOFT),
        (Mode.INCREMENTAL, "paid_at", "2d", Deletes.HARD),
    ]
    assert (shop.protect, shop.latency_s) == (Protect(max_rows_per_s=50_000, statement_timeout_s=300), 1.0)
    (verify,) = project.verify.values()
    assert verify == VerifyConfig(TableName("shop", "orders"), ("*",), every_run=True, place=Place("limnos.yml", 41))
    assert (web.namespace, web.every, web.options) == ("web", False, {"path": "logs/*.log.gz", "format": "csv"})
    assert str(rates.tables[0].target) == "shop.rates"
    orders = project.tables[TableName("shop", "orders")]
    assert [(rule.name, dict(rule.arguments), rule.severity) for rule in orders.rules] == [
        ("not_null:order_id", {}, None),
        ("not_null:customer_id", {}, None),
        ("unique:order_id", {}, None),
        ("foreign_key:customer_id", {"references": "shop.customers", "columns": ["customer_id"]}, None),
        ("range:amount", {"min": 0}, None),
        ("freshness:created_at", {"max": "6h"}, Severity.WARN),
    ]
    assert str(orders.rules[4].place) == "limnos.yml:29"
    assert orders.partitions == (Partition("created_at", "month"),)
    assert (orders.drift.add, orders.drift.drop, orders.drift.type) == (Drift.ACCEPT, Drift.BLOCK, Drift.QUARANTINE)
    columns = project.tables[TableName("shop", "rates")].columns
    assert [(column.name, column.type) for column in columns] == [("id", pa.int64()), ("rate", pa.decimal128(12, 6)), ("day", pa.date32())]
    assert [rule.name for rule in project.tables[TableName("shop", "rates")].rules] == ["not_null:id", "unique:id", "range:rate"]


def test_the_least_project_is_one_line(load: Load, tmp_path: Path) -> None:
    project = load("version: 1")
    assert (project.name, project.sources, dict(project.tables)) == (tmp_path.name, (), {})


def test_no_project_is_said_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectMissing) as caught:
        load_project(tmp_path)
    assert caught.value.hint == f"limnos init {tmp_path}"
    with pytest.raises(ProjectMissing):
        load_project(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "line", "what", "expected"),
    [
        ("version: 2", 1, "version has the wrong form", "1"),
        ("project: x", 1, "has no 'version'", "version: 1"),
        ("- version", 1, "The file has the wrong form", "a mapping"),
        ("version: 1\nsorces: {}", 2, "Unknown key 'sorces' at the top of the file", "sources (did you mean this?)"),
        ("version: 1\nproject: [a]", 2, "project has the wrong form", "a text"),
        ("version: 1\nproject: 12", 2, "project has the wrong form", 'a text: put it in quotes, as "12"'),
        ("version: 1\nsources: {a: {path: x}}", 2, "sources.a has no 'type'", "type: a text"),
        ("version: 1\nsources: {a b: {type: files}}", 2, "'a b' cannot be a name in sources", ""),
        ("version: 1\nsources: {a: {type: files, tables: {t: {tabel: u, key: []}}}}", 2, "key is empty", "at least one entry"),
        ("version: 1\nsources: {a: {type: files, tables: [t]}}", 2, "sources.a.tables has the wrong form", '"*" or a mapping'),
        ("version: 1\nsources: {a: {type: files, tables: {t-1: {}}}}", 2, "'t-1' cannot be part of a table name", "letters"),
        ("version: 1\nsources: {a: {type: files, tables: {t: {mode: ful}}}}", 2, "mode has the wrong form", "full (did you mean this?)"),
        ("version: 1\nlake: gs://bucket", 2, "The lake cannot be there", "a directory or s3://bucket/prefix"),
        ("version: 1\nlake: s3://", 2, "The lake cannot be there", "a directory or s3://bucket/prefix"),
        ("version: 1\nlake: {uri: here, region: x}", 2, "has no options", "only uri"),
        ("version: 1\nlake: {uri: s3://b, end_point: x}", 2, "Unknown key 'end_point' in lake", "endpoint (did you mean this?)"),
        ("version: 1\nstate: mysql://host/db", 2, "state database cannot be of that kind", "postgresql://"),
        ("version: 1\ncontracts: missing/*.yaml", 2, "No contract is there", "at least one file"),
        ("version: 1\ncontracts: '**a'", 2, "cannot be followed", "contracts/*.odcs.yaml"),
        ('version: 1\nlake: "a\\0b"', 2, "There is no such path", "a path on this machine"),
        ("version: 1\nstate: ~nobody-of-that-name/state.db", 2, "There is no such path", "a path on this machine"),
        ("version: 1\ncontracts: ../*.yaml", 2, "outside the project", "a path in the project"),
        (HEAD + "tables: {orders: {}}", 3, "'orders' cannot be a name in tables", ""),
        (HEAD + "tables: {sho.orders: {}}", 3, "No source fills the table sho.orders", "shop.*"),
        (HEAD + "tables: {shop.orders: 5}", 3, "tables.shop.orders has the wrong form", "a mapping or nothing"),
        (HEAD + "tables: {shop.orders: {on_fail: warning}}", 3, "on_fail has the wrong form", "warn (did you mean this?)"),
        (
            "version: 1\nsources: {a: {type: x, protect: {max_rows: 5}}}",
            2,
            "Unknown key 'max_rows' in sources.a.protect",
            "max_rows_per_s (did",
        ),
        (
            "version: 1\nsources: {a: {type: x, protect: {lock_timeout: soon}}}",
            2,
            "lock_timeout has the wrong form",
            "500ms, 30s, 5m, 2h or 1d or 0",
        ),
        ("version: 1\nsources: {a: {type: x, protect: {lock_timeout: 5}}}", 2, "lock_timeout has the wrong form", "a duration"),
        (
            "version: 1\nsources: {a: {type: x, protect: {max_log: 10G}}}",
            2,
            "max_log has the wrong form",
            "a size such as 500MB or 10GB or 0",
        ),
        ("version: 1\nsources: {a: {type: x, protect: {connections: 0}}}", 2, "connections has the wrong form", "a number"),
        ("version: 1\nsources: {a: {type: x, follow: {latency: fast}}}", 2, "latency has the wrong form", "a duration"),
        (SOURCE_TABLE % "mode: incremental", 2, "incrementally without a cursor", "cursor: the column"),
        (SOURCE_TABLE % "cursor: at", 2, "'cursor' of the table t needs another mode", "mode: incremental"),
        (SOURCE_TABLE % "mode: cdc, lookback: 2d", 2, "'lookback' of the table t needs another mode", "mode: incremental"),
        (SOURCE_TABLE % "mode: incremental, cursor: at, deletes: soft", 2, "'deletes' of the table t needs another mode", "mode: cdc"),
        (SOURCE_TABLE % "mode: incremental, cursor: at, lookback: 2 days", 2, "lookback has the wrong form", "90m or 2d or a whole number"),
        (HEAD + "verify: {sho.orders: {}}", 3, "No source fills the table sho.orders", "shop.*"),
        (HEAD + "verify: {shop.orders: {content: some}}", 3, "content has the wrong form", "all, none"),
        (HEAD + "verify: {shop.orders: {every: day}}", 3, "every has the wrong form", "run"),
        (HEAD + "tables: {shop.orders: {history: scd1}}", 3, "history has the wrong form", "scd2"),
        (HEAD + "tables: {shop.orders: {drift: {drop: quarantine}}}", 3, "drop has the wrong form", "accept, block"),
        (HEAD + "tables: {shop.orders: {drift: {columns: {a: {tpye: block}}}}}", 3, "Unknown key 'tpye'", "type (did you mean this?)"),
        (HEAD + "tables: {shop.orders: {drift: {add: block, drops: block}}}", 3, "Unknown key 'drops'", "drop (did you mean this?)"),
        (HEAD + "tables: {shop.orders: {partition: week(at)}}", 3, "partition has the wrong form", "month(created_at)"),
        (HEAD + "tables: {shop.orders: {columns: [{name: a, type: lng}]}}", 3, "'lng' is not a type", "long"),
        (HEAD + "tables: {shop.orders: {columns: [{name: a}]}}", 3, "has no 'type'", "type: a text"),
        (
            HEAD + "tables: {shop.orders: {columns: [{name: a, type: int, required: yes}]}}",
            3,
            "required has the wrong form",
            "true or false",
        ),
        (
            HEAD + "tables:\n  shop.o:\n    columns:\n      - {name: a, type: int}\n      - {name: a, type: int}",
            7,
            "column 'a' is given twice",
            "once",
        ),
        (HEAD + "tables:\n  shop.o: {checks: [{unique: a}]}\n  shop.o: {}", 5, "given twice", "each key once"),
        (HEAD + "environments: {prod: {project: x}}", 3, "Unknown key 'project' in environments.prod", "lake, sources, state, tables"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_was_meant(load: Load, text: str, line: int, what: str, expected: str) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        load(text)
    assert what in caught.value.what
    assert caught.value.subject == f"limnos.yml:{line}"
    assert expected in caught.value.expected
    assert caught.value.hint


def _example_of(section: str) -> str:
    return HEAD + f"{section}: {{x: {{}}}}"


@pytest.mark.parametrize("section", LATER_SECTIONS)
def test_a_section_that_is_to_come_is_refused_and_not_ignored(load: Load, section: str) -> None:
    with pytest.raises(Unsupported) as caught:
        load(_example_of(section))
    assert caught.value.what == f"'{section}' is not available in this version"
    assert caught.value.subject == "limnos.yml:3"
    assert caught.value.hint == f"remove '{section}' at limnos.yml:3"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        *((f"version: 1\nsources: {{a: {{type: x, tables: {{t: {{{word}: 1}}}}}}}}", word) for word in LATER_SOURCE_TABLE_WORDS),
        *((HEAD + f"tables: {{shop.orders: {{{word}: 400d}}}}", word) for word in LATER_TABLE_WORDS),
    ],
)
def test_a_word_that_is_to_come_is_refused_and_not_ignored(load: Load, text: str, word: str) -> None:
    with pytest.raises(Unsupported, match=re.escape(f"{word!r} is not available")):
        load(text)


def test_every_word_of_protection_and_following_is_read(load: Load) -> None:
    words = (
        "max_rows_per_s: 0, statement_timeout: 0, lock_timeout: 500ms, connections: 4, adaptive: true, "
        "replica: secret://REPLICA, max_lag: 2m, max_log: 10GB, on_log_limit: drop, max_snapshot_age: 5s"
    )
    source = load(f"version: 1\nsources: {{a: {{type: x, protect: {{{words}}}, follow: {{latency: 250ms}}}}}}").sources[0]
    assert replace(source.protect, replica=None) == Protect(0, 0.0, 0.5, 4, True, None, 120.0, 10_000_000_000, LogLimit.DROP, 5.0)
    assert source.latency_s == 0.25


@pytest.mark.parametrize(
    ("said", "content"), [("", ("*",)), ("content: all", ("*",)), ("content: none", ()), ("content: [a, b]", ("a", "b"))]
)
def test_what_is_compared_with_the_source_is_read(load: Load, said: str, content: tuple[str, ...]) -> None:
    table = TableName("shop", "orders")
    found = load(HEAD + f"verify: {{shop.orders: {{{said}}}}}").verify[table]
    assert (found.content, found.every_run) == (content, False)


def test_a_column_has_the_drift_policy_of_its_table_but_for_what_it_says_itself(load: Load) -> None:
    config = load(HEAD + "tables: {shop.t: {history: scd2, drift: {add: block, rename: accept, columns: {a: {type: keep_both}}}}}")
    table = config.tables[TableName("shop", "t")]
    assert table.history
    assert table.drift.on("b") == table.drift
    assert table.drift.on("a") == DriftPolicy(Drift.BLOCK, Drift.BLOCK, Drift.KEEP_BOTH, Drift.ACCEPT)


def test_two_sources_cannot_fill_one_table(load: Load) -> None:
    with pytest.raises(ProjectInvalid, match=r"land in a\.t") as caught:
        load("version: 1\nsources:\n  a: {type: x, tables: {t: {}}}\n  b: {type: x, tables: {u: {table: a.t}}}")
    assert (caught.value.subject, caught.value.seen) == ("limnos.yml:4", "also limnos.yml:3")


def test_a_table_takes_the_last_part_of_its_name_in_the_source_or_the_one_it_is_given(load: Load) -> None:
    project = load("version: 1\nsources: {a: {type: x, tables: {public.t: {}, u-1: {table: u}, w: {table: other.w}, x: }}}")
    assert [str(table.target) for table in project.sources[0].tables] == ["a.t", "a.u", "other.w", "a.x"]


@pytest.mark.parametrize("tables", ["", ', tables: "*"'])
def test_without_a_list_every_table_is_read(load: Load, tables: str) -> None:
    source = load(f"version: 1\nsources: {{a: {{type: x{tables}}}}}").sources[0]
    assert (source.every, source.tables) == (True, ())


_CIRCLE = """\
version: 1
sources: {shop: {type: x}}
tables:
  shop.a: {checks: [{foreign_key: {column: b, references: shop.b.id}}]}
  shop.b: {checks: [{foreign_key: {column: a, references: shop.a.id%s}}]}
"""


def test_foreign_keys_in_a_circle_are_refused(load: Load) -> None:
    with pytest.raises(ProjectInvalid, match="in a circle") as caught:
        load(_CIRCLE % "")
    assert caught.value.subject in ("limnos.yml:4", "limnos.yml:5")
    assert "shop.a -> shop.b" in caught.value.seen


def test_a_circle_that_only_warns_or_a_table_that_refers_to_itself_is_fine(load: Load) -> None:
    assert load(_CIRCLE % ", severity: warn").tables
    assert load("version: 1\nsources: {s: {type: x}}\ntables: {s.a: {checks: [{foreign_key: {column: b, references: s.a.id}}]}}").tables


def test_a_foreign_key_to_a_table_that_nobody_fills_is_refused(load: Load) -> None:
    text = "version: 1\nsources: {s: {type: x, tables: {users: {}, orders: {}}}}\ntables:\n  s.orders:\n    checks:\n"
    with pytest.raises(ProjectInvalid, match=r"No source fills the table s\.user") as caught:
        load(text + "      - foreign_key: {column: u, references: s.user.id}")
    assert (caught.value.subject, caught.value.expected) == ("limnos.yml:6", "s.users (did you mean this?)")


ENVIRONMENTS = """\
version: 1
lake: lake
sources:
  shop: {type: postgres, url: secret://DEV_DSN, tables: {t: {}}}
tables:
  shop.t: {on_fail: warn, checks: [{unique: id}]}
environments:
  prod:
    lake: s3://bucket/prefix
    state: postgresql://host/db
    sources: {shop: {url: secret://PROD_DSN}}
    tables: {shop.t: {on_fail: block}}
"""


def test_an_environment_overlays_what_it_names_and_nothing_else(load: Load, tmp_path: Path) -> None:
    base, prod = load(ENVIRONMENTS), load(ENVIRONMENTS, environment="prod")
    table = TableName("shop", "t")
    assert (base.environment, base.lake.uri, base.tables[table].on_fail) == ("", str(tmp_path / "lake"), Severity.WARN)
    assert (prod.environment, prod.lake.uri, prod.tables[table].on_fail) == ("prod", "s3://bucket/prefix", Severity.BLOCK)
    assert prod.state.reveal() == "postgresql+psycopg://host/db"
    assert prod.sources[0].options == {"url": "secret://PROD_DSN"}
    assert (prod.sources[0].type, prod.sources[0].tables) == (base.sources[0].type, base.sources[0].tables)
    assert prod.tables[table].rules == base.tables[table].rules


def test_limnos_env_chooses_the_environment_and_the_argument_wins(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNOS_ENV", "prod")
    assert load(ENVIRONMENTS).environment == "prod"
    with pytest.raises(UnknownName) as caught:
        load(ENVIRONMENTS, environment="prdo")
    assert caught.value.expected == "prod (did you mean this?)"


def test_an_environment_is_checked_whether_it_is_chosen_or_not(load: Load) -> None:
    with pytest.raises(ProjectInvalid, match="on_fail"):
        load(ENVIRONMENTS.replace("on_fail: block", "on_fail: blok"))
    with pytest.raises(ProjectInvalid, match="a source that does not exist") as caught:
        load(ENVIRONMENTS.replace("sources: {shop: {url", "sources: {shpo: {url"), environment="prod")
    assert (caught.value.subject, caught.value.expected) == ("limnos.yml:11", "shop (did you mean this?)")


def test_the_lake_and_the_state_take_their_secrets_from_the_environment(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DSN", "postgres://ana:hunter2@host/db")
    monkeypatch.setenv("S3_SECRET", "hunter2")
    lake = "lake: {uri: s3://b/p/, endpoint: http://h, access_key: k, secret_key: secret://S3_SECRET, path_style: true}"
    project = load(f"version: 1\nstate: secret://STATE_DSN\n{lake}")
    assert project.state.reveal() == "postgresql+psycopg://ana:hunter2@host/db"
    assert project.lake.uri == "s3://b/p"
    assert {key: str(value) for key, value in project.lake.options.items()} == {
        "endpoint": "http://h",
        "access_key": "***",
        "secret_key": "***",
        "path_style": "True",
    }
    assert "hunter2" not in repr(project)


def test_a_path_with_odd_characters_survives_the_url_of_the_state(tmp_path: Path) -> None:
    from sqlalchemy import make_url

    root = tmp_path / "a b?c#d%41"
    root.mkdir()
    (root / "limnos.yml").write_text("version: 1")
    assert make_url(load_project(root).state.reveal()).database == str(root / ".limnos/state.db")


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nsources: {s: {type: postgres, url: 'postgresql://ana:hunter2@h/db'}}",
        "version: 1\nsources: {s: {type: postgres, pasword: hunter2}}",
        "version: 1\nstate: postgresql://ana:hunter2@h/db",
        "version: 1\nstate: mysql://ana:hunter2@h/db",
        "version: 1\nstate: [hunter2]",
        "version: 1\nlake: {uri: s3://b, secret_key: [hunter2]}",
        "version: 1\nlake: {uri: s3://b, secret_key: hunter2, access_keys: hunter2}",
        "version: 1\nsources: {s: 'postgresql://ana:hunter2@h/db'}",
        "version: 1\nproject: [\nstate: hunter2",
        "version: 1\nlake: ftp://ana:hunter2@h/db",
        "version: 1\nsources: {s: {type: x, tables: {t: {}}, url:postgresql://ana:hunter2@h/db}}",
        "version: 1\nsources: {url:postgresql://ana:hunter2@h/db}",
    ],
)
def test_a_planted_secret_is_in_no_value_and_no_error(load: Load, text: str) -> None:
    try:
        said = repr(load(text))
    except LimnosError as error:
        said = repr(error) + str(error) + repr(error.as_json())
    assert said
    assert "hunter2" not in said


def test_a_number_in_place_of_a_secret_is_not_shown(load: Load) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        load("version: 1\nlake: {uri: s3://b, secret_key: 48151623}")
    assert "48151623" not in str(caught.value)


def test_a_secret_that_is_nowhere_is_said_with_both_places(load: Load, tmp_path: Path) -> None:
    with pytest.raises(SecretMissing) as caught:
        load("version: 1\nstate: secret://LIMNOS_TEST_NOWHERE")
    assert caught.value.subject == "limnos.yml:2"
    assert "the environment variable LIMNOS_TEST_NOWHERE" in caught.value.expected
    assert str(tmp_path / ".limnos/secrets/LIMNOS_TEST_NOWHERE") in caught.value.expected


def test_a_secret_is_read_from_a_file_that_only_its_owner_may_read(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".limnos/secrets/STATE_DSN"
    path.parent.mkdir(parents=True)
    path.write_text("postgresql://ana:hunter2@host/db\n")
    path.chmod(0o644)
    with pytest.raises(ProjectInvalid, match="Everybody may read") as caught:
        load("version: 1\nstate: secret://STATE_DSN")
    assert caught.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    assert load("version: 1\nstate: secret://STATE_DSN").state.reveal() == "postgresql+psycopg://ana:hunter2@host/db"
    other = tmp_path / "elsewhere"
    other.mkdir()
    path.rename(other / "STATE_DSN")
    monkeypatch.setenv("LIMNOS_SECRETS_DIR", str(other))
    assert load("version: 1\nstate: secret://STATE_DSN").state.name == "STATE_DSN"


@pytest.mark.parametrize("name", ["../x", "a/b", "", "..", ".", "a b"])
def test_a_secret_cannot_be_named_like_a_path(load: Load, name: str) -> None:
    with pytest.raises(ProjectInvalid, match="not a plain name"):
        load(f"version: 1\nstate: 'secret://{name}'")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", Retention()),
        ("upkeep: {keep: 7d, grace: 2h}", Retention(0, 7 * 86_400.0, 7_200.0)),
        ("upkeep: {keep: 10}", Retention(10)),
    ],
)
def test_upkeep_says_how_long_versions_are_kept(load: Load, said: str, kept: Retention) -> None:
    assert load(HEAD + said).retention == kept


@pytest.mark.parametrize("said", ["keep: 0", "keep: 2 moons", "grace: 5", "kept: 1d"])
def test_what_upkeep_cannot_keep_is_refused(load: Load, said: str) -> None:
    with pytest.raises(ProjectInvalid):
        load(HEAD + f"upkeep: {{{said}}}")
