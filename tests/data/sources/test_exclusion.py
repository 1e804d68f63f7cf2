from __future__ import annotations

from pathlib import Path

import pytest

from monai_place.data.datalist import Datalist, write_datalist
from monai_place.data.sources import PrepareReport
from monai_place.data.sources.exclusion import draw_patients, leave_out_patients, patients_of

RECORDS = [{"id": f"i{number}", "image": f"{number}.png", "patient_id": f"p{number // 3}"} for number in range(30)]


def write(path: Path, records: list[dict[str, str]]) -> Path:
    write_datalist(Datalist("d", "1", "", ".", [], {"training": records[:1], "test": records[1:]}), path)
    return path


def test_patients_of_all_splits_of_a_datalist_are_found(tmp_path: Path) -> None:
    assert patients_of(write(tmp_path / "list.json", RECORDS[:7])) == {"p0", "p1", "p2"}


def test_a_datalist_without_patients_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "list.json", [{"id": "a", "image": "a.png"}])
    with pytest.raises(ValueError, match=r"list\.json: no record has a patient_id"):
        patients_of(path)


def test_all_images_of_a_patient_are_left_out_and_counted() -> None:
    report = PrepareReport()
    kept = leave_out_patients(RECORDS, {"p0", "p9"}, "for a reason", report)
    assert len(kept) == 24
    assert report.left_out == {"for a reason": 6}
    assert report.entries[0] == ("i0", "for a reason")


@pytest.mark.parametrize(("size", "patients"), [(0, 0), (1, 1), (3, 1), (4, 2), (99, 10)])
def test_whole_patients_are_drawn_until_their_images_are_enough(size: int, patients: int) -> None:
    assert len(draw_patients(RECORDS, size, 0)) == patients


def test_a_draw_depends_on_the_seed_and_not_on_the_order() -> None:
    assert draw_patients(RECORDS, 9, 0) == draw_patients(RECORDS[::-1], 9, 0)
    assert len({frozenset(draw_patients(RECORDS, 9, seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize(("size", "warns"), [(28, True), (27, False), (0, False)])
def test_a_draw_that_leaves_nobody_for_training_says_so(
    size: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    draw_patients(RECORDS, size, 0)
    assert ("validation takes all of 30 images, and leaves none for training" in caplog.text) is warns
    assert not draw_patients([], size, 0)
