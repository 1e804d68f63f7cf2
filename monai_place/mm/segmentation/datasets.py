"""A datalist as a data set of MMSegmentation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from mmengine.registry import DATASETS as ROOT_DATASETS
from mmseg.datasets import BaseSegDataset

from monai_place.data.datalist import Datalist, read_datalist
from monai_place.data.paths import PathGuard
from monai_place.mm.datalists import (
    Ids,
    Missing,
    RecordChoice,
    box_class_names,
    join_root,
    labelled_boxes,
    mask_class_names,
    number_classes,
    overlay_palette,
    resolve_file,
)
from monai_place.registry import DATASETS

__all__ = ["RadiographSegDataset"]

MaskSource: TypeAlias = Literal["mask", "boxes"]
MaskFormat: TypeAlias = Literal["index", "binary"]
BACKGROUND = "background"


@ROOT_DATASETS.register_module()
@DATASETS.register_module()
class RadiographSegDataset(BaseSegDataset):
    """The masks of one split of a datalist, or its boxes as filled masks.

    Label 0 is `background`, which is the first of the classes: a head has `num_classes=1 + len(classes)`, and may have
    `out_channels=1` where one class is left. `LoadRadiographMask` loads whatever this data set says; MMSegmentation's
    `LoadAnnotations` does for mask files.

    Args:
        datalist: the JSON file.
        split: `training`, `validation` or `test`.
        mask_key: of the records, that holds the mask's path.
        mask_from: `mask`, or `boxes` to fill the boxes, as the RSNA protocol does.
        mask_format: `index` (0 for background, i + 1 for the class i of the datalist's masks) or `binary` (all above 0
            is the one class).
        classes: names of the classes to use, in this order and without the background, which takes the rest. None uses
            all.
        binary: make one class of them: its name, or true.
        missing: `error` or `skip`, for records without annotation.
        ids: the ids of the records to use, or a text file with one a line.
        fraction: the share of the annotated records to use, such as 0.01, drawn by id; smaller ones lie inside larger.
        fraction_seed: of that draw.
        data_root: what relative paths of `datalist` and `ids` start from.
        metainfo: more meta information.
        kwargs: `pipeline`, `indices`, `test_mode`, `lazy_init`, `serialize_data`, ... of BaseSegDataset.

    Raises:
        ValueError: an argument is out of range, records lack the annotation, or a path leaves the data's folder.
        DatalistError: the file is no datalist.
    """

    def __init__(
        self,
        datalist: str | os.PathLike[str],
        split: str = "training",
        *,
        mask_key: str = "mask",
        mask_from: MaskSource = "mask",
        mask_format: MaskFormat = "index",
        classes: Sequence[str] | None = None,
        binary: bool | str = False,
        missing: Missing = "error",
        ids: Ids | None = None,
        fraction: float | None = None,
        fraction_seed: int = 0,
        data_root: str | os.PathLike[str] | None = None,
        metainfo: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        for name, value, allowed in (("mask_from", mask_from, MaskSource), ("mask_format", mask_format, MaskFormat)):
            if value not in get_args(allowed):
                raise ValueError(f"{name} must be one of {get_args(allowed)}, got {value!r}")
        if kwargs.get("reduce_zero_label"):
            raise ValueError("reduce_zero_label must be false: the background is a class of this data set")
        if metainfo is not None and "classes" in metainfo:
            raise ValueError("metainfo holds classes: pass classes=, without the background, in their place")
        self.choice = RecordChoice(split, missing, join_root(ids, data_root), fraction, fraction_seed)
        self.mask_key, self.mask_from, self.mask_format = mask_key, mask_from, mask_format
        file = join_root(datalist, data_root)
        content = read_datalist(file)
        known = box_class_names(content) if mask_from == "boxes" else mask_class_names(content)
        self.known = tuple(known)  # whatever is chosen of them
        names, self.labels = self._number(known, classes, merge=binary)
        self._content: Datalist | None = content
        super().__init__(
            ann_file=str(file),
            metainfo={
                "palette": [(0, 0, 0), *overlay_palette(len(names))],
                **(metainfo or {}),
                "classes": (BACKGROUND, *names),
            },
            data_prefix={},
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return what the pipeline needs of each chosen record."""
        content = self._content or read_datalist(self.ann_file)
        self._content = None  # of a large archive it is not worth keeping
        key = "boxes" if self.mask_from == "boxes" else self.mask_key
        guard, masks = PathGuard(content.root), PathGuard(content.mask_root)
        found = []
        for _, record in self.choice.records(content, Path(self.ann_file).name, key):
            info = {
                "img_path": resolve_file(guard, record, "image"),
                "record_id": record["id"],
                "reduce_zero_label": False,
                "seg_fields": [],
            }
            if self.mask_from == "boxes":
                boxes = labelled_boxes(record, content.classes, self.labels, known=self.known)
                info["mask_boxes"] = [(1 + label, *box) for _, label, box in boxes]
            else:
                info["seg_map_path"] = resolve_file(masks, record, key)
                info["mask_format"] = self.mask_format
                info["label_map"] = self._label_map(mask_class_names(content))
            found.append(info)
        return found

    def _number(
        self, known: Sequence[str], classes: Sequence[str] | None, *, merge: bool | str
    ) -> tuple[tuple[str, ...], dict[str, int]]:
        if self.mask_from == "mask" and self.mask_format == "binary":
            # Such a mask tells nothing of the datalist's classes: what is above 0 is whatever the user calls it.
            names = [merge if isinstance(merge, str) else "foreground"] if classes is None else list(classes)
            if len(names) != 1:
                raise ValueError(f"mask_format='binary' has one class, got classes {names}")
            return number_classes(names, names, merge=merge)
        return number_classes(known, classes, merge=merge)

    def _label_map(self, mask_classes: Sequence[str]) -> dict[int, int]:
        """The label of each value that a mask may hold."""
        if self.mask_format == "binary":
            return {0: 0, 1: 1, 255: 1}
        values = {value: 1 + self.labels.get(name, -1) for value, name in enumerate(mask_classes, start=1)}
        return {0: 0, **values}
