from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from monai_place.data.radiograph import RadiographError
from monai_place.data.sources.dicom_header import (
    CODED,
    DATES,
    NAMES,
    NUMBERED,
    NUMBERS,
    PLACES,
    PLAIN,
    STEPS,
    read_dicom_header,
)
from tests.support.own_archive import text_item, write_radiograph, write_report

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def test_a_radiograph_says_whose_and_what_it_is(tmp_path: Path) -> None:
    path = write_radiograph(
        tmp_path / "a",
        PatientID=" 4711 ",
        AccessionNumber="A1",
        StudyInstanceUID="1.2.3",
        SOPInstanceUID="1.2.3.4",
        Modality="DX",
        ViewPosition="pa",
        SeriesDescription="Thorax pa",
        BodyPartExamined="CHEST",
        BurnedInAnnotation="YES",
    )
    header = read_dicom_header(path)
    assert header is not None
    assert (header.patient, header.accession, header.study, header.instance) == ("4711", "A1", "1.2.3", "1.2.3.4")
    assert (header.modality, header.view, header.series, header.body_part) == ("DX", "PA", "Thorax pa", "CHEST")
    assert header.burned_in
    assert header.is_image
    assert header.report is None


def test_what_is_not_there_is_blank(tmp_path: Path) -> None:
    header = read_dicom_header(write_radiograph(tmp_path / "a", SOPInstanceUID=None, Modality=None, ViewPosition=None))
    assert header is not None
    assert (header.patient, header.instance, header.modality, header.view, header.burned_in) == ("", "", "", "", False)


def test_names_days_and_numbers_are_known_in_each_form(tmp_path: Path) -> None:
    path = write_radiograph(
        tmp_path / "a",
        PatientName="Müller^Anna Maria=山田^太郎",
        OtherPatientIDs=["X-1", "X-2"],
        PatientBirthDate="19550203",
        StudyDate="20200101",
        ReferringPhysicianName="Roe^Richard",
        NameOfPhysiciansReadingStudy=["Poe^Edgar", "Coe^Ann"],
        InstitutionName="St. Elsewhere",
        StudyInstanceUID="1.2.3",
    )
    header = read_dicom_header(path)
    assert header is not None
    known = header.known_strings()
    assert {"Müller", "Anna", "Maria", "山田", "太郎", "X-1", "X-2", "03.02.1955", "2020-01-01"} <= known
    assert {"Roe", "Richard", "Poe", "Coe", "St. Elsewhere", "1.2.3"} <= known


def test_numbers_of_requests_and_of_other_archives_are_known_and_words_in_their_place_are_not(tmp_path: Path) -> None:
    other, request = pydicom.Dataset(), pydicom.Dataset()
    other.PatientID, request.RequestedProcedureID, request.ScheduledProcedureStepID = "OLD77", "RP66", "THORAX"
    tags = {"OtherPatientIDsSequence": [other], "RequestAttributesSequence": [request], "AdmissionID": "ADM33"}
    path = write_radiograph(tmp_path / "a", StudyID="LUNG", AcquisitionDateTime="20190405101500", **tags)
    header = read_dicom_header(path)
    assert header is not None
    known = header.known_strings()
    assert {"OLD77", "RP66", "ADM33", "2019-04-05"} <= known
    assert not {"THORAX", "LUNG"} & known


def test_every_element_that_is_looked_for_is_one_of_the_standard() -> None:
    tags = [*NAMES, *DATES, *NUMBERS, *STEPS, *PLACES, *NUMBERED, *CODED, *PLAIN]
    assert len(set(tags)) == len(tags) - 1  # the file's own UID is asked for by itself, too
    for tag in tags:
        assert pydicom.datadict.tag_for_keyword(tag) is not None, tag
    for name in NAMES:
        assert pydicom.datadict.dictionary_VR(name) == "PN", name


