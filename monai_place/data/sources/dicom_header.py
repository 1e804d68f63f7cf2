"""What an archive's DICOM file says before its pixels: whose study, of what kind, a structured report's text.

Only the elements that are listed here are read. They hold names and numbers: what becomes of those is the caller's to
answer for; nothing here logs them or puts them into an error.

A structured report (Basic Text SR and its kin, PS3.3 A.35) becomes plain text: its TEXT items in the order of the tree,
each container's name as a heading above, and the name of an item that stands right below the root. What an item says
about the observer or the context (HAS OBS CONTEXT, PS3.3 C.17.3), names, dates and codes are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monai_place.data.deidentify import date_forms, name_forms
from monai_place.data.dicom import _refuse_deflate_bomb
from monai_place.data.pixels import RadiographError, silent_decoders
from monai_place.data.radiograph import file_kind

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["DicomHeader", "read_dicom_header"]

# What the basic profile (PS3.15 E.1) replaces and a report may repeat. Not what describes the patient (age, sex, size,
# occupation) or the examination: a report is about that.
NAMES = (
    "PatientName",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "ResponsiblePerson",
    "ReferringPhysicianName",
    "ConsultingPhysicianName",
    "RequestingPhysician",
    "PerformingPhysicianName",
    "ScheduledPerformingPhysicianName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "NamesOfIntendedRecipientsOfResults",
    "OperatorsName",
    "OrderEnteredBy",
    "ContentCreatorName",
    "ReviewerName",
    "HumanPerformerName",
    "PersonName",
)
DATES = (
    "PatientBirthDate",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "AcquisitionDateTime",
    "InstanceCreationDate",
    "DateOfSecondaryCapture",
    "AdmittingDate",
    "DischargeDate",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepEndDate",
    "ScheduledProcedureStepStartDate",
    "IssueDateOfImagingServiceRequest",
    "StudyVerifiedDate",
    "StudyReadDate",
    "StudyArrivalDate",
    "StudyCompletionDate",
    "LastMenstrualDate",
)
NUMBERS = (
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "InstitutionName",
    "InstitutionAddress",
    "AdmissionID",
    "ServiceEpisodeID",
    "MedicalRecordLocator",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "DeviceSerialNumber",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientTelecomInformation",
    "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers",
    "PersonAddress",
    "PersonTelephoneNumbers",
    "OrderCallbackPhoneNumber",
    "ResponsibleOrganization",
    "HumanPerformerOrganization",
    "VerifyingOrganization",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialCoordinatingCenterName",
)
# Some archives have words in them, such as "THORAX": only what has a digit counts.
STEPS = (
    "StudyID",
    "RequestedProcedureID",
    "ScheduledProcedureStepID",
    "PerformedProcedureStepID",
    "DeviceID",
    "DetectorID",
    "PlateID",
    "CassetteID",
    "GantryID",
    "GeneratorID",
    "PerformedStationAETitle",
    "ScheduledStationAETitle",
)
# Names of places and machines, which people choose: what is no more than one of these words names none.
PLACES = (
    "StationName",
    "PerformedStationName",
    "PerformedLocation",
    "ScheduledStationName",
    "ScheduledProcedureStepLocation",
    "RequestedProcedureLocation",
    "InstitutionalDepartmentName",
    "RequestingService",
    "OrderEntererLocation",
    "CurrentPatientLocation",
    "PatientInstitutionResidence",
    "CountryOfResidence",
    "RegionOfResidence",
    "IssuerOfPatientID",
    "IssuerOfAdmissionID",
)
COMMON_WORDS = re.compile(
    "ap|bedside|cardiac|cardiology|chest|clinic|cr|ct|dr|dx|emergency|er|heart|hospital|icu|lateral|left|lungs?|mobile|"
    "none|other|pa|pa?ediatrics?|portable|pulmonary|pulmonology|radiograph(y|ie)|radiolog(y|ie|ía)|right|room|röntgen|"
    "surgery|thoracic|thorax|t[oó]rax|trauma|unit|unknown|upright|ward|x-?ray|xr",
    re.IGNORECASE,
)
PLAIN = (
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "ViewPosition",
    "SeriesDescription",
    "BodyPartExamined",
    "BurnedInAnnotation",
    "Rows",
    "ContentTime",
)
# Sequences whose items hold more of the same: of other archives, of requests, of who had to do with it.
NUMBERED = (
    "OtherPatientIDsSequence",
    "RequestAttributesSequence",
    "ReferencedRequestSequence",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianIdentificationSequence",
    "PhysiciansOfRecordIdentificationSequence",
    "PhysiciansReadingStudyIdentificationSequence",
    "PerformingPhysicianIdentificationSequence",
    "RequestingPhysicianIdentificationSequence",
    "OperatorIdentificationSequence",
    "ActualHumanPerformersSequence",
    "ContributingEquipmentSequence",
    "AuthorObserverSequence",
    "ParticipantSequence",
    "CustodialOrganizationSequence",
)
CODED = ("InstitutionCodeSequence",)  # whose meaning is a name
STRUCTURED = ("ContentSequence", "VerifyingObserverSequence")
TEXT_REPORTS = "1.2.840.10008.5.1.4.1.1.88."  # the SOP classes of structured reports (PS3.6 A)
MAX_DEPTH = 32
CONTEXT = "HAS OBS CONTEXT"


@dataclass(frozen=True)
class DicomHeader:
    """What a file says of itself; blank where it does not.

    Args:
        instance: the file's own unique identifier.
        study: the study's.
        patient: the patient's number.
        accession: the request's number.
        modality: such as `DX`.
        view: such as `PA`.
        series: the description of the series.
        body_part: such as `CHEST`.
        burned_in: it says that names are burned into the pixels.
        is_image: it has rows.
        date: day and time of the content, to be compared.
        report: the text of a structured report, or None where it is none.
        names: of persons.
        dates: days.
        numbers: of the patient, the study and the devices, and the names and addresses of institutions and places.
    """

    instance: str = ""
    study: str = ""
    patient: str = ""
    accession: str = ""
    modality: str = ""
    view: str = ""
    series: str = ""
    body_part: str = ""
    burned_in: bool = False
    is_image: bool = False
    date: str = ""
    report: str | None = None
    names: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    def known_strings(self) -> set[str]:
        """Return the names, numbers and days, in each form in which a report could have them."""
        names = (form for name in self.names for form in name_forms(name))
        dates = (form for date in self.dates for form in date_forms(date))
        return {*names, *dates, *self.numbers}


def read_dicom_header(path: Path) -> DicomHeader | None:
    """Read a file's header, or return None where the file is no DICOM file.

    Args:
        path: any file.

    Raises:
        RadiographError: the file cannot be opened, is empty or damaged; the message quotes nothing of it.
    """
    if file_kind(path) != "DICOM":
        return None
    try:
        with silent_decoders():
            return _header(_read(path))
    except Exception as error:  # pydicom raises whatever a damaged file leads it to, and quotes values
        raise RadiographError(f"the DICOM header is damaged ({type(error).__name__})") from None


def _read(path: Path) -> Dataset:
    from pydicom import dcmread

    _refuse_deflate_bomb(path)
    tags = [*NAMES, *DATES, *NUMBERS, *STEPS, *PLACES, *NUMBERED, *CODED, *PLAIN, *STRUCTURED]
    return dcmread(path, force=True, stop_before_pixels=True, specific_tags=list(tags))


def _header(dataset: Dataset) -> DicomHeader:
    def text(key: str) -> str:
        return str(dataset.get(key) or "").strip()

    return DicomHeader(
        instance=text("SOPInstanceUID"),
        study=text("StudyInstanceUID"),
        patient=text("PatientID"),
        accession=text("AccessionNumber"),
        modality=text("Modality").upper(),
        view=text("ViewPosition").upper(),
        series=text("SeriesDescription"),
        body_part=text("BodyPartExamined").upper(),
        burned_in=text("BurnedInAnnotation").upper() == "YES",
        is_image="Rows" in dataset,
        date=text("ContentDate") + text("ContentTime"),
        report=_report(dataset) if text("SOPClassUID").startswith(TEXT_REPORTS) else None,
        names=tuple(dict.fromkeys((*_values_within(dataset, NAMES), *_observers(dataset)))),
        dates=tuple(dict.fromkeys(_values_within(dataset, DATES))),
        numbers=tuple(dict.fromkeys(_numbers(dataset))),
    )


def _values(dataset: Dataset, keys: Sequence[str]) -> Iterator[str]:
    from pydicom.multival import MultiValue

    for key in keys:
        value = dataset.get(key)
        for part in value if isinstance(value, (list, MultiValue)) else [value]:
            if part:
                yield str(part)


def _values_within(dataset: Dataset, keys: Sequence[str]) -> Iterator[str]:
    """Yield the values of the file and of the items of its sequences."""
    yield from _values(dataset, keys)
    for key in NUMBERED:
        for item in dataset.get(key) or ():
            yield from _values(item, keys)


def _numbers(dataset: Dataset) -> Iterator[str]:
    yield from _values_within(dataset, NUMBERS)
    yield from (value for value in _values_within(dataset, STEPS) if any(map(str.isdigit, value)))
    yield from (value for value in _values_within(dataset, PLACES) if not COMMON_WORDS.fullmatch(value.strip()))
    for key in CODED:
        for item in dataset.get(key) or ():
            yield from _values(item, ["CodeMeaning"])


def _observers(dataset: Dataset) -> Iterator[str]:
    """Yield who verified a structured report, and the persons whom its content names."""
    for observer in dataset.get("VerifyingObserverSequence") or ():
        yield from _values(observer, ["VerifyingObserverName", "VerifyingOrganization"])
    for item, _ in _items(dataset, 0):
        yield from _values(item, ["PersonName"])


def _report(dataset: Dataset) -> str:
    lines: list[str] = []
    for item, depth in _items(dataset, 0):
        kind, heading = str(item.get("ValueType") or ""), _meaning(item)
        if heading and (kind == "CONTAINER" or (kind == "TEXT" and depth == 0)):
            lines.append(f"{heading.upper()}:")
        if kind == "TEXT":
            lines.append(str(item.get("TextValue") or "").strip())
    return "\n".join(line for line in lines if line)


def _items(node: Dataset, depth: int) -> Iterator[tuple[Dataset, int]]:
    """Yield (item, depth) of a content tree, from top to bottom, but for what describes the context."""
    if depth > MAX_DEPTH:
        raise ValueError("the content tree is too deep")
    for item in node.get("ContentSequence") or ():
        if item.get("RelationshipType") != CONTEXT:
            yield item, depth
            yield from _items(item, depth + 1)


def _meaning(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence") or ()
    return str(names[0].get("CodeMeaning") or "").strip().rstrip(":") if names else ""
