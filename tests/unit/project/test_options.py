from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from limnos.errors import ProjectInvalid, SecretMissing
from limnos.model.project import Option, Project, SourceConfig
from limnos.model.secret import Secret
from limnos.project import check_options

Load = Callable[..., Project]

OPTIONS = (
    Option("url", required=True, secret=True, description="where the server is"),
    Option("schema", default="public"),
    Option("statement_timeout"),
    Option("limit", "integer"),
    Option("ratio", "number"),
    Option("strict", "boolean", default=False),
    Option("null_values", "array", default=("",)),
    Option("headers", "object"),
    Option("format", choices=("csv", "parquet")),
    Option("format", choices=("csv", "parquet"), per_table=True, default="csv"),
    Option("filter", per_table=True, default="true"),
)


def _checked(load: Load, options: str, tables: str = "{t: {}}") -> SourceConfig:
    text = f"version: 1\nsources:\n  shop:\n    type: x\n    tables: {tables}\n" + "".join(f"    {line}\n" for line in options.splitlines())
    return check_options(load(text).sources[0], OPTIONS)


def test_options_are_checked_filled_and_resolved(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DSN", "postgresql://ana:hunter2@db/shop")
    config = _checked(
        load,
        "url: secret://SHOP_DSN\nlimit: 5\nratio: 5\nnull_values: [NA, no]\nheaders: {a: b}\nformat: parquet",
        "{t: {}, u: {format: csv}}",
    )
    assert config.options == {
        "url": Secret("postgresql://ana:hunter2@db/shop"),
        "schema": "public",
        "limit": 5,
        "ratio": 5,
        "strict": False,
        "null_values": ["NA", "no"],
        "headers": {"a": "b"},
        "format": "parquet",
    }
    assert [table.options for table in config.tables] == [{"filter": "true"}, {"filter": "true", "format": "csv"}]
    assert "hunter2" not in repr(config) + repr(config.options)


def test_the_address_of_a_replica_is_resolved_and_never_shown(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICA", "postgresql://ana:hunter2@replica/shop")
    config = _checked(load, "url: x\nprotect: {replica: secret://REPLICA}")
    assert config.protect.replica == Secret("postgresql://ana:hunter2@replica/shop")
    assert "hunter2" not in repr(config)
    with pytest.raises(SecretMissing):
        _checked(load, "url: x\nprotect: {replica: secret://ELSEWHERE}")


@pytest.mark.parametrize(
    ("said", "timeout_s"),
    [
        ("", 300.0),
        ("statement_timeout: 200ms", 0.2),
        ("statement_timeout: '1500'", 1.5),
        ("statement_timeout: 2h\nprotect: {lock_timeout: 1s}", 7200.0),
        ("statement_timeout: 2h\nprotect: {statement_timeout: 7s}", 7.0),
    ],
)
def test_the_older_option_for_the_statement_timeout_holds_where_protect_says_nothing(load: Load, said: str, timeout_s: float) -> None:
    assert _checked(load, f"url: x\n{said}").protect.statement_timeout_s == timeout_s


def test_an_older_statement_timeout_that_is_no_duration_is_told(load: Load) -> None:
    with pytest.raises(ProjectInvalid, match="not a duration") as caught:
        _checked(load, "url: x\nstatement_timeout: soon")
    assert caught.value.subject == "limnos.yml:7"


def test_a_literal_address_is_wrapped_too(load: Load) -> None:
    url = _checked(load, "url: postgresql://ana:hunter2@db/shop").options["url"]
    assert isinstance(url, Secret)
    assert url.reveal() == "postgresql://ana:hunter2@db/shop"


def test_a_secret_of_one_source_is_not_asked_of_another(load: Load) -> None:
    project = load("version: 1\nsources:\n  a: {type: x, url: secret://LIMNOS_TEST_NOWHERE}\n  b: {type: x, url: here}")
    assert check_options(project.sources[1], OPTIONS).options["schema"] == "public"
    with pytest.raises(SecretMissing) as caught:
        check_options(project.sources[0], OPTIONS)
    assert caught.value.subject == "limnos.yml:3"


@pytest.mark.parametrize(
    ("options", "line", "what", "expected"),
    [
        ("url: x\nshcema: y", 7, "Unknown option 'shcema' of source shop", "schema (did you mean this?)"),
        ("url: x\nnamespce: y", 7, "Unknown option 'namespce' of source shop", "namespace (did you mean this?)"),
        ("schema: y", 3, "The source shop has no 'url'", "url: where the server is"),
        ("url: ''", 6, "'url' of source shop has the wrong form", "string"),
        ("url: x\nschema: 5", 7, "wrong form", "string in quotes"),
        ("url: x\nlimit: '5'", 7, "wrong form", "integer"),
        ("url: x\nlimit: 1.5", 7, "wrong form", "integer"),
        ("url: x\nlimit: true", 7, "wrong form", "integer"),
        ("url: x\nstrict: yes", 7, "wrong form", "boolean"),
        ("url: x\nnull_values: NA", 7, "wrong form", "array"),
        ("url: x\nheaders: [a]", 7, "wrong form", "object"),
        ("url: x\nformat: cvs", 7, "has no such value", "csv (did you mean this?)"),
        ("url: x\nfilter: y", 7, "Unknown option 'filter'", ""),
        ("url: x\nschema: secret://X", 7, "cannot be a secret", "the value itself"),
        ("url: secret://../x", 6, "not a plain name", "letters"),
    ],
)
def test_an_option_that_does_not_fit_is_said_with_its_line(load: Load, options: str, line: int, what: str, expected: str) -> None:
    with pytest.raises(ProjectInvalid, match=re.escape(what)) as caught:
        _checked(load, options)
    assert caught.value.subject == f"limnos.yml:{line}"
    assert expected in caught.value.expected


def test_an_option_of_a_table_is_checked_as_well(load: Load) -> None:
    with pytest.raises(ProjectInvalid, match="Unknown option 'fliter' of table t of source shop") as caught:
        _checked(load, "url: x", "{t: {fliter: y}}")
    assert (caught.value.subject, caught.value.expected) == ("limnos.yml:5", "filter (did you mean this?)")


@pytest.mark.parametrize(
    "options", ["url: [hunter2]", "url: x\nlimit: postgresql://ana:hunter2@db", "urll: hunter2", "url: 48151623\n# hunter2"]
)
def test_no_error_shows_a_planted_secret(load: Load, options: str) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        _checked(load, options)
    assert "hunter2" not in str(caught.value)
    assert "48151623" not in str(caught.value)


def test_the_root_of_relative_paths_is_the_project(load: Load, tmp_path: Path) -> None:
    assert _checked(load, "url: x").root == tmp_path
