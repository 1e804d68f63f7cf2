from __future__ import annotations

from pathlib import Path

import pytest

from monai_place.data.sources.own_table import open_table

KEYS = ("image", "patient_id", "study_id", "report", "split")


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "t.csv").write_bytes(text.encode(encoding))
    return folder


def test_columns_are_found_by_the_names_of_a_datalist(tmp_path: Path) -> None:
    write(tmp_path, "image,patient_id,label:nodule,other\na.png,007,1,x\n")
    table = open_table(tmp_path, "t.csv", None, keys=KEYS, required=["image"])
    (row,) = table.rows
    assert table.columns == {"image": "image", "patient_id": "patient_id", "label:nodule": "label:nodule"}
    assert (table.cell(row, "image"), table.cell(row, "patient_id"), table.cell(row, "report")) == ("a.png", "007", "")
    assert (table.classes, table.label(1, row)) == (["nodule"], [1])


def test_columns_of_other_names_are_mapped_in_their_order(tmp_path: Path) -> None:
    write(tmp_path, "Datei;Befund;Knoten;Erguss\na.png;Zeile 1;0;\n", "cp1252")
    columns = {"image": "Datei", "report": "Befund", "label:effusion": "Erguss", "label:nodule": "Knoten"}
    table = open_table(tmp_path, "t.csv", columns, keys=KEYS, required=["image"], delimiter=";")
    assert table.classes == ["effusion", "nodule"]
    assert table.label(1, table.rows[0]) == [None, 0]


@pytest.mark.parametrize(
    ("cell", "split"), [("Train", "training"), ("val", "validation"), ("TEST", "test"), ("x", None)]
)
def test_names_of_splits(tmp_path: Path, cell: str, split: str | None) -> None:
    table = open_table(write(tmp_path, f"image,split\na,{cell}\n"), "t.csv", None, keys=KEYS, required=["image"])
    assert table.split(table.rows[0]) == split


def test_personal_cells_and_numbers_are_known(tmp_path: Path) -> None:
    write(tmp_path, "image,patient_id,name,born\na,P-1,Doe^Jane,1955-02-03\n")
    table = open_table(tmp_path, "t.csv", None, keys=KEYS, required=["image"], personal=["name", "born"])
    assert {"P-1", "Doe", "Jane", "03.02.1955", "1955-02-03"} <= table.known(table.rows[0])


def test_no_message_quotes_a_cell_or_a_header_that_may_be_one(tmp_path: Path) -> None:
    write(tmp_path, "Doe Jane,a.png,19550203\nRoe Richard,b.png,19560303\n")
    with pytest.raises(ValueError, match=r"t\.csv: columns \['image'\] are missing among the 3 that") as caught:
        open_table(tmp_path, "t.csv", None, keys=KEYS, required=["image"])
    assert "Doe" not in str(caught.value)
    write(tmp_path, "image,label:nodule\na.png,0\nb.png,Doe Jane\n")
    table = open_table(tmp_path, "t.csv", None, keys=KEYS, required=["image"])
    with pytest.raises(ValueError, match=r"t\.csv: row 2, column 'label:nodule': a label is 1, 0 or blank") as caught:
        table.label(2, table.rows[1])
    assert "Doe" not in str(caught.value)


def test_a_table_that_cannot_serve_is_refused(tmp_path: Path) -> None:
    def opened(columns: object = None, table: str = "t.csv", personal: tuple[str, ...] = ()) -> None:
        open_table(tmp_path, table, columns, keys=KEYS, required=["image"], personal=personal)  # type: ignore[arg-type]

    with pytest.raises(FileNotFoundError, match=r"t\.csv is not in the source folder"):
        opened()
    write(tmp_path, "image,report\n")
    with pytest.raises(ValueError, match=r"t\.csv: the table has no row"):
        opened()
    write(tmp_path, "image,report\na,b\n")
    with pytest.raises(ValueError, match=r"columns: unknown keys \['picture'\]; known: \['image', .*'label:CLASS'\]"):
        opened({"picture": "image"})
    with pytest.raises(ValueError, match=r"columns \['file', 'name'\] are missing"):
        opened({"image": "file"}, personal=("name",))
    with pytest.raises(ValueError, match="columns must map keys to columns"):
        opened("image")
    with pytest.raises(ValueError, match="must stay under its root"):
        opened(table="../t.csv")
