"""Results as files: readable by a spreadsheet without running anything, and nothing lost."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from monai_place.inference import Classification, FailedImage, FindingScores, GroundedSentence
from monai_place.inference.writers import file_stem, guard_cell, write_findings_csv, write_findings_json, write_overlays

RESULTS = Classification(
    findings=("nodule", "=SUM(A1)"),
    mode="mean",
    results=(
        FindingScores(
            0, "=cmd|' /C calc'!A0.png", {"nodule": 0.25, "=SUM(A1)": 0.5}, {"nodule": -1.1, "=SUM(A1)": 0.0}
        ),
        FindingScores(2, "b/2,\n.png", {"nodule": 1e-9, "=SUM(A1)": 1.0}, {"nodule": -20.7, "=SUM(A1)": 20.0}),
    ),
    failed=(FailedImage(1, "-1.png", "@bad: the file is empty"),),
)


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.reader(opened))


def test_the_table_has_a_row_for_every_image_in_the_order_of_the_call(tmp_path):
    table = rows(write_findings_csv(tmp_path / "a.csv", RESULTS))
    assert table == [
        ["source", "nodule", "'=SUM(A1)", "error"],
        ["'=cmd|' /C calc'!A0.png", "0.250000", "0.500000", ""],
        ["'-1.png", "", "", "'@bad: the file is empty"],
        ["b/2,\n.png", "0.000000", "1.000000", ""],
    ]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "  =1"])
def test_a_cell_that_a_spreadsheet_would_run_gets_a_quote(text):
    assert guard_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["nodule", "a=1", "", "1-2"])
def test_other_cells_stay_as_they_are(text):
    assert guard_cell(text) == text


def test_the_json_holds_results_failures_and_the_note(tmp_path):
    content = json.loads(write_findings_json(tmp_path / "a.json", RESULTS, model={"package_version": "0"}).read_text())
    assert "Not a medical device" in content["note"]
    assert content["results"][0]["scores"] == {"nodule": -1.1, "=SUM(A1)": 0.0}
    assert content["failed"] == [{"source": "-1.png", "reason": "@bad: the file is empty"}]
    assert content["model"] == {"package_version": "0"}


def test_no_result_is_a_file_of_a_head_alone(tmp_path):
    empty = Classification(("nodule",), "mean", ())
    assert rows(write_findings_csv(tmp_path / "a.csv", empty)) == [["source", "nodule", "error"]]


def test_file_names_are_portable_and_differ_where_sources_do():
    sources = ["a/1.png", "b/1.png", "a/1.dcm", "ä ö:*?.png", "../../etc/passwd", "x" * 300, ".png", "CON.nii.gz"]
    stems = [file_stem(source) for source in sources]
    assert len(set(stems)) == len(stems)
    for stem in stems:
        assert stem.isascii()
        assert set(stem) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
        assert len(stem) < 80
    assert stems[0].startswith("1-")


def grounded(evidence, source="a.png"):
    return GroundedSentence(source, "Secret sentence.", evidence.astype(np.float32), 0.5)


def test_an_overlay_has_the_image_s_size_marks_the_peak_and_darkens_what_was_not_seen(tmp_path):
    image = np.full((20, 30), 0.5)
    evidence = np.zeros((20, 30))
    evidence[5, 7] = 1.0
    evidence[:, 25:] = np.nan
    (file,) = write_overlays(tmp_path, image, [grounded(evidence)])
    picture = np.asarray(Image.open(file)).astype(int)
    assert picture.shape == (20, 30, 3)
    red, _, blue = picture[5, 7]
    assert red > blue + 50
    assert picture[0, 0].tolist() == [128, 128, 128]
    assert picture[0, 29].max() < 64
    assert "Secret" not in file.name


def test_a_constant_map_and_one_without_answer_are_drawn_without_a_warning(tmp_path):
    image = np.zeros((4, 4))
    files = write_overlays(tmp_path, image, [grounded(np.ones((4, 4))), grounded(np.full((4, 4), np.nan))])
    assert len({file.name for file in files}) == 2


def test_a_renderer_of_one_s_own_is_used(tmp_path):
    white = np.full((4, 4, 3), 255, np.uint8)
    (file,) = write_overlays(tmp_path, np.zeros((4, 4)), [grounded(np.ones((4, 4)))], render=lambda image, heat: white)
    assert np.asarray(Image.open(file)).min() == 255


def test_evidence_of_another_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must have the size of its image"):
        write_overlays(tmp_path, np.zeros((4, 5)), [grounded(np.ones((4, 4)))])
