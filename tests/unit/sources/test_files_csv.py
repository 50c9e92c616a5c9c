from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from limnos.errors import MalformedFile, ProjectInvalid, SchemaDrift, SourceChanged, SourceUnreachable, Unsupported

HEAD = "a,b,c\n"


def rows(*values: tuple[str | None, ...]) -> list[dict[str, str | None]]:
    return [dict(zip("abc", row, strict=True)) for row in values]


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b,c\n1,2,3\n4,5,6", rows(("1", "2", "3"), ("4", "5", "6"))),
        ("a,b,c\r\n1,2,3\r\n", rows(("1", "2", "3"))),
        ("a,b,c\r1,2,3\r", rows(("1", "2", "3"))),
        ("\ufeffa,b,c\n1,2,3\n", rows(("1", "2", "3"))),
        ('\ufeff"a","b",c\n1,2,3\n', rows(("1", "2", "3"))),
        ("a,b,c\n", []),
        ("a,b,c", []),
        ("a,b,c\n\n1,2,3\n\n\n4,5,6\n\n", rows(("1", "2", "3"), ("4", "5", "6"))),
        ("\n\na,b,c\n1,2,3\n", rows(("1", "2", "3"))),
        ('a,b,c\n1,"x\ny",3\n', rows(("1", "x\ny", "3"))),
        ('a,b,c\n1,"say ""hi""",""""\n', rows(("1", 'say "hi"', '"'))),
        ("a,b,c\n1,\U0001f600,日本\n", rows(("1", "\U0001f600", "日本"))),
        ("a,b,c\n12345678901234567890123,007, x \n", rows(("12345678901234567890123", "007", " x "))),
        ('a,b,c\n1,"",\n', rows(("1", "", None))),
        ("a,b,c\n1,2,3,\n", rows(("1", "2", "3"))),
    ],
)
def test_a_well_formed_file_is_read_as_it_stands(csv_of, content: str, expected: list[dict[str, str | None]]) -> None:
    with csv_of(content) as opened:
        assert opened.rows == expected
        assert (opened.extract.rows, opened.extract.rejected) == (len(expected), 0)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"1,2\n", "too few fields: 2 of 3"),
        (b"1,2,3,4\n", "too many fields: 4 of 3"),
        (b'1,"x"y,3\n', "text after a closing quote in field 2"),
        (b'1,"x" "y",3\n', "text after a closing quote in field 2"),
        (b'1,"x,3\n', "quote without an end in field 2"),
        (b"1,\xff,3\n", "not UTF-8: byte 0xff at byte 3 of the record"),
        (b"1,a\0b,3\n", "NUL character at byte 4 of the record"),
    ],
)
def test_a_broken_record_is_rejected_with_its_bytes_and_the_rows_around_it_stay(csv_of, bad: bytes, reason: str) -> None:
    with csv_of(HEAD.encode() + b"1,2,3\n" + bad + b"4,5,6\n7,8,9\n") as opened:
        assert opened.rows == rows(("1", "2", "3"), ("4", "5", "6"), ("7", "8", "9"))
        assert opened.rejects == [("t.csv:3", bad, reason)]
        assert opened.extract.read == 4
        assert opened.origins([0, 1, 2]) == ["t.csv:2", "t.csv:4", "t.csv:5"]


def test_a_quote_without_an_end_in_the_last_record_loses_nothing(csv_of) -> None:
    with csv_of(HEAD + '1,2,3\n4,5,"6') as opened:
        assert opened.rows == rows(("1", "2", "3"))
        assert opened.rejects == [("t.csv:3", b'4,5,"6', "quote without an end in field 3")]


def test_mixed_line_ends_all_end_a_record(csv_of) -> None:
    with csv_of("a,b,c\n1,2,3\r\n4,5,6\r7,8,9\n") as opened:
        assert opened.rows == rows(("1", "2", "3"), ("4", "5", "6"), ("7", "8", "9"))
        assert opened.extract.rejected == 0


def test_the_engine_is_not_believed_where_it_counts_other_rows_than_there_are(csv_of) -> None:
    with csv_of("a\n\r\n1\n") as opened:
        assert [row["a"] for row in opened.rows] == [None, "1"]


def test_a_name_that_looks_like_a_pattern_is_that_file_only(files) -> None:
    files.write("a*.csv", "a\n1\n")
    files.write("ab.csv", "a\n2\n")
    with files.open("a*.csv") as opened:
        assert [row["a"] for row in opened.rows] == ["1"]
    with files.open("*.csv") as opened:
        assert [row["a"] for row in opened.rows] == ["1", "2"]


def test_a_byte_order_mark_inside_the_file_is_text(csv_of) -> None:
    with csv_of(HEAD + "short\n\ufeff1,2,3\n") as opened:
        assert opened.rows == rows(("\ufeff1", "2", "3"))


