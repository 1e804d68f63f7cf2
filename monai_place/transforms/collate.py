"""Batches of studies: images stacked, tokens padded, unknown labels as NaN.

Shapes: `B` studies, `H W` pixels, `T` tokens, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.data import MetaTensor

__all__ = ["StudyCollate", "collate_studies"]

TOKEN_KEYS = ("input_ids", "sentence_ids")


def collate_studies(
    items: Sequence[dict[str, Any]], *, pad_id: int = 0, pad_multiple: int = 8, stack_keys: Sequence[str] = ()
) -> dict[str, Any]:
    """Put studies into one batch.

    `image` becomes (B, 1, H, W) float32 without metadata; `input_ids` and `sentence_ids` (B, T) int64, padded with
    `pad_id` and -1; `attention_mask` (B, T) bool; `sentence_count` (B,) int64; `label` (B, C) float32 with NaN where
    a label is None; every other key a list, with None for a study that lacks it. A key that no study has is absent.

    Args:
        items: studies after the transforms.
        pad_id: the tokenizer's pad id.
        pad_multiple: T is rounded up to a multiple of it. The report encoder needs that many positions.
        stack_keys: further keys whose tensors are stacked, such as features that were computed before.

    Raises:
        ValueError: there are no items, only some of them hold an image or tokens, or shapes differ; the message names
            the key and the ids.
        TypeError: an image is not floating point.

    Example:
        >>> study = {"id": "a", "input_ids": torch.tensor([2, 7, 3]), "sentence_ids": torch.tensor([-1, 0, -1])}
        >>> batch = collate_studies([study | {"sentence_count": 1, "label": [1, None]}], pad_multiple=4)
        >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist(), batch["label"].tolist()
        ([[2, 7, 3, 0]], [[True, True, True, False]], [[1.0, nan]])
    """
    if not items:
        raise ValueError("items is empty; a batch needs at least one study")
    if pad_multiple < 1:
        raise ValueError(f"pad_multiple must be at least 1, got {pad_multiple}")
    keys = dict.fromkeys(key for item in items for key in item)
    batch = {
        key: _stack(items, key)
        if key in stack_keys
        else _collate_key(items, key, pad_id=pad_id, pad_multiple=pad_multiple)
        for key in keys
    }
    if "input_ids" in batch:
        lengths = torch.tensor([len(item["input_ids"]) for item in items])
        batch["attention_mask"] = torch.arange(batch["input_ids"].shape[1]) < lengths[:, None]  # (B, T)
    return batch


class StudyCollate:
    """`collate_studies` with its settings, as a `collate_fn` for a bundle's JSON.

    Args:
        pad_id: the tokenizer's pad id.
        pad_multiple: T is rounded up to a multiple of it.
        stack_keys: further keys whose tensors are stacked.
    """

    def __init__(self, pad_id: int = 0, *, pad_multiple: int = 8, stack_keys: Sequence[str] = ()) -> None:
        self.pad_id = pad_id
        self.pad_multiple = pad_multiple
        self.stack_keys = tuple(stack_keys)

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Put studies into one batch, see `collate_studies`."""
        return collate_studies(items, pad_id=self.pad_id, pad_multiple=self.pad_multiple, stack_keys=self.stack_keys)


def _collate_key(items: Sequence[dict[str, Any]], key: str, *, pad_id: int, pad_multiple: int) -> Any:
    if key == "image":
        return _stack_images(items)
    if key in TOKEN_KEYS:
        return _pad_tokens(items, key, pad_value=pad_id if key == "input_ids" else -1, multiple=pad_multiple)
    if key == "sentence_count":
        return torch.tensor([int(value) for value in _values(items, key)], dtype=torch.int64)
    if key == "label":
        return _stack_labels(items)
    if key == "id":
        return [str(value) for value in _values(items, key)]
    return [item.get(key) for item in items]


def _names(items: Sequence[dict[str, Any]]) -> list[str]:
    return [str(item.get("id", f"item {index}")) for index, item in enumerate(items)]


def _values(items: Sequence[dict[str, Any]], key: str) -> list[Any]:
    if lacking := [name for name, item in zip(_names(items), items, strict=True) if item.get(key) is None]:
        raise ValueError(f"{key!r} is missing in studies {lacking} but present in others of the batch")
    return [item[key] for item in items]


def _plain(value: Any) -> torch.Tensor:
    return value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value)


def _stack_images(items: Sequence[dict[str, Any]]) -> torch.Tensor:
    images = [_plain(value) for value in _values(items, "image")]
    for name, image in zip(_names(items), images, strict=True):
        if not image.is_floating_point():
            raise TypeError(f"image of study {name!r} must be floating point after normalization, got {image.dtype}")
        if image.ndim != 3 or image.shape != images[0].shape:
            shapes = {n: tuple(i.shape) for n, i in zip(_names(items), images, strict=True)}
            raise ValueError(f"images must share one shape (channels, height, width), got {shapes}")
    return torch.stack([image.float() for image in images])  # (B, 1, H, W)


def _stack(items: Sequence[dict[str, Any]], key: str) -> torch.Tensor:
    tensors = [_plain(value) for value in _values(items, key)]
    if len(shapes := {tuple(tensor.shape) for tensor in tensors}) > 1:
        raise ValueError(f"{key!r} must have one shape in all studies of a batch, got {sorted(shapes)}")
    return torch.stack(tensors)


def _pad_tokens(items: Sequence[dict[str, Any]], key: str, *, pad_value: int, multiple: int) -> torch.Tensor:
    rows = [_plain(value) for value in _values(items, key)]
    length = -(-max(row.numel() for row in rows) // multiple) * multiple  # rounded up
    padded = torch.full((len(rows), length), pad_value, dtype=torch.int64)
    for index, (name, row, item) in enumerate(zip(_names(items), rows, items, strict=True)):
        if row.ndim != 1 or any(other in item and len(item[other]) != row.numel() for other in TOKEN_KEYS):
            raise ValueError(f"{' and '.join(TOKEN_KEYS)} of study {name!r} must be (T,) of one length")
        padded[index, : row.numel()] = row
    return padded  # (B, T)


def _stack_labels(items: Sequence[dict[str, Any]]) -> torch.Tensor:
    rows = [_label_row(item["label"]) if item.get("label") is not None else None for item in items]
    sizes = {name: len(row) for name, row in zip(_names(items), rows, strict=True) if row is not None}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"labels must have one length, got {sizes}")
    unknown = [float("nan")] * max(sizes.values(), default=0)
    return torch.tensor([unknown if row is None else row for row in rows], dtype=torch.float32)  # (B, C)


def _label_row(label: Any) -> list[float]:
    return [float("nan") if value is None else float(value) for value in label]
