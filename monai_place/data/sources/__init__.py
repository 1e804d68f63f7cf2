"""Public data sets: one module turns the tables of one set into a draft; this is their register.

Each module says in its docstring what to download, where its terms are, and the tree of files that it expects;
`monai-place sources NAME` prints it. `prepare_source` does the rest, the same for all.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from monai_place.data.conversion import Conversion
from monai_place.data.sources.assemble import assemble
from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.options import check_option_types

__all__ = ["SOURCES", "Conversion", "PrepareReport", "SourceDraft", "SourceInfo", "prepare_source"]

# Not options of a user: every reader has the first two, and a reader that needs them asks for the others.
OWN_ARGUMENTS = {"report", "check_counts", "output", "workers"}


@dataclass(frozen=True)
class SourceInfo:
    """A data set that can be prepared.

    Args:
        name: as the command line spells it.
        title: one line for people.
        license: under what terms its files come.
        function: `module:function` with the signature `(source, *, report, check_counts, ...) -> SourceDraft`; imported
            when it is called.
    """

    name: str
    title: str
    license: str
    function: str

    def load(self) -> Callable[..., SourceDraft]:
        """Import and return the function that reads this data set's tables."""
        module, name = self.function.split(":")
        read: Callable[..., SourceDraft] = getattr(import_module(module), name)
        return read

    def options(self) -> list[str]:
        """Return the names of the data set's own options."""
        parameters = inspect.signature(self.load()).parameters.items()
        return sorted({name for name, value in parameters if value.kind is value.KEYWORD_ONLY} - OWN_ARGUMENTS)

    def describe(self) -> str:
        """Return what to download, the expected tree of files and the rules, as its module has them."""
        return inspect.cleandoc(import_module(self.function.split(":")[0]).__doc__ or "")


