from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.radiograph import read_mask
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.verify import verify_datalist
from monai_place.inference import evaluate_place, load_place
from monai_place.inference.collect import fit_location_prior
from tests.support.models import save_tiny_place

COLUMNS = [
    "category_name",
    "label_text",
    "path",
    "x",
    "y",
    "w",
    "h",
    "dicom_id",
    "image_width",
    "image_height",
    "split",
]


def row(image: str, category: str, text: str, box: tuple[int, int, int, int], split: str = "test") -> dict[str, Any]:
    number = {"a": 1, "b": 2, "c": 3, "d": 4}[image[0]]
    path = f"files/p10/p1000000{number}/s5000000{number}/{image}.jpg"
    values = dict(zip("xywh", box, strict=True)) | {"category_name": category, "label_text": text, "path": path}
    return values | {"dicom_id": image, "image_width": 60, "image_height": 40, "split": split}


ROWS = [
    row("a1", "Pneumonia", "Patchy opacity,\n at both bases", (5, 10, 10, 20)),
    row("a1", "Pneumonia", "Patchy opacity, at both bases", (40, 10, 30, 20)),  # beyond the right edge
    row("a1", "Pneumonia", "Patchy opacity, at both bases", (5, 10, 10, 20)),  # twice
    row("a1", "Edema", "mild edema", (10, 5, 40, 30), "val"),
    row("b1", "Cardiomegaly", "the heart is enlarged", (20, 16, 20, 20), "train"),  # its image is half the size
    row("c1", "Pneumothorax", " ", (1, 1, 5, 5)),
    row("c1", "Pneumothorax", "small apical pneumothorax", (1, 1, 0, 5)),
    row("d1", "Pneumothorax", "apical pneumothorax", (1, 1, 5, 5)),  # its image is missing
]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())


