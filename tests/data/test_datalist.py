from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from monai_place.data.datalist import (
    Datalist,
    DatalistError,
    load_records,
    read_datalist,
    read_report,
    write_datalist,
)

RECORD = {
    "id": "a",
    "image": "images/a.png",
    "patient_id": "p1",
    "report": "No effusion.",
    "label": [0, 1, None],
    "mask": "masks/a.png",
    "boxes": [[1, 2, 3, 4]],
    "box_classes": ["nodule"],
    "findings": [{"class": "nodule", "mask": "masks/a-0.png"}, {"class": "edema"}],
    "sentences": [{"text": "No effusion.", "finding": None}],
    "scanner": {"kept": True},
}


def write(folder: Path, **content: Any) -> Path:
    path = folder / "datalist.json"
    head = {"name": "n", "version": "1", "source": "s", "image_root": ".", "classes": ["x", "y", "z"]}
    path.write_text(json.dumps({**head, "training": [RECORD], "validation": [], "test": [], **content}))
    return path


def test_a_datalist_survives_reading_and_writing_with_its_unknown_keys(tmp_path: Path) -> None:
    path = write(tmp_path, mask_classes=["lung"], tensorImageSize="2D")
    before = json.loads(path.read_text())
    datalist = read_datalist(path)
    write_datalist(datalist, path)
    assert json.loads(path.read_text()) == before
    assert datalist.splits["training"][0]["scanner"] == {"kept": True}
    assert datalist.extra == {"mask_classes": ["lung"], "tensorImageSize": "2D"}


def test_a_written_datalist_has_one_record_a_line(tmp_path: Path) -> None:
    records = [{"id": str(index), "image": f"{index}.png", "report": "two\nlines"} for index in range(5)]
    path = tmp_path / "datalist.json"
    write_datalist(Datalist("n", "1", "", ".", [], {"test": records}), path)
    assert sum('"id"' in line for line in path.read_text().splitlines()) == 5
    assert read_datalist(path).splits == {"training": [], "validation": [], "test": records}


