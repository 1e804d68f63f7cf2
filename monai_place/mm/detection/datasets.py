"""A datalist as a data set of MMDetection."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmengine.registry import DATASETS as ROOT_DATASETS
from pycocotools import mask as rle

from monai_place.data.datalist import Datalist, read_datalist
from monai_place.data.paths import PathGuard
from monai_place.data.radiograph import read_mask
from monai_place.data.reader import RadiographReader
from monai_place.data.sizes import radiograph_size
from monai_place.mm.datalists import (
    Box,
    Ids,
    Missing,
    RecordChoice,
    box_class_names,
    join_root,
    labelled_boxes,
    number_classes,
    overlay_palette,
    resolve_file,
)
from monai_place.mm.loading import Reading, image_reading
from monai_place.registry import DATASETS

__all__ = ["RadiographDetDataset"]

logger = logging.getLogger(__name__)

SMALLEST_SIDE = 1.0  # pixels; CocoDataset leaves smaller boxes out, too


@ROOT_DATASETS.register_module()
@DATASETS.register_module()
class RadiographDetDataset(BaseDetDataset):
    """The boxes of one split of a datalist, and the masks of its findings.

    Beside what MMDetection needs a picture carries `record_id`; `img_id` is 1 + its index in the split, whatever is
    left out, which is also its number in the phantom's COCO files. Sizes are read from the heads of the files.

    Args:
        datalist: the JSON file.
        split: `training`, `validation` or `test`.
        classes: names of the classes to use, in this order; boxes of others are left out. None uses all.
        class_agnostic: make one class of them: its name, or true.
        with_masks: give each box the mask of its finding (the one of the same box and class), for Mask R-CNN; a box
            without is an error. Masks are read when the picture is.
        missing: `error` or `skip`, for records without the key `boxes`; an empty list says that nothing is to find.
        ids: the ids of the records to use, or a text file with one a line.
        fraction: the share of the annotated records to use, such as 0.01, drawn by id; smaller ones lie inside larger.
        fraction_seed: of that draw.
        data_root: what relative paths of `datalist` and `ids` start from.
        metainfo: more meta information.
        reading: a team's own reader and steps, as of `LoadRadiographFromFile`: sizes are then those that the reader
            gives, which decodes every picture once. None reads the heads of the files.
        filter_cfg: as of CocoDataset, for training: `filter_empty_gt` leaves out pictures without boxes, `min_size`
            those with a shorter side.
        kwargs: `pipeline`, `indices`, `test_mode`, `lazy_init`, `serialize_data`, ... of BaseDetDataset.

    Raises:
        ValueError: an argument is out of range, records lack the annotation, or a path leaves the data's folder.
        DatalistError: the file is no datalist.
        RadiographError: a picture is missing or damaged.
    """

    def __init__(
        self,
        datalist: str | os.PathLike[str],
        split: str = "training",
        *,
        classes: Sequence[str] | None = None,
        class_agnostic: bool | str = False,
        with_masks: bool = False,
        missing: Missing = "error",
        ids: Ids | None = None,
        fraction: float | None = None,
        fraction_seed: int = 0,
        data_root: str | os.PathLike[str] | None = None,
        metainfo: Mapping[str, Any] | None = None,
        reading: Reading = None,
        filter_cfg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if metainfo is not None and "classes" in metainfo:
            raise ValueError("metainfo holds classes: pass classes= in their place")
        if unknown := set(filter_cfg or ()) - {"filter_empty_gt", "min_size"}:
            raise ValueError(f"filter_cfg holds {sorted(unknown)}, expected filter_empty_gt and min_size")
        self.choice = RecordChoice(split, missing, join_root(ids, data_root), fraction, fraction_seed)
        self.with_masks = with_masks
        self.reading = None if reading is None else image_reading(reading)
        file = join_root(datalist, data_root)
        # MMDetection's `init_detector` makes the test set for its palette alone, also where only a model was taken to.
        self._absent = bool(kwargs.get("lazy_init")) and not Path(file).is_file()
        self._content: Datalist | None = None if self._absent else read_datalist(file)
        known = list(classes or ()) if self._content is None else box_class_names(self._content)
        self.known = tuple(known)  # whatever is chosen of them
        names: tuple[str, ...] = ()
        if known or not self._absent:
            names, self.labels = number_classes(known, classes, merge=class_agnostic)
        palette = {"palette": overlay_palette(len(names))} if names else {}
        super().__init__(
            ann_file=str(file),
            metainfo={**palette, **(metainfo or {}), "classes": names},
            data_prefix={},
            filter_cfg=filter_cfg,
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return what the pipeline needs of each chosen record."""
        if self._absent:
            raise FileNotFoundError(f"{Path(self.ann_file).name} was not there when the data set was made")
        content = self._content or read_datalist(self.ann_file)
        self._content = None  # of a large archive it is not worth keeping
        guard, masks = PathGuard(content.root), PathGuard(content.mask_root)
        found, dropped = [], 0
        for index, record in self.choice.records(content, Path(self.ann_file).name, "boxes"):
            path = resolve_file(guard, record, "image")
            height, width = self._size(path)
            boxes = labelled_boxes(record, content.classes, self.labels, known=self.known)
            instances = self._instances(record, boxes, (height, width), masks)
            dropped += len(boxes) - len(instances)
            found.append(
                {
                    "img_path": path,
                    "img_id": 1 + index,
                    "record_id": record["id"],
                    "height": height,
                    "width": width,
                    "instances": instances,
                }
            )
        if dropped:
            logger.warning(
                "%s: %d boxes of split %r are left out, less than a pixel of them lies in the picture",
                Path(self.ann_file).name,
                dropped,
                self.choice.split,
            )
        return found

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave out what `filter_cfg` says, in training.

        Raises:
            ValueError: nothing is left.
        """
        rules = self.filter_cfg or {}
        if self.test_mode:
            return self.data_list
        kept = [
            info
            for info in self.data_list
            if (info["instances"] or not rules.get("filter_empty_gt", False))
            and min(info["width"], info["height"]) >= rules.get("min_size", 0)
        ]
        if not kept:
            raise ValueError(f"filter_cfg {dict(rules)} leaves none of {len(self.data_list)} pictures")
        return kept

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on a picture, its masks read."""
        info = self.get_data_info(idx)
        if self.with_masks:
            for instance in info["instances"]:
                instance["mask"] = _encoded(Path(instance.pop("mask_path")), (info["height"], info["width"]))
        return self.pipeline(info)

    def _size(self, path: str) -> tuple[int, int]:
        if self.reading is None or type(self.reading.reader) is RadiographReader:
            return radiograph_size(path)
        _, height, width = self.reading.read(path).shape
        return height, width

    def _instances(
        self,
        record: Mapping[str, Any],
        boxes: Sequence[tuple[str, int, Box]],
        size: tuple[int, int],
        guard: PathGuard,
    ) -> list[dict[str, Any]]:
        masks = _finding_masks(record) if self.with_masks else {}
        instances = []
        for name, label, box in boxes:
            inside = _clipped(box, size)
            if inside is None:
                continue
            instance: dict[str, Any] = {"bbox": list(inside), "bbox_label": label, "ignore_flag": 0}
            if self.with_masks:
                relative = masks.get((name, box))
                if relative is None:
                    raise ValueError(
                        f"record {record['id']!r:.80}: no finding has a mask for the box {list(box)} of {name!r}"
                    )
                instance["mask_path"] = resolve_file(guard, {"id": record["id"], "mask": relative}, "mask")
            instances.append(instance)
        return instances


