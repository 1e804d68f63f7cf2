"""Whether a config normalizes images as the pretrained weights expect: a silent difference costs accuracy."""

from __future__ import annotations

import ast
import logging
from collections.abc import Sequence
from typing import Any

from mmengine.logging import MessageHub, print_log

from monai_place.weights import BackboneMetadata

__all__ = ["find_normalization", "warn_of_other_normalization"]

WHITE = 255.0  # the toolboxes' images are 0 to 255, ours 0 to 1


def warn_of_other_normalization(metadata: BackboneMetadata) -> bool:
    """Warn if the running config's mean and std are not those of the weights; tell whether it did.

    The config is the one that MMEngine's Runner leaves in the message hub. Without a Runner nothing is known, and
    nothing is said.
    """
    text = MessageHub.get_current_instance().runtime_info.get("cfg")
    found = find_normalization(text) if isinstance(text, str) else None
    wanted = (metadata.mean * WHITE, metadata.std * WHITE)
    if found is None or all(_near(have, want) for have, want in zip(found, wanted, strict=True)):
        return False
    print_log(
        f"PLACEViT: data_preprocessor has mean={list(found[0])}, std={list(found[1])}; the weights expect "
        f"mean={[wanted[0]] * 3}, std={[wanted[1]] * 3}",
        logger="current",
        level=logging.WARNING,
    )
    return True


def find_normalization(config_text: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return mean and std of the model's data preprocessor in a config's text, which is parsed and never run.

    Example:
        >>> find_normalization("model = dict(data_preprocessor=dict(mean=[1.0], std=[2.0]))")
        ([1.0], [2.0])
    """
    try:
        tree = ast.parse(config_text)
    except SyntaxError:
        return None
    models = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(goal, ast.Name) and goal.id == "model" for goal in node.targets)
    ]
    calls = [
        node.value
        for model in models
        for node in ast.walk(model)
        if isinstance(node, ast.keyword) and node.arg == "data_preprocessor" and isinstance(node.value, ast.Call)
    ]
    for call in calls:
        values: dict[str, Any] = {}
        for entry in call.keywords:
            if entry.arg in ("mean", "std"):
                try:
                    values[entry.arg] = ast.literal_eval(entry.value)
                except ValueError:
                    return None
        if values.get("mean") and values.get("std"):
            return values["mean"], values["std"]
    return None


def _near(have: Sequence[float], want: float) -> bool:
    return all(abs(value - want) < 1e-2 * WHITE for value in have)
