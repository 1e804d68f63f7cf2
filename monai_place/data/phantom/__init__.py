"""The built-in synthetic chest phantom: image, report, labels, masks and boxes, drawn from a seed."""

from __future__ import annotations

from monai_place.data.phantom.findings import PHANTOM_CLASSES, ZONES
from monai_place.data.phantom.formats import dicom_layout, encode_image, encode_mask, quantize_map
from monai_place.data.phantom.report import SYNONYMS, PhantomSentence
from monai_place.data.phantom.scene import MASK_THRESHOLD
from monai_place.data.phantom.study import PhantomFinding, PhantomStudy, render_study, render_without
from monai_place.data.phantom.writer import PHANTOM_VERSION, write_phantom

__all__ = [
    "MASK_THRESHOLD",
    "PHANTOM_CLASSES",
    "PHANTOM_VERSION",
    "SYNONYMS",
    "ZONES",
    "PhantomFinding",
    "PhantomSentence",
    "PhantomStudy",
    "dicom_layout",
    "encode_image",
    "encode_mask",
    "quantize_map",
    "render_study",
    "render_without",
    "write_phantom",
]
