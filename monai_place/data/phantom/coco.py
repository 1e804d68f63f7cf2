"""COCO files for the boxes of a datalist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["coco_boxes"]


def coco_boxes(records: Sequence[Mapping[str, Any]], classes: Sequence[str], *, size: int, name: str) -> dict[str, Any]:
    """The boxes of one split as a COCO detection data set.

    Args:
        records: the split, with `image`, `boxes` and `box_classes`; images are numbered from 1 in its order.
        classes: names in order; category ids count from 1.
        size: height and width of every image in pixels.
        name: description of the data set.

    Example:
        >>> record = {"id": "a", "image": "a.png", "boxes": [[1, 2, 4, 6]], "box_classes": ["nodule"]}
        >>> coco_boxes([record], ["nodule"], size=8, name="x")["annotations"][0]["bbox"]
        [1, 2, 3, 4]
    """
    numbers = {class_name: number for number, class_name in enumerate(classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, record in enumerate(records, start=1):
        for (x0, y0, x1, y1), class_name in zip(record["boxes"], record["box_classes"], strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": numbers[class_name],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                }
            )
    return {
        "info": {"description": name},
        "licenses": [],
        "categories": [{"id": number, "name": c, "supercategory": "finding"} for c, number in numbers.items()],
        "images": [
            {"id": image_id, "file_name": record["image"], "width": size, "height": size}
            for image_id, record in enumerate(records, start=1)
        ],
        "annotations": annotations,
    }