def test_only_the_broken_file_of_many_takes_the_slow_way_and_the_order_stays(files) -> None:
    files.write("in/1.csv", "a,b\n1,2\n")
    files.write("in/2.csv", "a,b\n3\n4,5\n")
    files.write("in/3.csv", "b,a\n7,6\n")
    files.write("in/deep/4.csv", "a,b\n8,9\n")
    with files.open("in/**/*.csv") as opened:
        assert [tuple(row.values()) for row in opened.rows] == [("1", "2"), ("4", "5"), ("6", "7"), ("8", "9")]
        assert opened.origins([3, 0, 2, 1]) == ["in/deep/4.csv:2", "in/1.csv:2", "in/3.csv:2", "in/2.csv:3"]
        assert opened.rejects == [("in/2.csv:2", b"3\n", "too few fields: 1 of 2")]


def test_origins_count_physical_lines_through_quoted_line_ends_and_blank_lines(csv_of) -> None:
    with csv_of('a,b,c\n\n1,"x\n\ny",3\r\n\r\n4,5,6\r\n') as opened:
        assert opened.extract.rows == 2
        assert opened.origins([0, 1]) == ["t.csv:3", "t.csv:7"]


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize(
    ("nulls", "expected"),
    [([""], ("NA", "NA", None)), (["NA", ""], (None, "NA", None)), (["NA"], (None, "NA", "")), ([], ("NA", "NA", ""))],
)
def test_only_what_is_not_quoted_is_null(csv_of, nulls: list[str], expected: tuple[str | None, ...], *, broken: bool) -> None:
    with csv_of(HEAD + 'NA,"NA",\n' + ("short\n" if broken else ""), null_values=nulls) as opened:
        assert opened.rows == rows(expected)
        assert opened.extract.rejected == broken


@pytest.mark.parametrize(("nulls", "expected"), [([""], [None, "1", None]), (["NA"], ["1"])])
def test_in_a_file_of_one_column_a_blank_line_is_a_row_where_empty_means_null(csv_of, nulls: list[str], expected: list[str | None]) -> None:
    with csv_of("a\n\n1\n\n", null_values=nulls) as opened:
        assert [row["a"] for row in opened.rows] == expected


@pytest.mark.parametrize(("name", "pack"), [("t.csv.gz", gzip.compress), ("t.csv.zst", zstd)])
@pytest.mark.parametrize("broken", [False, True])
def test_compressed_files_are_read(files, name: str, pack, *, broken: bool) -> None:
    files.write(name, pack(HEAD.encode() + b"1,2,3\n" + (b"4\n" if broken else b"")))
    with files.open(name) as opened:
        assert opened.rows == rows(("1", "2", "3"))
        assert opened.extract.rejected == broken