def test_a_datalist_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(DatalistError, match=r"datalist\.json: test\[0\]: key 'id' is missing"):
        write_datalist(Datalist("n", "1", "", ".", [], {"test": [{"image": "a.png"}]}), path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_datalist(Datalist("n", "1", "", ".", [], {}, extra={"weight": float("nan")}), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["datalist.json"]


def test_a_datalist_that_is_not_there_is_named_without_its_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'gone\.json'$") as error:
        read_datalist(tmp_path / "gone.json")
    assert str(tmp_path) not in str(error.value)


def test_records_iterate_by_split_with_their_index(tmp_path: Path) -> None:
    path = write(tmp_path, test=[{"id": "b", "image": "b.png"}, {"id": "c", "image": "c.png"}])
    found = [(split, index, record["id"]) for split, index, record in read_datalist(path).records()]
    assert found == [("training", 0, "a"), ("test", 0, "b"), ("test", 1, "c")]


def test_root_is_resolved_against_the_folder_of_the_datalist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists").mkdir()
    write(tmp_path / "lists", image_root="../images")
    monkeypatch.chdir(tmp_path)
    datalist = read_datalist("lists/datalist.json")
    monkeypatch.chdir("/")
    assert datalist.root == tmp_path / "images"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"image": 3}, r"training\[0\] \(id 'a'\): key 'image' must be str, got int", id="image"),
        pytest.param({"image": ""}, "key 'image' must not be empty", id="empty image"),
        pytest.param({"id": None}, "key 'id' must be str, got NoneType", id="id"),
        pytest.param({"label": "1"}, "key 'label' must be list or null, got str", id="label"),
        pytest.param({"report": 7}, "key 'report' must be str or null, got int", id="report"),
        pytest.param({"boxes": {}}, "key 'boxes' must be list or null, got dict", id="boxes"),
        pytest.param({"findings": [1]}, "key 'findings' must be a list of objects", id="findings"),
        pytest.param({"patient_id": True}, "key 'patient_id' must be str or null or int, got bool", id="bool"),
    ],
)
def test_a_breach_of_the_schema_names_file_split_record_and_key(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, training=[{**RECORD, **change}])
    with pytest.raises(DatalistError, match=message) as error:
        read_datalist(path)
    assert str(error.value).startswith("datalist.json: training[0]")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("[]", "a datalist is a JSON object, got list", id="list"),
        pytest.param("{}", "none of the splits", id="no split"),
        pytest.param('{"training": {}}', "split 'training' must be a list, got dict", id="split"),
        pytest.param('{"training": [], "classes": "a"}', "key 'classes' must be a list of str, got str", id="classes"),
        pytest.param('{"training": [], "image_root": 1}', "key 'image_root' must be str, got int", id="root"),
        pytest.param('{"training": [', "not JSON: .*line 1, column", id="cut"),
        pytest.param('{"training": [], "x": NaN}', "NaN is not JSON", id="nan"),
        pytest.param('{"training": ["a.png"]}', r"training\[0\]: record must be an object, got str", id="record"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(content)
    with pytest.raises(DatalistError, match=message) as error:
        read_datalist(path)
    assert str(error.value).startswith("list.json")
    assert str(tmp_path) not in str(error.value)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_datalist(path).name == "n"


def test_loaded_records_have_absolute_paths_and_keep_the_rest(tmp_path: Path) -> None:
    (record,) = load_records(write(tmp_path), "training")
    assert record["image"] == os.fspath(tmp_path / "images/a.png")
    assert record["mask"] == os.fspath(tmp_path / "masks/a.png")
    assert record["findings"] == [
        {"class": "nodule", "mask": os.fspath(tmp_path / "masks/a-0.png")},
        {"class": "edema"},
    ]
    for key in ("label", "boxes", "box_classes", "sentences", "report", "scanner"):
        assert record[key] == RECORD[key]


@pytest.mark.parametrize(
    ("relative", "reason"),
    [
        pytest.param("/etc/passwd", "absolute", id="absolute"),
        pytest.param("../secret.png", "'..'", id="parent"),
        pytest.param("images/../../secret.png", "'..'", id="inner parent"),
        pytest.param("images\\..\\..\\secret.png", "'..'", id="windows parent"),
    ],
)
@pytest.mark.parametrize("key", ["image", "mask", "report_path"])
def test_loading_refuses_a_record_whose_path_leaves_the_root(
    tmp_path: Path, key: str, relative: str, reason: str
) -> None:
    path = write(tmp_path, training=[{"id": "a", "image": "a.png", key: relative}])
    with pytest.raises(ValueError, match=rf"datalist\.json: training\[0\] \(id 'a'\): key '{key}'.*{reason}"):
        load_records(path, "training")


def test_loading_refuses_a_finding_whose_mask_is_a_link_out_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/m.png").symlink_to("/etc/hostname")
    record = {"id": "a", "image": "a.png", "findings": [{"mask": "m.png"}]}
    with pytest.raises(ValueError, match=r"key 'findings'.*a link leads out of it"):
        load_records(write(tmp_path, image_root="root", training=[record]), "training")


def test_a_report_file_becomes_the_report(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_bytes(b"\xef\xbb\xbfHeart normal.")
    (tmp_path / "w.txt").write_bytes("Patient\u2019s heart".encode("cp1252"))
    records = [{"id": name, "image": "a.png", "report_path": f"{name}.txt"} for name in "rw"]
    loaded = load_records(write(tmp_path, training=records), "training", require=("image", "report"))
    assert [record["report"] for record in loaded] == ["Heart normal.", "Patient\u2019s heart"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_report_file_is_read_in_each_encoding_that_windows_writes(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding.startswith("utf-16-") else ""
    (tmp_path / "r.txt").write_bytes(f"{mark}Kein Erguß.".encode(encoding))
    assert read_report(tmp_path / "r.txt") == "Kein Erguß."


def test_a_report_file_that_is_missing_is_named_by_record_and_not_by_place(tmp_path: Path) -> None:
    path = write(tmp_path, training=[{"id": "a", "image": "a.png", "report_path": "r.txt"}])
    with pytest.raises(ValueError, match="key 'report_path': cannot read the file: No such file") as error:
        load_records(path, "training")
    assert str(tmp_path) not in str(error.value)


def test_a_missing_required_key_raises_with_the_count(tmp_path: Path) -> None:
    records = [{"id": str(i), "image": "a.png", "report": report} for i, report in enumerate(["x", None, " \n", "y"])]
    path = write(tmp_path, training=[*records, {"id": "none", "image": "a.png"}])
    with pytest.raises(ValueError, match=r"datalist\.json: 3 of 5 records of split 'training' lack 'report'"):
        load_records(path, "training", require=("image", "report"))
    assert len(load_records(path, "training")) == 5


def test_records_that_lack_a_key_are_dropped_and_counted_on_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, training=[RECORD, {"id": "none", "image": "a.png"}])
    with caplog.at_level(logging.WARNING):
        loaded = load_records(path, "training", require="report", drop_missing=True)
    assert [record["id"] for record in loaded] == ["a"]
    assert "1 of 2 records of split 'training' lack 'report': left out" in caplog.text


def test_limit_takes_the_first_records(tmp_path: Path) -> None:
    path = write(tmp_path, training=[{"id": str(index), "image": "a.png"} for index in range(4)])
    assert [record["id"] for record in load_records(path, "training", limit=2)] == ["0", "1"]
    assert load_records(path, "training", limit=0) == []
    with pytest.raises(ValueError, match="limit must be None or at least 0, got -1"):
        load_records(path, "training", limit=-1)


def test_an_unknown_split_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split must be one of .*got 'train'"):
        load_records(write(tmp_path), "train")
