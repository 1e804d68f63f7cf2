"""Whether a config normalizes images as the pretrained weights expect: a silent difference costs accuracy."""

from __future__ import annotations

import ast
import logging
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

from mmengine.logging import MessageHub, print_log

from monai_place.weights import BackboneMetadata

__all__ = ["find_normalization", "warn_of_other_normalization"]

WHITE = 255.0  # the toolboxes' images are 0 to 255, ours 0 to 1
Normalization: TypeAlias = tuple[Sequence[float], Sequence[float]]
PREPROCESSOR = "data_preprocessor"
NORMALIZING = ("Normalize", "mmcv.Normalize")  # steps of a pipeline
NOTHING: Normalization = ((), ())


def warn_of_other_normalization(metadata: BackboneMetadata) -> bool:
    """Warn if the running config's mean and std are not those of the weights, or not there; tell whether it did.

    The config is the one that MMEngine's Runner leaves in the message hub. Without a Runner nothing is known, and
    nothing is said.
    """
    text = MessageHub.get_current_instance().runtime_info.get("cfg")
    found = find_normalization(text) if isinstance(text, str) else None
    wanted = (metadata.mean * WHITE, metadata.std * WHITE)
    if found is None or (found != NOTHING and all(_near(have, want) for have, want in zip(found, wanted, strict=True))):
        return False
    told = "no mean and std" if found == NOTHING else f"mean={list(found[0])}, std={list(found[1])}"
    print_log(
        f"PLACEViT: data_preprocessor has {told}; the weights expect mean={[wanted[0]] * 3}, std={[wanted[1]] * 3}",
        logger="current",
        level=logging.WARNING,
    )
    return True


def find_normalization(config_text: str) -> Normalization | None:
    """Return mean and std by which a config normalizes images; its text is parsed and never run.

    They are those of the model's data preprocessor, of the config's own where the model has none (MMEngine gives it to
    the model), or of a step `Normalize` of a pipeline.

    Returns:
        Mean and std, `((), ())` where the config has a model and normalizes nowhere, None where it cannot be told.

    Example:
        >>> find_normalization("model = dict(data_preprocessor=dict(mean=[1.0], std=[2.0]))")
        ([1.0], [2.0])
    """
    try:
        tree = ast.parse(config_text)
    except SyntaxError:
        return None
    assigned = {
        goal.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for goal in node.targets
        if isinstance(goal, ast.Name)
    }
    model = assigned.get("model")
    if not _is_dict(model):
        return None
    own = [node.value for node in ast.walk(model) if isinstance(node, ast.keyword) and node.arg == PREPROCESSOR]
    own = own or [value for name, value in assigned.items() if name == PREPROCESSOR]
    try:
        steps = [node for node in ast.walk(tree) if _is_dict(node) and _value(node, "type") in NORMALIZING]
        pairs = [(_value(node, "mean"), _value(node, "std")) for node in [*own, *steps] if _is_dict(node)]
    except ValueError:
        return None
    return next((pair for pair in pairs if all(pair)), NOTHING)


def _is_dict(node: ast.AST | None) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict"


def _value(node: ast.Call, name: str) -> Any:
    """Return the literal under a name of a `dict(...)`, None where there is none.

    Raises:
        ValueError: it is no literal.
    """
    return next((ast.literal_eval(entry.value) for entry in node.keywords if entry.arg == name), None)


def _near(have: Sequence[float], want: float) -> bool:
    return all(abs(value - want) < 1e-2 * WHITE for value in have)