@pytest.mark.parametrize(("name", "pack"), [("t.csv.gz", gzip.compress), ("t.csv.zst", zstd)])
def test_a_compressed_file_cut_in_half_is_an_error(files, name: str, pack) -> None:
    content = pack((HEAD + "".join(f"{n},{n * n},{n % 7}\n" for n in range(50_000))).encode())
    files.write(name, content[: len(content) // 2])
    with files.open(name) as opened, pytest.raises(MalformedFile) as raised:
        _ = opened.extract
    assert raised.value.subject == name
    assert "Truncated" in raised.value.seen


def test_a_gzip_file_with_a_wrong_checksum_is_an_error(files) -> None:
    content = gzip.compress(HEAD.encode() + b"1,2,3\n")
    files.write("t.csv.gz", content[:-8] + b"\0\0\0\0" + content[-4:])
    with files.open("t.csv.gz") as opened, pytest.raises(MalformedFile):
        _ = opened.extract


@pytest.mark.parametrize(
    ("content", "what", "subject"),
    [
        ("", "A file is empty", "t.csv"),
        ("\n\n", "A file is empty", "t.csv"),
        ("a,b,a\n1,2,3\n", "Column a is named twice", "t.csv:1"),
        ("a,B,b\n1,2,3\n", "Column b is named twice", "t.csv:1"),
        ("a,,c\n1,2,3\n", "Column 2 has no name", "t.csv:1"),
        ('a,"b\n', "The header cannot be read", "t.csv:1"),
    ],
)
def test_a_file_without_a_usable_header_is_an_error(csv_of, content: str, what: str, subject: str) -> None:
    with csv_of(content) as opened, pytest.raises(MalformedFile) as raised:
        _ = opened.extract
    assert (raised.value.what, raised.value.subject) == (what, subject)


def test_a_column_renamed_between_files_is_drift_that_names_both(files) -> None:
    files.write("1.csv", "id,price\n1,2\n")
    files.write("2.csv", "id,prices\n1,2\n")
    with files.open("*.csv") as opened, pytest.raises(SchemaDrift) as raised:
        _ = opened.extract
    assert raised.value.what == "2.csv has no column price"
    assert "prices" in raised.value.seen
    assert "1.csv" in raised.value.expected


@pytest.mark.parametrize(
    ("second", "lacking"), [("id\n1\n", "2.csv has no column price"), ("id,price,more\n1,2,3\n", "1.csv has no column more")]
)
def test_a_column_dropped_or_added_between_files_is_drift(files, second: str, lacking: str) -> None:
    files.write("1.csv", "id,price\n1,2\n")
    files.write("2.csv", second)
    with files.open("*.csv") as opened, pytest.raises(SchemaDrift) as raised:
        _ = opened.extract
    assert raised.value.what == lacking


def test_without_a_header_columns_are_numbered(csv_of) -> None:
    with csv_of("1,2\n3,4\n", header=False) as opened:
        assert opened.rows == [{"column_1": "1", "column_2": "2"}, {"column_1": "3", "column_2": "4"}]
        assert opened.origins([1]) == ["t.csv:2"]


def test_another_delimiter_and_quote_are_honoured(csv_of) -> None:
    with csv_of("a;b\n'x;y';it\"s\n", delimiter=";", quote="'") as opened:
        assert opened.rows == [{"a": "x;y", "b": 'it"s'}]


def test_hostile_names_of_files_directories_and_columns_stay_names(files) -> None:
    name = "y=1/it's [x]*?.csv"
    files.write(name, '"a""; DROP","x\'y"\n1,2\n')
    with files.open("y=1/*.csv") as opened:
        assert opened.rows == [{'a"; DROP': "1", "x'y": "2"}]
        assert opened.origins([0]) == [f"{name}:2"]
    with files.open(name) as opened:
        assert opened.extract.rows == 1


def test_a_path_that_matches_nothing_says_what_there_is(files) -> None:
    files.write("in/t.csv", HEAD)
    with pytest.raises(SourceUnreachable) as raised, files.open("in/*.tsv", format="csv"):
        pass
    assert raised.value.subject == "in/*.tsv"
    assert "with 1 entries" in raised.value.seen
    (finding,) = files.source("in/*.tsv", format="csv").findings()
    assert not finding.ok
    assert finding.hint


def test_a_file_that_changes_or_vanishes_while_it_is_read_is_an_error(files) -> None:
    path: Path = files.write("t.csv", HEAD + "1,2,3\n")
    with files.open("t.csv") as opened:
        assert opened.extract.rows == 1
        path.write_text(HEAD + "1,2,3\n4,5,6\n")
        with pytest.raises(SourceChanged):
            opened.reading.position("t")
        path.unlink()
        with pytest.raises(SourceChanged):
            opened.reading.position("t")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"encoding": "latin-1"}, Unsupported),
        ({"delimiter": ",,"}, ProjectInvalid),
        ({"delimiter": "\n"}, ProjectInvalid),
        ({"quote": ","}, ProjectInvalid),
        ({"null_values": ['"']}, ProjectInvalid),
        ({"format": "xml"}, ProjectInvalid),
        ({"compression": "bz2"}, ProjectInvalid),
    ],
)
def test_an_option_that_does_not_fit_is_refused(files, options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        files.source("t.csv", **options)


def test_a_record_too_long_for_the_engine_is_read_all_the_same(csv_of) -> None:
    long = "x" * 3_000_000
    with csv_of(f'a,b\n1,"{long}\n"\n2,y\n') as opened:
        assert [len(row["b"]) for row in opened.rows] == [3_000_001, 1]


def test_a_line_beyond_all_bounds_is_rejected_in_pieces(csv_of) -> None:
    with csv_of("a,b\n1,2\n" + "x" * 40_000_000 + "\n3,4\n") as opened:
        assert [row["a"] for row in opened.rows] == ["1", "3"]
        assert {origin for origin, _, _ in opened.rejects} == {"t.csv:3"}
        assert max(len(raw) for _, raw, _ in opened.rejects) <= 21_000_000
        assert b"".join(raw for _, raw, _ in opened.rejects) == b"x" * 40_000_000 + b"\n"
        assert opened.origins([1]) == ["t.csv:4"]


def test_a_large_file_keeps_its_order_and_origins(csv_of) -> None:
    with csv_of("a,b\n" + "".join(f'{n},"x\n{n}"\n' for n in range(400_000))) as opened:
        assert [row["a"] for row in opened.rows[::40_000]] == [str(n) for n in range(0, 400_000, 40_000)]
        assert opened.origins([399_999, 0]) == ["t.csv:800000", "t.csv:2"]