def test_places_machines_and_all_who_had_to_do_with_it_are_known(tmp_path: Path) -> None:
    referring, equipment, institution = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    referring.InstitutionName, referring.PersonTelephoneNumbers = "Practice Roe", "+49 30 1234"
    equipment.OperatorsName, equipment.StationName, equipment.DeviceSerialNumber = "Coe^Ann", "ERNIE", "SN-9"
    institution.CodeMeaning = "St. Elsewhere"
    path = write_radiograph(
        tmp_path / "a",
        StationName="NORTH-XR",
        InstitutionalDepartmentName="Radiology",
        RequestingService="Chest",
        CurrentPatientLocation="Ward Nightingale",
        PerformedStationAETitle="AE_NORTH7",
        DetectorID="DET-77",
        CassetteID="THORAX",
        ConsultingPhysicianName="Moe^Max",
        DischargeDate="20200110",
        ReferringPhysicianIdentificationSequence=[referring],
        ContributingEquipmentSequence=[equipment],
        InstitutionCodeSequence=[institution],
    )
    header = read_dicom_header(path)
    assert header is not None
    known = header.known_strings()
    assert {"NORTH-XR", "Ward Nightingale", "AE_NORTH7", "DET-77", "Moe", "10.01.2020"} <= known
    assert {"Practice Roe", "+49 30 1234", "Coe", "ERNIE", "SN-9", "St. Elsewhere"} <= known
    assert not {"Radiology", "Chest", "THORAX"} & known


def test_a_structured_report_becomes_text_with_its_headings(tmp_path: Path) -> None:
    items = [
        text_item("Observer", "Roe^Richard", relationship="HAS OBS CONTEXT"),
        text_item("History", "Cough."),
        text_item("Findings", items=[text_item("Finding", "Clear lungs."), text_item("Finding", "No effusion.")]),
        text_item("Impression:", items=[text_item("Conclusion", "Normal.")]),
    ]
    header = read_dicom_header(write_report(tmp_path / "sr", items))
    assert header is not None
    assert header.report == "HISTORY:\nCough.\nFINDINGS:\nClear lungs.\nNo effusion.\nIMPRESSION:\nNormal."
    assert (header.is_image, header.date) == (False, "20200101120000")


def test_a_report_without_text_is_blank_and_not_none(tmp_path: Path) -> None:
    header = read_dicom_header(write_report(tmp_path / "sr", []))
    assert header is not None
    assert header.report == ""


def test_the_observer_and_persons_in_the_content_are_known(tmp_path: Path) -> None:
    person = text_item("Person observed")
    person.ValueType, person.PersonName = "PNAME", "Doe^Jane"
    observer = pydicom.Dataset()
    observer.VerifyingObserverName = "Roe^Richard"
    path = write_report(tmp_path / "sr", [person], VerifyingObserverSequence=[observer])
    header = read_dicom_header(path)
    assert header is not None
    assert {"Doe", "Jane", "Roe", "Richard"} <= header.known_strings()
    assert header.report == ""


def test_structured_reports_of_other_makers_are_read() -> None:
    header = read_dicom_header(TEST_FILES / "test-SR.dcm")
    assert header is not None
    assert header.report is not None
    assert "was detected." in header.report
    assert "Riesmeier" not in header.report
    assert {"Riesmeier", "Jörg"} <= header.known_strings()


def test_every_file_of_pydicom_is_read_or_refused_without_a_value_of_it() -> None:
    for path in sorted(TEST_FILES.rglob("*")):
        if path.is_file():
            try:
                read_dicom_header(path)
            except RadiographError as error:
                assert "damaged" in str(error), path.name  # noqa: PT017


def test_what_is_no_dicom_file_is_none_and_what_cannot_be_opened_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("This is a text about Jane Doe. " * 20)
    assert read_dicom_header(tmp_path / "a.dcm") is None
    (tmp_path / "empty").touch()
    with pytest.raises(RadiographError, match="the file is empty"):
        read_dicom_header(tmp_path / "empty")
    with pytest.raises(RadiographError, match="does not exist"):
        read_dicom_header(tmp_path / "gone")


def test_a_content_tree_without_end_is_refused(tmp_path: Path) -> None:
    item = text_item("Finding", "Deep.")
    for _ in range(40):
        item = text_item("Findings", items=[item])
    with pytest.raises(RadiographError, match="the DICOM header is damaged"):
        read_dicom_header(write_report(tmp_path / "sr", [item]))


def test_a_value_that_is_not_allowed_is_quoted_neither_by_a_warning_nor_by_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    path = write_radiograph(
        tmp_path / "a", BodyPartExamined="jane doe's chest", StudyDate="Doe, 3.2.", StudyInstanceUID="Doe.1"
    )
    header = read_dicom_header(path)
    assert header is not None
    assert header.study == "Doe.1"
    assert "oe" not in caplog.text
