from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limnos.errors import ProjectInvalid
from limnos.project.nodes import masked, parse_nodes, plain, read_nodes


@pytest.mark.parametrize(
    "word", ["no", "on", "off", "yes", "y", "NO", "2013-01-01", "12:30", "1_000", "010", "0x1f", "1e", ".", "nan", "-"]
)
def test_words_that_yaml_1_1_would_turn_into_something_else_stay_texts(word: str) -> None:
    text = f"answer: {word!r}" if word == "-" else f"answer: {word}"
    assert plain(parse_nodes(text, "f")) == {"answer": word}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("False", False),
        ("5", 5),
        ("-5", -5),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("~", None),
        ("", None),
        ('"5"', "5"),
    ],
)
def test_scalars_mean_what_the_core_schema_of_yaml_1_2_says(word: str, value: object) -> None:
    found = plain(parse_nodes(f"answer: {word}", "f"))["answer"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: 1\nb: 2\na: 3", 3, "given twice"),
        ("a:\n  b: 1\n  b: 2", 3, "given twice"),
        ("a: 1\nb:\n\tc: 1", 3, "not YAML"),
        ("a: [1\nb: 2]: 3\nc", 2, "not YAML"),
        ("a: 1\n  b: 2", 2, "not YAML"),
        ("a: &x [1, *x]", 1, "contains itself"),
        ("a: &x\n  b: *x", 2, "contains itself"),
        ("a: *x", 1, "has no anchor"),
        ("a: !!python/object:os.system x", 1, "tag"),
        ("a: !env X", 1, "tag"),
        ("a: 1\n<<: {b: 1}", 2, "merge key"),
        ("a: 1\n---\nb: 1", 2, "more than one document"),
        ("", 0, "empty"),
        ("# nothing", 0, "empty"),
        ("? [a]\n: 1", 1, "key"),
        ("a: 1\nb: \x07", 2, "not YAML"),
        ("a: " + "[" * 100_000, 1, "nested too deeply"),
    ],
)
def test_what_is_wrong_with_the_yaml_is_said_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        parse_nodes(text, "limnos.yml")
    assert what in caught.value.what
    assert caught.value.subject == (f"limnos.yml:{line}" if line else "limnos.yml")
    assert caught.value.hint


def test_a_tab_is_called_a_tab() -> None:
    with pytest.raises(ProjectInvalid) as caught:
        parse_nodes("tables:\n\tshop.orders: {}", "limnos.yml")
    assert caught.value.seen == "a tab before the first word"


def test_aliases_that_multiply_are_refused_before_they_are_followed() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    with pytest.raises(ProjectInvalid, match="too large once its aliases are followed"):
        parse_nodes("\n".join(lines), "limnos.yml")


def test_an_alias_is_read_where_it_is_harmless() -> None:
    assert plain(parse_nodes("a: &k [x, y]\nb: *k", "f")) == {"a": ["x", "y"], "b": ["x", "y"]}


def test_a_file_that_is_too_large_or_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "limnos.yml"
    path.write_bytes(b"a: 1\nb: \xff\xfe")
    with pytest.raises(ProjectInvalid, match="not UTF-8") as caught:
        read_nodes(path, "limnos.yml")
    assert caught.value.subject == "limnos.yml:2"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ProjectInvalid, match="too large"):
        read_nodes(path, "limnos.yml")


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match="cannot be read") as caught:
        read_nodes(tmp_path, "limnos.yml")
    assert (caught.value.seen, caught.value.hint) == ("Is a directory", "ls -l limnos.yml")


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "limnos.yml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: x\r\n")
    assert plain(read_nodes(path, "limnos.yml")) == {"a": 1, "b": "x"}


def test_places_are_those_of_the_keys() -> None:
    node = parse_nodes("a:\n  b:\n    - 1\n    - 2", "f")
    assert [str(part) for part in (node.entries["a"].place, node.entries["a"].entries["b"].items[1].place)] == ["f:1", "f:4"]  # type: ignore[union-attr]


@given(st.text())
@example("\x00")
@example("\ufeff")
@example("%YAML 9.9\n---\na")
@example("a: \u2028\tb")
def test_any_text_is_read_or_refused_in_our_words(text: str) -> None:
    with contextlib.suppress(ProjectInvalid):
        assert parse_nodes(text, "f").place.file == "f"


_TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co", "Zl", "Zp"], exclude_characters="\ufeff"))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_json_is_read_as_what_it_is(value: object) -> None:
    assert plain(parse_nodes(json.dumps(value, ensure_ascii=False), "f")) == value


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ana:hunter2@db/shop",
        "x://:hunter2@db",
        "host=db password=hunter2 user=ana",
        "x://a:hunter2:b@db",
        "x://a:hun/hunter2@db",
    ],
)
def test_a_password_in_an_address_is_masked(text: str) -> None:
    assert "hunter2" not in masked(text)
