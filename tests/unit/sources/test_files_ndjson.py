from __future__ import annotations

import gzip

import pytest

from limnos.errors import MalformedFile, SchemaDrift


def test_values_keep_their_exact_text(files) -> None:
    files.write(
        "t.ndjson",
        '{"n": 12345678901234567890, "x": 0.10, "s": "0.10", "b": true, "z": null}\n'
        '{"n": -0, "x": 1.0000000000000000000001, "s": "\\u00e9\\n\\"", "l": [1,  2.50], "o": {"a": {"b": 0.10}}}\n'
        '{"x": 1E+5, "s": "", "b": false, "e": [], "f": {}}\n',
    )
    with files.open("t.ndjson") as opened:
        assert [{name: value for name, value in row.items() if value is not None} for row in opened.rows] == [
            {"n": "12345678901234567890", "x": "0.10", "s": "0.10", "b": "true"},
            {"n": "-0", "x": "1.0000000000000000000001", "s": 'é\n"', "l": "[1,  2.50]", "o": '{"a": {"b": 0.10}}'},
            {"x": "1E+5", "s": "", "b": "false", "e": "[]", "f": "{}"},
        ]
        assert opened.extract.schema.names == ["n", "x", "s", "b", "z", "l", "o", "e", "f"]
        assert opened.extract.rows == 3


def test_a_line_that_is_no_object_is_rejected_with_its_number(files) -> None:
    bad = [
        (b"[1]\n", "not a JSON object"),
        (b'{"a": 1\n', "not JSON: Expecting ',' delimiter at character 8"),
        (b'{"a": 1} {"a": 2}\n', "not JSON: Extra data at character 10"),
        (b'{"a": 1, "a": 2}\n', "key a occurs twice"),
        (b'{"a": "\xff"}\n', "not UTF-8: byte 0xff at byte 8 of the line"),
        (b'{"a": "\\ud800"}\n', "half of a surrogate pair"),
        (b'{"a": 01}\n', "not JSON: Expecting ',' delimiter at character 8"),
        (b'{"a": "\x00"}\n', "not JSON: Invalid control character at at character 8"),
        (b'{"a": ' + b"[" * 100_000 + b"\n", "nested too deep"),
    ]
    files.write("t.ndjson", b'\xef\xbb\xbf{"a": 1}\n\n' + b"".join(line for line, _ in bad) + b'{"a": 2}')
    with files.open("t.ndjson") as opened:
        assert opened.rejects == [(f"t.ndjson:{number}", line, reason) for number, (line, reason) in enumerate(bad, 3)]
        assert [row["a"] for row in opened.rows] == ["1", "2"]
        assert opened.origins([1, 0]) == [f"t.ndjson:{len(bad) + 3}", "t.ndjson:1"]


def test_keys_join_over_all_lines_and_files_in_order_of_appearance(files) -> None:
    files.write("1.jsonl.gz", gzip.compress(b'{"b": 1}\n{"a": 2}\n'))
    files.write("2.jsonl", '{"c": "x", "b": 3}\r\n')
    with files.open("*.jsonl*", format="ndjson") as opened:
        assert opened.rows == [{"b": "1", "a": None, "c": None}, {"b": None, "a": "2", "c": None}, {"b": "3", "a": None, "c": "x"}]
        assert opened.origins([0, 2]) == ["1.jsonl.gz:1", "2.jsonl:1"]


def test_types_follow_the_kinds_of_the_values(files) -> None:
    files.write(
        "t.ndjson",
        '{"i": 1, "d": 0.10, "f": 1.5e3, "zip": "10115", "ok": true, "day": "2024-02-29", '
        '"at": "2024-02-29T10:00:00Z", "o": {"a": 1}, "m": 1, "z": null}\n'
        '{"i": 2, "d": 2.25, "f": 2, "zip": "00001", "ok": null, "day": null, "at": "2024-02-29 10:00:00.5+02:00", "o": [1], "m": "x"}\n',
    )
    with files.open("t.ndjson") as opened:
        assert opened.types == {
            "i": "long",
            "d": "decimal(18,2)",
            "f": "double",
            "zip": "string",
            "ok": "boolean",
            "day": "date",
            "at": "timestamptz",
            "o": "string",
            "m": "string",
            "z": "string",
        }


def test_keys_that_differ_by_case_only_are_drift(files) -> None:
    files.write("t.ndjson", '{"id": 1}\n{"ID": 2}\n')
    with files.open("t.ndjson") as opened, pytest.raises(SchemaDrift) as raised:
        _ = opened.extract
    assert raised.value.subject == "t.ndjson:2"


@pytest.mark.parametrize("content", ["", "\n", "1\n"])
def test_a_file_without_an_object_is_an_error(files, content: str) -> None:
    files.write("t.ndjson", content)
    with files.open("t.ndjson") as opened, pytest.raises(MalformedFile):
        _ = opened.extract


def test_many_rows_come_in_order(files) -> None:
    files.write("t.ndjson", "".join(f'{{"n": {n}}}\n' if n % 3 else f'{{"n": {n}, "k{n % 5}": 1}}\n' for n in range(50_000)))
    with files.open("t.ndjson") as opened:
        assert [row["n"] for row in opened.rows] == [str(n) for n in range(50_000)]
        assert opened.origins([49_999]) == ["t.ndjson:50000"]