def write_images(root: Path) -> None:
    for values, shape in ((ROWS[0], (40, 60)), (ROWS[4], (20, 30)), (ROWS[5], (40, 60))):
        path = root / values["path"]
        path.parent.mkdir(parents=True)
        Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of MIMIC-CXR-JPG with the table put in."""
    root = tmp_path / "mimic"
    write_images(root)
    write_csv(root / "MS_CXR_Local_Alignment_v1.1.0.csv", ROWS)
    return root


def prepare(source: Path, output: Path, **options: Any) -> PrepareReport:
    return prepare_source("ms-cxr", source, output, **{"check_counts": False, **options})


def records_of(report: PrepareReport) -> dict[str, dict[str, Any]]:
    return {record["id"]: record for _, _, record in read_datalist(report.datalist).records()}


def test_the_datalist_is_sound_and_every_row_is_kept_or_counted(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    assert report.splits == {"training": 0, "validation": 0, "test": 3}
    assert report.left_out == {"box without a phrase": 1, "box without an area": 1, "image file missing": 1}
    assert report.notes["boxes that a phrase has twice"] == 1
    assert report.notes["findings with a mask"] == 3
    assert read_datalist(report.datalist).version == "1.1.0"


def test_a_record_is_a_phrase_with_its_boxes_and_its_sentence(source: Path, tmp_path: Path) -> None:
    record = records_of(prepare(source, tmp_path / "out"))["a1_1"]
    assert record == {
        "id": "a1_1",
        "image": "files/p10/p10000001/s50000001/a1.jpg",
        "patient_id": "p10000001",
        "study_id": "s50000001",
        "language": "en",
        "boxes": [[5, 10, 15, 30], [40, 10, 60, 30]],
        "box_classes": ["Pneumonia", "Pneumonia"],
        "findings": [
            {
                "class": "Pneumonia",
                "text": "Patchy opacity, at both bases",
                "box": [5, 10, 60, 30],
                "mask": "masks/a1_1_1.png",
            }
        ],
        "sentences": [
            {"text": "Patchy opacity, at both bases", "finding": 0, "polarity": "positive", "classes": ["Pneumonia"]}
        ],
        "ms_cxr_split": "test",
    }


def test_the_mask_of_a_phrase_holds_its_boxes_and_no_more(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out")
    expected = np.zeros((40, 60))
    expected[10:30, 5:15] = 1
    expected[10:30, 40:60] = 1
    np.testing.assert_array_equal(read_mask(tmp_path / "out/masks/a1_1_1.png"), expected)


def test_boxes_and_masks_follow_an_image_of_another_size(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    record = records_of(report)["b1_1"]
    assert record["boxes"] == [[10, 8, 20, 18]] == [record["findings"][0]["box"]]
    mask = read_mask(tmp_path / "out" / record["findings"][0]["mask"])
    assert mask.shape == (20, 30)
    assert mask[8:18, 10:20].all()
    assert mask.sum() == 100
    assert report.notes["box sets rescaled to their image"] == 1


def test_a_record_can_be_an_image_with_all_its_phrases(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out", per="image")
    assert verify_datalist(report.datalist) == []
    record = records_of(report)["a1"]
    assert [finding["class"] for finding in record["findings"]] == ["Pneumonia", "Edema"]
    assert [sentence["finding"] for sentence in record["sentences"]] == [0, 1]
    assert len({finding["mask"] for finding in record["findings"]}) == 2


def test_its_own_splits_can_be_chosen(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out", splits=["val", "train"])
    assert records_of(report).keys() == {"a1_1", "b1_1"}
    assert report.left_out["phrase of split 'test' not asked for"] == 2  # a1's and d1's


def test_a_phrase_of_a_split_of_another_name_stays_where_all_are_asked_for(source: Path, tmp_path: Path) -> None:
    write_csv(source / "MS_CXR_Local_Alignment_v1.1.0.csv", [row("a1", "Edema", "edema", (1, 1, 5, 5), "validate")])
    assert records_of(prepare(source, tmp_path / "out"))["a1_1"]["ms_cxr_split"] == "validate"
    with pytest.raises(
        ValueError, match=r"no usable record; left out: {\"phrase of split 'validate' not asked for\": 1}"
    ):
        prepare(source, tmp_path / "none", splits="val")


@pytest.mark.parametrize("per", ["phrase", "image"])
@pytest.mark.parametrize("box", [(60, 5, 9, 9), (-20, 5, 20, 9), (5, 40, 9, 9), (5, -9, 9, 9), (5, 5, 0.3, 9)], ids=str)
def test_a_phrase_whose_boxes_hold_no_pixel_of_the_image_is_left_out(
    source: Path, tmp_path: Path, box: tuple[int, int, int, int], per: str
) -> None:
    rows = [
        row("a1", "Edema", "edema", (1, 1, 5, 5)),
        row("a1", "Edema", "edema", box),
        row("a1", "Pneumonia", "x", box),
    ]
    write_csv(source / "MS_CXR_Local_Alignment_v1.1.0.csv", rows)
    report = prepare(source, tmp_path / "out", per=per)
    assert verify_datalist(report.datalist) == []
    assert report.left_out == {"box outside its image": 2}
    (record,) = records_of(report).values()
    assert [finding["text"] for finding in record["findings"]] == ["edema"]
    assert record["boxes"] == [[1, 1, 6, 6]]


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_a_box_that_is_not_finite_is_an_error_that_names_the_row(text: str, source: Path, tmp_path: Path) -> None:
    for column in ("x", "image_width"):
        write_csv(source / "MS_CXR_Local_Alignment_v1.1.0.csv", [ROWS[0], ROWS[3] | {column: text}])
        with pytest.raises(ValueError, match=r"row 2: x, y, w, h, image_width, image_height must be numbers"):
            prepare(source, tmp_path / "out")


def test_the_coco_file_says_the_same_as_the_table(source: Path, tmp_path: Path) -> None:
    names = sorted({values["category_name"] for values in ROWS})
    paths = sorted({values["path"] for values in ROWS})
    coco = {
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "images": [
            {"id": number, "file_name": Path(path).name, "path": path, "width": 60, "height": 40}
            for number, path in enumerate(paths)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": paths.index(values["path"]),
                "category_id": names.index(values["category_name"]),
                "bbox": [values[key] for key in "xywh"],
                "label_text": values["label_text"],
                "split": values["split"],
            }
            for number, values in enumerate(ROWS)
        ],
    }
    table = records_of(prepare(source, tmp_path / "table"))
    (source / "ms-cxr").mkdir()
    (source / "ms-cxr/MS_CXR_Local_Alignment_v1.0.0.json").write_text(json.dumps(coco))
    named = prepare(source, tmp_path / "named", table="ms-cxr/MS_CXR_Local_Alignment_v1.0.0.json")
    (source / "MS_CXR_Local_Alignment_v1.1.0.csv").unlink()
    assert records_of(prepare(source, tmp_path / "coco")) == records_of(named) == table
    (source / "ms-cxr/MS_CXR_Local_Alignment_v1.0.0.json").write_text('{"categories": []}')
    with pytest.raises(ValueError, match=r"v1\.0\.0\.json: not MS-CXR's COCO boxes: KeyError: 'images'"):
        prepare(source, tmp_path / "broken")


def test_images_may_lie_in_a_folder_below_and_the_table_elsewhere(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "above"
    root.mkdir()
    source.rename(root / "mimic-cxr-jpg")
    (root / "mimic-cxr-jpg/MS_CXR_Local_Alignment_v1.1.0.csv").rename(tmp_path / "boxes.csv")
    report = prepare(root, tmp_path / "out", images="mimic-cxr-jpg", table=str(tmp_path / "boxes.csv"))
    assert records_of(report)["a1_1"]["image"].startswith("mimic-cxr-jpg/files/")
    with pytest.raises(FileNotFoundError, match="MS-CXR's table is not in the source folder"):
        prepare(root, tmp_path / "none")


def test_the_evaluation_grounds_the_phrases_beside_the_location_prior(source: Path, tmp_path: Path) -> None:
    records = load_records(prepare(source, tmp_path / "out").datalist, "test")
    save_tiny_place(tmp_path / "model")
    prior = fit_location_prior(records)
    found = evaluate_place(load_place(tmp_path / "model"), records, prior=prior, bootstrap=5)
    assert found["grounding"]["sentences"] == 3
    assert set(found["grounding"]["pointing"]) == {"model", "chance", "prior"}
    assert set(found["grounding"]["pointing_by_finding"]) == {"Pneumonia", "Edema", "Cardiomegaly"}


def test_another_number_of_phrases_and_an_unknown_category_are_errors(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="phrases: expected 1162, found 4"):
        prepare(source, tmp_path / "out", check_counts=True)
    write_csv(source / "MS_CXR_Local_Alignment_v1.1.0.csv", [ROWS[0] | {"category_name": "Nodule"}])
    with pytest.raises(ValueError, match=r"v1\.1\.0\.csv: row 1: category_name must be one of .*'Nodule'"):
        prepare(source, tmp_path / "out")
    write_csv(source / "MS_CXR_Local_Alignment_v1.1.0.csv", [ROWS[0] | {"w": "wide"}])
    with pytest.raises(ValueError, match=r"row 1: x, y, w, h, image_width, image_height must be numbers"):
        prepare(source, tmp_path / "out")
    with pytest.raises(ValueError, match=r"per must be one of \['phrase', 'image'\]"):
        prepare(source, tmp_path / "out", per="study")
