"""Records for report generation: those whose report has what the decoder is to write."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from monai_place.data.datalist import load_records
from monai_place.data.report_format import ReportFormat

__all__ = ["load_report_records"]

logger = logging.getLogger(__name__)


def load_report_records(
    path: str | os.PathLike[str], split: str, *, report_format: ReportFormat, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the records of a split whose report has a sentence in the sections that are written.

    The others teach nothing, and their loss is 0: in a validation they would make it better than it is. They are left
    out, and their number is logged.

    Args:
        path: the datalist.
        split: `training`, `validation` or `test`.
        report_format: tells the sections.
        limit: look at the first so many records only.

    Raises:
        ValueError: nothing is left.
    """
    name, sections = Path(path).name, list(report_format.sections)
    records = load_records(path, split, require=("image", "report"), limit=limit, drop_missing=True)
    kept = [record for record in records if report_format.target_sentences(record)]
    if not kept:
        raise ValueError(
            f"{name}: none of the {len(records)} records of split {split!r} with a report has a sentence in sections "
            f"{sections}; choose others with the key 'sections'"
        )
    if lacking := len(records) - len(kept):
        message = "%s: %d of %d records of split %r have no sentence in sections %s: left out"
        logger.warning(message, name, lacking, len(records), split, sections)
    return kept
