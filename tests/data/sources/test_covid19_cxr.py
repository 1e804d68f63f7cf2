from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.datalist import SPLITS, load_records, read_datalist
from monai_place.data.sources import SOURCES, PrepareReport, prepare_source
from monai_place.data.verify import verify_datalist

COLUMNS = ["patientid", "offset", "finding", "view", "modality", "folder", "filename", "license", "clinical_notes"]


def row(filename: str, **changes: str) -> dict[str, str]:
    values = {"patientid": filename, "offset": "0", "finding": "COVID-19", "view": "PA", "modality": "X-ray"}
    values |= {"folder": "images", "filename": filename, "license": "CC BY", "clinical_notes": f"Notes of {filename}."}
    return values | changes


ROWS = [
    *(row(f"p{index}.png", patientid=str(index // 2)) for index in range(16)),
    row("masked.jpg", finding="Pneumonia/Viral/COVID-19", view="AP Supine", patientid="m"),
    row("resized.png", finding="No Finding", patientid="r"),
    row("quiet.png", clinical_notes="", finding="Pneumonia", patientid="q"),
    row("twin.png", patientid="t1", finding="Streptococcus"),
    row("twin.png", patientid="t2", finding="Streptococcus", clinical_notes="Second opinion."),
    row("lateral.png", view="L", patientid="m"),
    row("slice.png", modality="CT", view="Axial"),
    row("volume.nii.gz", modality="CT", folder="volumes"),
    row("missing.png"),
    row("broken.png"),
    row("../outside.png"),
]


def table(rows: list[dict[str, str]], newline: str = "\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator=newline)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree in the layout of the collection, with its irregularities."""
    root = tmp_path / "source"
    masks = root / "annotations" / "lungVAE-masks"
    masks.mkdir(parents=True)
    (root / "images").mkdir()
    random = np.random.default_rng(0)
    names = {values["filename"] for values in ROWS} - {"missing.png", "broken.png", "../outside.png", "volume.nii.gz"}
    for name in sorted(names | {"../outside.png"}):
        Image.fromarray(random.integers(0, 256, (40, 60), dtype=np.uint8)).save(root / "images" / name)
    (root / "images" / "broken.png").write_text("not a picture")
    lung = np.zeros((40, 60), dtype=np.uint8)
    lung[10:30, 5:25] = 255
    Image.fromarray(lung).save(masks / "masked_mask.png")
    Image.fromarray(lung[::2, ::2].copy()).save(masks / "resized_mask.png")
    coco = {
        "images": [
            {"id": 7, "file_name": "masked.jpg", "height": 40, "width": 60},
            {"id": 8, "file_name": "resized.png", "height": 80, "width": 120},
            {"id": 9, "file_name": "elsewhere.png", "height": 8, "width": 12},
        ],
        "categories": [{"id": 1, "name": "Right Lung"}, {"id": 2, "name": "Left Lung"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [5, 10, 20, 20.5]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [40, 10, 30, 20]},  # beyond the right edge
            {"id": 3, "image_id": 8, "category_id": 2, "bbox": [20, 40, 60, 20]},
        ],
    }
    boxes = root / "annotations" / "imageannotation_ai_lung_bounding_boxes.json"
    boxes.write_text(json.dumps(coco))
    (root / "metadata.csv").write_text(table(ROWS))
    return root


def prepare_covid19_cxr(source: Path, output: Path, **options: Any) -> Path:
    return prepare_source("covid19-cxr", source, output, **options).datalist


def records_of(path: Path) -> dict[str, dict[str, Any]]:
    return {record["id"]: record for _, _, record in read_datalist(path).records()}


@pytest.fixture
def prepared(source: Path, tmp_path: Path) -> tuple[dict[str, dict[str, Any]], PrepareReport, Path]:
    report = prepare_source("covid19-cxr", source, tmp_path / "out")
    return records_of(report.datalist), report, report.datalist


def test_the_result_passes_verification_and_lies_under_one_root(prepared: Any, tmp_path: Path) -> None:
    _, _, path = prepared
    assert path == tmp_path / "out" / "datalist.json"
    assert verify_datalist(path) == []
    assert read_datalist(path).root == tmp_path / "out"


def test_every_row_is_kept_or_counted_with_its_reason(prepared: Any) -> None:
    records, report, _ = prepared
    assert len(records) == 21 == sum(report.splits.values())
    assert report.left_out == {
        "not an X-ray": 2,
        "view 'L' not asked for": 1,
        "image file missing": 1,
        "image file unreadable": 1,
        "path outside the source": 1,
    }
    assert report.notes == {
        "records without a report": 1,
        "masks resized to their image": 1,
        "records with a mask": 2,
        "box sets rescaled to their image": 1,
        "records with boxes": 2,
        "records that share their image with another": 1,
    }
    assert "1  left out: image file missing" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["datalist"] == "datalist.json"


def test_notes_are_the_reports_and_a_row_without_has_none(prepared: Any) -> None:
    records, _, _ = prepared
    assert records["p3.png"]["report"] == "Notes of p3.png."
    assert "report" not in records["quiet.png"]
    assert records["masked.jpg"]["view"] == "AP Supine"
    assert records["masked.jpg"]["license"] == "CC BY"


def test_images_are_copied_byte_by_byte_and_the_source_is_left_alone(source: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    path = prepare_covid19_cxr(source, tmp_path / "out")
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    for record in load_records(path, "training"):
        name = Path(record["image"]).name
        assert Path(record["image"]).read_bytes() == (source / "images" / name).read_bytes()
    assert not list((tmp_path / "out").rglob("*.tmp*"))


def test_masks_hold_0_and_1_at_the_size_of_their_image(prepared: Any) -> None:
    records, _, path = prepared
    lung = np.zeros((40, 60))
    lung[10:30, 5:25] = 1
    mask = np.asarray(Image.open(path.parent / records["masked.jpg"]["mask"]))
    np.testing.assert_array_equal(mask, lung)
    resized = np.asarray(Image.open(path.parent / records["resized.png"]["mask"]))
    assert resized.shape == (40, 60)
    assert set(np.unique(resized)) == {0, 1}
    assert (resized != lung).mean() < 0.02
    assert read_datalist(path).extra["mask_classes"] == ["lung"]


def test_boxes_are_in_pixels_of_the_image_and_inside_it(prepared: Any) -> None:
    records, _, _ = prepared
    assert records["masked.jpg"]["boxes"] == [[5, 10, 25, 30.5], [40, 10, 60, 30]]
    assert records["masked.jpg"]["box_classes"] == ["right lung", "left lung"]
    assert records["resized.png"]["boxes"] == [[10, 20, 40, 30]]
    assert "boxes" not in records["quiet.png"]


def test_findings_become_labels_with_what_is_unknown_as_null(prepared: Any) -> None:
    records, _, path = prepared
    classes = read_datalist(path).classes
    assert classes == [
        "No Finding",
        "Pneumonia",
        "Viral Pneumonia",
        "COVID-19",
        "Bacterial Pneumonia",
        "Streptococcus",
    ]
    assert records["masked.jpg"]["label"] == records["p0.png"]["label"] == [0, 1, 1, 1, 0, 0]
    assert records["resized.png"]["label"] == [1, 0, 0, 0, 0, 0]
    assert records["quiet.png"]["label"] == [0, 1, None, None, None, None]
    assert records["twin.png"]["label"] == [0, 1, 0, 0, 1, 1]


def test_given_classes_are_kept_in_their_order(source: Path, tmp_path: Path) -> None:
    path = prepare_covid19_cxr(source, tmp_path / "out", classes=["COVID-19", "ARDS"])
    assert read_datalist(path).classes == ["COVID-19", "ARDS"]
    assert records_of(path)["masked.jpg"]["label"] == [1, 0]


def test_no_patient_is_in_two_splits_and_rows_of_one_image_are_one_patient(prepared: Any) -> None:
    records, report, path = prepared
    split_of: dict[str, set[str]] = {}
    for split, _, record in read_datalist(path).records():
        split_of.setdefault(record["patient_id"], set()).add(split)
    assert all(len(splits) == 1 for splits in split_of.values())
    assert records["twin.png"]["patient_id"] == records["twin.png#2"]["patient_id"]
    assert records["twin.png#2"]["report"] == "Second opinion."
    assert len(split_of) == 12
    assert [report.splits[split] / 21 for split in SPLITS] == pytest.approx([0.7, 0.1, 0.2], abs=0.06)


def test_ids_of_patients_are_opaque(prepared: Any) -> None:
    records, _, _ = prepared
    for record in records.values():
        assert record["patient_id"][0] == "p"
        assert len(record["patient_id"]) == 13
    assert records["p0.png"]["patient_id"] == records["p1.png"]["patient_id"]
    assert records["p0.png"]["patient_id"] != records["p2.png"]["patient_id"]


def test_the_same_seed_gives_the_same_file_and_another_seed_other_splits(source: Path, tmp_path: Path) -> None:
    texts = [
        prepare_covid19_cxr(source, tmp_path / name, seed=seed).read_text()
        for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    ]
    assert texts[0] == texts[1] != texts[2]


def test_lateral_views_come_on_request(source: Path, tmp_path: Path) -> None:
    records = records_of(prepare_covid19_cxr(source, tmp_path / "out", views=("PA", "L")))
    assert "lateral.png" in records
    assert "masked.jpg" not in records
    assert set(records_of(prepare_covid19_cxr(source, tmp_path / "only", views="L"))) == {"lateral.png"}


NOTE = 'Patient\u2019s fever, 38.5 \u00b0C.\r\nSecond line, "quoted"; caf\u00e9 \u00e2\u20ac\u2122 mojibake.'


@pytest.mark.parametrize(
    ("encoding", "newline"),
    [
        pytest.param("utf-8", "\n", id="plain"),
        pytest.param("utf-8-sig", "\n", id="BOM"),
        pytest.param("utf-8", "\r\n", id="Windows lines"),
        pytest.param("utf-8-sig", "\r\n", id="BOM and Windows lines"),
        pytest.param("cp1252", "\r\n", id="Windows encoding"),
    ],
)
def test_the_table_is_read_in_every_encoding_it_comes_in_and_no_note_is_lost(
    source: Path, tmp_path: Path, encoding: str, newline: str
) -> None:
    rows = [row("p0.png", clinical_notes=NOTE), *ROWS[1:4]]
    (source / "metadata.csv").write_bytes(table(rows, newline).encode(encoding))
    records = records_of(prepare_covid19_cxr(source, tmp_path / "out"))
    assert len(records) == 4
    assert records["p0.png"]["report"] == NOTE


def test_short_and_long_rows_do_not_stop_it(source: Path, tmp_path: Path) -> None:
    text = (
        table(ROWS[:4])
        + "5,0,COVID-19,PA,X-ray,images,p5.png\n6,0,COVID-19,PA,X-ray,images,p6.png,CC BY,Note,more,and more\n"
    )
    (source / "metadata.csv").write_text(text)
    records = records_of(prepare_covid19_cxr(source, tmp_path / "out"))
    assert "report" not in records["p5.png"]
    assert records["p6.png"]["report"] == "Note"


def test_a_source_that_is_not_the_collection_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metadata\.csv is not in the source folder"):
        prepare_covid19_cxr(tmp_path, tmp_path / "out")
    (source / "metadata.csv").write_text("patientid,view\n1,PA\n")
    with pytest.raises(ValueError, match=r"metadata\.csv: columns \['finding', 'modality'"):
        prepare_covid19_cxr(source, tmp_path / "out")
    (source / "metadata.csv").write_text(table(ROWS[:1]))
    with pytest.raises(ValueError, match=r"no usable X-ray row with a view of \['LL'\]"):
        prepare_covid19_cxr(source, tmp_path / "out", views=["LL"])
    (source / "annotations/imageannotation_ai_lung_bounding_boxes.json").write_text("{}")
    with pytest.raises(ValueError, match="not COCO boxes: KeyError"):
        prepare_covid19_cxr(source, tmp_path / "out")
    assert not (tmp_path / "out" / "datalist.json").exists()


def test_output_into_the_source_is_refused(source: Path) -> None:
    with pytest.raises(ValueError, match="output must be another folder than source"):
        prepare_covid19_cxr(source, source / "images" / "..")


def test_progress_is_told_for_each_chosen_row(source: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare_covid19_cxr(source, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 24) for done in range(1, 25)]


def test_an_unknown_data_set_or_option_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown data set 'covid'; known: \[.*'covid19-cxr'"):
        prepare_source("covid", tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match=r"unknown options \['view'\] for 'covid19-cxr'; known: \['classes',"):
        prepare_source("covid19-cxr", tmp_path, tmp_path / "out", view="PA")
    assert all(info.name == name and callable(info.load()) for name, info in SOURCES.items())


def real_set() -> Path | None:
    default = Path(__file__).parents[4] / "shared" / "data" / "covid19-cxr"
    folder = Path(os.environ.get("MONAI_PLACE_SHARED", default))
    for candidate in (folder, folder / "data" / "covid19-cxr", folder / "covid19-cxr"):
        if (candidate / "metadata.csv").is_file():
            return candidate
    return None


@pytest.mark.shared
@pytest.mark.skipif(real_set() is None, reason="covid19-cxr is not there: set MONAI_PLACE_SHARED to its folder")
def test_the_real_set_is_prepared_whole(tmp_path: Path) -> None:
    folder = real_set()
    assert folder is not None
    report = prepare_source("covid19-cxr", folder, tmp_path / "out", views=("PA", "AP", "AP Supine", "L"))
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    records = [record for _, _, record in read_datalist(report.datalist).records()]
    assert len(records) == len(rows)
    assert not report.left_out
    assert sum("report" in record for record in records) == sum(bool(row["clinical_notes"].strip()) for row in rows)
    assert report.notes["records with a mask"] >= len(list((folder / "annotations/lungVAE-masks").iterdir()))
    assert verify_datalist(report.datalist) == []
    assert [report.splits[split] / len(records) for split in SPLITS] == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