def _finding_masks(record: Mapping[str, Any]) -> dict[tuple[Any, Box], str]:
    """Class and box of each finding that has a mask, and the mask's path."""
    masks: dict[tuple[Any, Box], str] = {}
    for finding in record.get("findings") or ():
        if finding.get("mask") and finding.get("box"):
            try:
                x0, y0, x1, y1 = map(float, finding["box"])
            except (TypeError, ValueError):
                found = f"the box of a finding is {finding['box']!r:.60}"
                raise ValueError(f"record {record['id']!r:.80}: {found}, expected [x0, y0, x1, y1]") from None
            masks[finding.get("class"), (x0, y0, x1, y1)] = finding["mask"]
    return masks


def _clipped(box: Box, size: tuple[int, int]) -> Box | None:
    """The part of a box in a picture of (height, width), or None where that is too small to be found."""
    height, width = size
    x0, y0, x1, y1 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))
    return (x0, y0, x1, y1) if min(x1 - x0, y1 - y0) >= SMALLEST_SIDE else None


def _encoded(path: Path, size: tuple[int, int]) -> dict[str, Any]:
    """A mask's file as COCO's compressed run lengths."""
    mask = read_mask(path)
    if mask.shape != size:
        raise ValueError(f"mask {path.name!r} has {mask.shape} pixels, its image {size}")
    encoded = rle.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}
