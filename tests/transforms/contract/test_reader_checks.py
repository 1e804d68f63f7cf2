from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from monai_place.transforms.contract import check_transform
from tests.support import bad_transforms

DICOM = Path(pydicom.__file__).parent / "data" / "test_files" / "CT_small.dcm"


@pytest.mark.parametrize(
    ("name", "failed", "message"),
    [
        ("TransposingReader", "picture", "gives other pixels than the PNG holds"),
        ("WrongAffineReader", "metadata", "metadata 'affine' has the shape (3, 3), expected (4, 4)"),
        ("TalkativeReader", "refusal", "the error of a missing file tells its folder"),
        ("MuteReader", "refusal", "raises ValueError, which does not name the file"),
        ("GuessingReader", "refusal", "a missing file gives a picture"),
        ("CountingReader", "same", "gives different pictures of the same file"),
        ("ByNameReader", "same", "another picture of the same file under another name"),
    ],
)
def test_each_fault_of_a_reader_is_found(name: str, failed: str, message: str) -> None:
    report = check_transform(getattr(bad_transforms, name), worker=False)
    assert message in report[failed].message
    assert [check.name for check in report.failed] == [failed]


def test_a_good_reader_passes_on_a_file_of_its_own_format() -> None:
    for sample in (None, DICOM):
        check_transform(bad_transforms.GoodReader, sample=sample, worker=False).require()


def test_an_error_that_quotes_the_header_is_found() -> None:
    report = check_transform(bad_transforms.QuotingReader, sample=DICOM, worker=False)
    assert report["refusal"].message == "the error of a truncated file quotes its header"
