"""What a study is, and where it comes from: datalists, radiographs, reports, the phantom and public data sets."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_place.data.datalist import (
        SPLITS,
        Datalist,
        DatalistError,
        load_records,
        read_datalist,
        resolve_inside,
        write_datalist,
    )
    from monai_place.data.phantom import PHANTOM_CLASSES, PhantomStudy, render_study, write_phantom
    from monai_place.data.radiograph import RadiographError, read_mask, read_radiograph
    from monai_place.data.reader import RadiographReader
    from monai_place.data.reports import ReportSections, clean_text, report_sentences, split_sections, split_sentences
    from monai_place.data.sources import SOURCES, PrepareReport, SourceInfo, prepare_source
    from monai_place.data.tokens import EncodedReport, ReportTokenizer
    from monai_place.data.verify import Fault, verify_datalist

# Public name -> its module. Imported on first use: the tokenizer needs transformers, the reader needs MONAI,
# and `import monai_place.data` needs neither.
_HOMES = {
    "SPLITS": "datalist",
    "Datalist": "datalist",
    "DatalistError": "datalist",
    "load_records": "datalist",
    "read_datalist": "datalist",
    "resolve_inside": "datalist",
    "write_datalist": "datalist",
    "PHANTOM_CLASSES": "phantom",
    "PhantomStudy": "phantom",
    "render_study": "phantom",
    "write_phantom": "phantom",
    "RadiographError": "radiograph",
    "RadiographReader": "reader",
    "read_mask": "radiograph",
    "read_radiograph": "radiograph",
    "ReportSections": "reports",
    "clean_text": "reports",
    "report_sentences": "reports",
    "split_sections": "reports",
    "split_sentences": "reports",
    "SOURCES": "sources",
    "PrepareReport": "sources",
    "SourceInfo": "sources",
    "prepare_source": "sources",
    "EncodedReport": "tokens",
    "ReportTokenizer": "tokens",
    "Fault": "verify",
    "verify_datalist": "verify",
}

__all__ = [
    "PHANTOM_CLASSES",
    "SOURCES",
    "SPLITS",
    "Datalist",
    "DatalistError",
    "EncodedReport",
    "Fault",
    "PhantomStudy",
    "PrepareReport",
    "RadiographError",
    "RadiographReader",
    "ReportSections",
    "ReportTokenizer",
    "SourceInfo",
    "clean_text",
    "load_records",
    "prepare_source",
    "read_datalist",
    "read_mask",
    "read_radiograph",
    "render_study",
    "report_sentences",
    "resolve_inside",
    "split_sections",
    "split_sentences",
    "verify_datalist",
    "write_datalist",
    "write_phantom",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds a public name on first use."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