SOURCES: dict[str, SourceInfo] = {
    info.name: info
    for info in (
        SourceInfo(
            "folder",
            "One's own archive: images of any kind in a folder, with or without a table",
            "your own; ids are hashed with a key, and no name of a file or header comes along, unless you ask for it",
            "monai_place.data.sources.own_folder:read_own_folder",
        ),
        SourceInfo(
            "dicom",
            "One's own archive: a tree of DICOM studies with reports as structured reports, text files or a table",
            "your own; ids are hashed with a key, and no name of a file or header comes along, unless you ask for it",
            "monai_place.data.sources.own_dicom:read_own_dicom",
        ),
        SourceInfo(
            "covid19-cxr",
            "COVID-19 image data collection (Cohen et al., arXiv:2006.11988)",
            "by image, some non-commercial; see the collection's metadata.csv",
            "monai_place.data.sources.covid19_cxr:read_covid19_cxr",
        ),
        SourceInfo(
            "mimic-cxr",
            "MIMIC-CXR and MIMIC-CXR-JPG (Johnson et al., 2019), with reports",
            "PhysioNet Credentialed Health Data License 1.5.0; training and agreement; no redistribution",
            "monai_place.data.sources.mimic_cxr:read_mimic_cxr",
        ),
        SourceInfo(
            "ms-cxr",
            "MS-CXR, phrase grounding on MIMIC-CXR (Boecking et al., ECCV 2022)",
            "PhysioNet Credentialed Health Data License 1.5.0; training and agreement; no redistribution",
            "monai_place.data.sources.ms_cxr:read_ms_cxr",
        ),
        SourceInfo(
            "chexpert",
            "CheXpert (Irvin et al., AAAI 2019), and its 5x200 sets",
            "Stanford University School of Medicine CheXpert Dataset Research Use Agreement; no redistribution",
            "monai_place.data.sources.chexpert:read_chexpert",
        ),
        SourceInfo(
            "chexpert-plus",
            "CheXpert Plus (Chambon, Delbrouck et al., arXiv:2405.19538), with reports",
            "Stanford AIMI Research Use Agreement; no redistribution",
            "monai_place.data.sources.chexpert_plus:read_chexpert_plus",
        ),
        SourceInfo(
            "padchest",
            "PadChest, with Spanish reports (Bustos et al., Medical Image Analysis 2020)",
            "BIMCV's research use agreement; no redistribution",
            "monai_place.data.sources.padchest:read_padchest",
        ),
        SourceInfo(
            "iu-xray",
            "IU X-Ray, Open-i (Demner-Fushman et al., JAMIA 2016), with reports",
            "CC BY-NC-ND 4.0",
            "monai_place.data.sources.iu_xray:read_iu_xray",
        ),
        SourceInfo(
            "rsna",
            "RSNA Pneumonia Detection Challenge 2018 (Kaggle, stage 2)",
            "rules of the competition; attribution to RSNA and the NIH",
            "monai_place.data.sources.rsna:read_rsna",
        ),
        SourceInfo(
            "siim",
            "SIIM-ACR Pneumothorax Segmentation 2019 (Kaggle)",
            "rules of the competition",
            "monai_place.data.sources.siim:read_siim",
        ),
        SourceInfo(
            "covidx",
            "COVIDx CXR (COVID-Net), versions 5 to CXR-3",
            "by the set an image is from, some non-commercial; see COVID-Net's documentation",
            "monai_place.data.sources.covidx:read_covidx",
        ),
        SourceInfo(
            "object-cxr",
            "Object-CXR, foreign objects (JF Healthcare, MIDL 2020)",
            "those of the copy; the challenge's page is closed",
            "monai_place.data.sources.object_cxr:read_object_cxr",
        ),
        SourceInfo(
            "tbx11k",
            "TBX11K, tuberculosis with boxes (Liu et al., CVPR 2020)",
            "CC BY-NC-SA",
            "monai_place.data.sources.tbx11k:read_tbx11k",
        ),
        SourceInfo(
            "nih-cxr14",
            "NIH ChestX-ray14, with its boxes (Wang et al., CVPR 2017)",
            "no restriction, with attribution to the NIH Clinical Center",
            "monai_place.data.sources.nih_cxr14:read_nih_cxr14",
        ),
        SourceInfo(
            "vindr-cxr",
            "VinDr-CXR, boxes of several readers (Nguyen et al., 2022), from PhysioNet or Kaggle",
            "PhysioNet Credentialed Health Data License 1.5.0, or the rules of Kaggle's competition",
            "monai_place.data.sources.vindr_cxr:read_vindr_cxr",
        ),
    )
}


def prepare_source(
    name: str,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    limit: int | None = None,
    workers: int = 0,
    check_counts: bool = True,
    convert: Conversion | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> PrepareReport:
    """Turn the files of a public data set into a datalist.

    Args:
        name: a key of `SOURCES`.
        source: the folder of the data set, as its publisher laid it out; it is only read.
        output: the folder for the datalist and what belongs to it; made where it is missing.
        limit: take the first so many records of each split, for a first try.
        workers: processes that look at the files; 0 works in this one.
        check_counts: refuse a set of other counts than its publisher states.
        convert: write every image anew, grey and at most so large, with its masks and boxes.
        progress: called with (records done, all records).
        options: keyword arguments of the data set's own function.

    Returns:
        What was kept and left out; `report.datalist` is the file.

    Raises:
        FileNotFoundError: the source is not laid out as the data set is.
        ValueError: the name or an option is unknown (the message lists the known ones), an option is of another type
            than its own, a table is not what it must be, or a count differs.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; known: {sorted(SOURCES)}")
    known = SOURCES[name].options()
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"unknown options {unknown} for {name!r}; known: {known}")
    if Path(source).resolve() == Path(output).resolve():
        raise ValueError("output must be another folder than source, which is only read")
    report = PrepareReport()
    read = SOURCES[name].load()
    check_option_types(read, options)
    asked = inspect.signature(read).parameters
    given = {key: value for key, value in (("output", Path(output)), ("workers", workers)) if key in asked}
    draft = read(Path(source), report=report, check_counts=check_counts, **given, **options)
    assemble(draft, source, output, limit=limit, workers=workers, convert=convert, progress=progress, report=report)
    return report
