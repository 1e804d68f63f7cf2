from __future__ import annotations

import csv
import gzip
import tracemalloc
from pathlib import Path

import pytest

from monai_place.data.sources.tables import check_counts, find_file, read_table

TEXT = 'id, note ,value\n007,"two\nlines, ""quoted""", 1 \n008,caf\u00e9 \u2019,\n'
ROWS = [
    {"id": "007", "note": 'two\nlines, "quoted"', "value": "1"},
    {"id": "008", "note": "caf\u00e9 \u2019", "value": ""},
]


def rows_of(path: Path, *columns: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(read_table(path, columns, delimiter=delimiter))


@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param("utf-8", id="plain"),
        pytest.param("utf-8-sig", id="BOM"),
        pytest.param("cp1252", id="Windows' encoding"),
        pytest.param("utf-16", id="a spreadsheet's Unicode text"),
    ],
)
@pytest.mark.parametrize("newline", [pytest.param("\n", id="Unix"), pytest.param("\r\n", id="Windows")])
@pytest.mark.parametrize("packed", [pytest.param(False, id="plain file"), pytest.param(True, id="gzip")])
def test_a_table_is_read_in_every_form_it_comes_in(tmp_path: Path, encoding: str, newline: str, packed: bool) -> None:
    data = TEXT.replace("\n", newline).encode(encoding)
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    expected = [{key: value.replace("\n", newline) for key, value in row.items()} for row in ROWS]
    assert rows_of(path, "id", "note", "value") == expected


def test_short_long_blank_and_nul_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n1\n\n2,3,4,5\n\x006,7\x00\n")
    assert rows_of(path, "a") == [{"a": "1", "b": ""}, {"a": "2", "b": "3"}, {"a": "6", "b": "7"}]


def test_old_line_ends_and_other_delimiters(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\tb\r1\t2\r3\t4\r")
    assert rows_of(path, "a", "b", delimiter="\t") == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_bytes_that_no_encoding_knows_do_not_stop_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\n\x81\xff\n")
    assert rows_of(path, "a") == [{"a": "\ufffd\u00ff"}]


def test_an_encoding_is_chosen_by_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\n" + b"plain\n" * 300_000 + b"caf\xe9\n")
    assert rows_of(path, "a")[-1] == {"a": "caf\u00e9"}


def test_a_cell_longer_than_pythons_limit_is_read(tmp_path: Path) -> None:
    csv.field_size_limit(131_072)
    path = tmp_path / "t.csv"
    path.write_text(f"a,{'h' * 200_000}\n{'x' * 200_000},1\n")
    assert len(rows_of(path, "a")[0]["a"]) == 200_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", r"columns \['a', 'b'\] are missing; found 0 others", id="empty file"),
        pytest.param("a,c\n1,2\n", r"columns \['b'\] are missing; found \['a', 'c'\]", id="one missing"),
    ],
)
def test_missing_columns_are_named_with_those_found(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"t\.csv: {message}"):
        rows_of(path, "a", "b")


def test_a_first_line_that_may_be_data_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("DOE^JANE,1970-01-01\n")
    with pytest.raises(ValueError, match="found 2 others: is it a header") as caught:
        rows_of(path, "id")
    assert "DOE" not in str(caught.value)


def test_a_file_that_is_not_there_or_is_damaged_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^t\.csv is not in the source folder$"):
        rows_of(tmp_path / "t.csv", "a")
    data = gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 10_000)
    damaged = bytearray(data)
    damaged[20:30] = b"\xff" * 10
    for name, content in (("cut", data[:-20]), ("no", b"a,b\n"), ("damaged", bytes(damaged))):
        path = tmp_path / f"{name}.csv.gz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^{name}\.csv\.gz: cannot be unpacked"):
            rows_of(path, "a")


def test_a_million_cells_need_the_memory_of_one_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,note\n" + "".join(f"{index},{'x' * 90}\n" for index in range(100_000)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_table(path, ("id", "note"))) == 100_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 9_000_000
    assert peak < 6_000_000


def test_a_file_is_found_by_the_first_of_its_names_packed_or_not(tmp_path: Path) -> None:
    (tmp_path / "old.csv.gz").touch()
    assert find_file(tmp_path, "new.csv", "old.csv", what="the table").name == "old.csv.gz"
    (tmp_path / "old.csv").touch()
    (tmp_path / "new.csv").mkdir()
    assert find_file(tmp_path, "new.csv", "old.csv", what="the table").name == "old.csv"
    with pytest.raises(
        FileNotFoundError, match=r"^the table is not in the source folder: expected 'a' or 'b' \(or with \.gz\)$"
    ):
        find_file(tmp_path, "a", "b", what="the table")


def test_counts_that_differ_are_told_all_at_once_with_the_way_on() -> None:
    expected = {"rows": 3, "images": 2, "patients": 1}
    check_counts("set", expected, {**expected, "other": 9})
    with pytest.raises(
        ValueError, match=r"^set: .*: rows: expected 3, found 4; patients: expected 1, found 0\. "
    ) as caught:
        check_counts("set", expected, {"rows": 4, "images": 2})
    assert "--any-count" in str(caught.value)
    assert "images" not in str(caught.value)
    check_counts("set", expected, {}, check=False)
