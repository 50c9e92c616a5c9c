"""The published JSON Schema; run this file to write it anew: `python tests/unit/project/test_json_schema.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import jsonschema
import pytest

import limnos.examples
from limnos.errors import LimnosError
from limnos.model.project import Option, Project
from limnos.project import check_options, schema
from limnos.project.nodes import parse_nodes, plain

Load = Callable[..., Project]

PUBLISHED = Path(__file__).parents[3] / "docs" / "limnos.schema.json"
FLIGHTS = Path(limnos.examples.__file__).parent / "flights" / "limnos.yml"


def _options() -> dict[str, tuple[Option, ...]]:
    """Take the sources of this project, and not what else is installed."""
    own = (point for point in entry_points(group="limnos.sources") if point.value.startswith("limnos."))
    return {point.name: point.load().options for point in own}


def _written() -> str:
    return json.dumps(schema(_options()), indent=2, ensure_ascii=False) + "\n"


def test_the_published_schema_is_the_one_that_the_code_makes() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == _written(), "run python tests/unit/project/test_json_schema.py"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema(_options()))


S = "version: 1\nsources: {s: {type: sqlite, path: x}}\n"
GOOD = [
    FLIGHTS.read_text(encoding="utf-8"),
    "version: 1",
    S,
    "version: 1\nlake: {uri: s3://b/p, endpoint: http://h, path_style: true}\nstate: postgresql://h/d",
    "version: 1\nsources: {s: {type: postgres, url: postgresql://h/d, tables: '*'}}",
    "version: 1\nsources: {s: {type: files, tables: {a: {path: a.csv, key: [x, y], mode: full}, b: {path: b.csv, table: s.c}}}}",
    S + "tables: {s.a: {checks: [{not_null: [a, b]}, {unique: a}, {range: {column: a, max: 5}, severity: warn}, {sql: a < b}]}}",
    S + "tables: {s.a: {checks: [{foreign_key: {columns: [a, b], references: {table: s.b, columns: [c, d]}}, at_least: 98%}]}}",
    S + "tables: {s.a: {partition: [month(at), 'bucket(16, id)', c], key: id, on_fail: block, drift: {add: block}}, s.b: }",
    S + "tables: {s.a: {columns: [{name: a, type: long, required: true, checks: [not_null, {range: {min: 0}}]}]}}",
    "version: 1\nsources: {s: {type: sqlite, path: x, protect: {max_lag: 0, max_log: 5GiB}, tables: {t: {mode: cdc, deletes: soft}}}}",
    "version: 1\nsources: {s: {type: sqlite, path: x, tables: {t: {mode: incremental, cursor: a, lookback: 5}}}}",
    S + "verify: {s.a: {content: [a, b], every: run}, s.b: }",
    S + "tables: {s.a: {history: scd2, drift: {rename: accept, columns: {a: {type: keep_both}}}}}",
    S + "environments: {prod: {lake: s3://b, sources: {s: {path: y}}, tables: {s.a: {on_fail: warn}}}}",
]
BAD = [
    "version: 2",
    "project: x",
    "version: 1\nsorces: {}",
    "version: 1\nlake: {url: x}",
    "version: 1\npolicies: {}",
    "version: 1\nsources: {a-b: {type: sqlite, path: x}}",
    "version: 1\nsources: {s: {type: sqlite}}",
    "version: 1\nsources: {s: {type: sqlite, pth: x}}",
    "version: 1\nsources: {s: {type: sqlite, path: 5}}",
    "version: 1\nsources: {s: {type: files, path: x, format: cvs}}",
    "version: 1\nsources: {s: {type: files, path: x, header: yes}}",
    "version: 1\nsources: {s: {type: files, path: x, tables: {t: {pth: x}}}}",
    "version: 1\nsources: {s: {type: sqlite, path: x, tables: {t: {mode: cdd}}}}",
    "version: 1\nsources: {s: {type: sqlite, path: x, protect: {connections: 0}}}",
    "version: 1\nsources: {s: {type: sqlite, path: x, protect: {max_lag: 5}}}",
    S + "verify: {s.a: {content: 5}}",
    S + "tables: {s.a: {drift: {drop: quarantine}}}",
    S + "tables: {a: {}}",
    S + "tables: {s.a: {retain: 400d}}",
    S + "tables: {s.a: {partition: week(at)}}",
    S + "tables: {s.a: {checks: [not_null]}}",
    S + "tables: {s.a: {checks: [{not_nul: a}]}}",
    S + "tables: {s.a: {checks: [{not_null: a, unique: b}]}}",
    S + "tables: {s.a: {checks: [{range: {min: 0}}]}}",
    S + "tables: {s.a: {checks: [{unique: {column: a, columns: [b]}}]}}",
    S + "tables: {s.a: {checks: [{not_null: a, severity: warning}]}}",
    S + "tables: {s.a: {checks: [{not_null: a, at_least: 98}]}}",
    S + "tables: {s.a: {columns: [{name: a}]}}",
    S + "tables: {s.a: {columns: [{name: a, type: int, checks: [uniqe]}]}}",
    S + "environments: {prod: {project: x}}",
]


def _reader_accepts(load: Load, text: str) -> bool:
    try:
        for source in load(text).sources:
            check_options(source, _options()[source.type])
    except LimnosError:
        return False
    return True


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(_options()))


@pytest.mark.parametrize("text", GOOD)
def test_schema_and_reader_accept(load: Load, validator: jsonschema.Draft202012Validator, text: str) -> None:
    assert [error.message for error in validator.iter_errors(plain(parse_nodes(text, "limnos.yml")))] == []
    assert _reader_accepts(load, text)


@pytest.mark.parametrize("text", BAD)
def test_schema_and_reader_refuse(load: Load, validator: jsonschema.Draft202012Validator, text: str) -> None:
    assert not validator.is_valid(plain(parse_nodes(text, "limnos.yml")))
    assert not _reader_accepts(load, text)


def test_a_type_of_source_that_does_not_exist_is_refused_by_the_schema(validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid({"version": 1, "sources": {"s": {"type": "postgers"}}})


if __name__ == "__main__":
    PUBLISHED.write_text(_written(), encoding="utf-8")
