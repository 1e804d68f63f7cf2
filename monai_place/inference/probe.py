"""Linear probe: frozen features of images, and what a logistic regression makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from monai_place.inference.images import ImageQueue
from monai_place.inference.labels import label_table
from monai_place.inference.loading import LoadedPLACE
from monai_place.metrics.bootstrap import BootstrapInterval
from monai_place.metrics.zeroshot import zero_shot_intervals

__all__ = ["linear_probe_auroc", "logistic_probe_scores", "probe_features"]

Floats = npt.NDArray[np.float64]


@torch.no_grad()
def probe_features(
    loaded: LoadedPLACE,
    records: Sequence[Mapping[str, Any]],
    *,
    classes: Sequence[str] | None = None,
    batch_size: int = 64,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features and labels of the images that can be read; no text is needed, and none is read.

    The features are those that `collect_studies` returns as `pooled`: what the image projection is given.

    Args:
        loaded: the model.
        records: from `monai_place.data.load_records`.
        classes: names of the entries of `label`; None takes those of the model.
        batch_size: studies at a time.

    Returns:
        Features (B, E) and labels (B, C) of 0, 1, NaN.

    Raises:
        ValueError: no image can be read, or a label has another number of entries than `classes`.
    """
    labels = label_table(records, loaded.classes if classes is None else classes)
    model, device = loaded.model, loaded.model.log_temperature.device
    captured: list[torch.Tensor] = []
    hook = model.image_projection.register_forward_pre_hook(lambda _, arguments: captured.append(arguments[0].cpu()))
    pictures = [record["image"] for record in records]
    queue = ImageQueue(pictures, loaded.preprocess, reading=loaded.reading, batch_size=batch_size)
    kept: list[int] = []
    try:
        for places, image in queue:
            model.encode_image(image.to(device))
            kept += places
    finally:
        hook.remove()
    if not kept:
        raise ValueError(f"none of the {len(records)} images could be read")
    return torch.cat(captured).float(), labels[kept]


def linear_probe_auroc(
    train_features: torch.Tensor,
    train_labels: torch.Tensor,
    test_features: torch.Tensor,
    test_labels: torch.Tensor,
    fraction: float = 1.0,
    *,
    findings: list[str] | None = None,
    inverse_regularization: float = 0.1,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, BootstrapInterval]:
    """Train one logistic regression a finding on standardized features, and return its AUROC on the test split.

    A share of the training studies is a prefix of one seeded order, so that a smaller share lies inside a larger one.

    Args:
        train_features: (B, E).
        train_labels: (B, C) of 0, 1, NaN (not known).
        test_features: (B', E).
        test_labels: (B', C).
        fraction: share of the training studies used, in (0, 1].
        findings: names of the classes; numbers where None.
        inverse_regularization: C of scikit-learn's LogisticRegression.
        bootstrap: resamples of the test studies.
        seed: of the order of the training studies, and of the bootstrap.

    Returns:
        By finding, and their mean as `macro`. A finding of which the training share holds one class only gets chance,
        0.5, since nothing can be learnt of it.

    Raises:
        ValueError: shapes do not fit, or `fraction` is out of its range.

    Example:
        >>> features = torch.linspace(-1, 1, 20)[:, None]
        >>> labels = (features > 0).float()
        >>> linear_probe_auroc(features, labels, features, labels, bootstrap=10)["macro"].value
        1.0
    """
    scores = logistic_probe_scores(
        train_features,
        train_labels,
        test_features,
        fraction,
        inverse_regularization=inverse_regularization,
        seed=seed,
    )
    if len(test_features) != len(test_labels):
        raise ValueError(f"{len(test_features)} rows of test features (B', E) have {len(test_labels)} labels (B', C)")
    return zero_shot_intervals(scores, test_labels, findings=findings, resamples=bootstrap, seed=seed)


def logistic_probe_scores(
    train_features: torch.Tensor,
    train_labels: torch.Tensor,
    test_features: torch.Tensor,
    fraction: float = 1.0,
    *,
    inverse_regularization: float = 0.1,
    seed: int = 0,
) -> Floats:
    """Return the log odds (B', C) that one logistic regression a finding gives to test studies.

    Args:
        train_features: (B, E).
        train_labels: (B, C) of 0, 1, NaN (not known).
        test_features: (B', E).
        fraction: share of the training studies used, in (0, 1].
        inverse_regularization: C of scikit-learn's LogisticRegression.
        seed: of the order of the training studies.

    Raises:
        ValueError: shapes do not fit, or `fraction` is out of its range.
    """
    from sklearn.preprocessing import StandardScaler

    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}, expected 0 < fraction <= 1")
    x, y, test_x = (part.detach().cpu().double().numpy() for part in (train_features, train_labels, test_features))
    if len(x) != len(y) or x.ndim != 2 or x.shape[1:] != test_x.shape[1:]:
        shapes = [tuple(part.shape) for part in (train_features, train_labels, test_features)]
        raise ValueError(f"features and labels {shapes} must be (B, E), (B, C), (B', E)")
    order = np.random.default_rng(seed).permutation(len(x))[: max(1, math.ceil(fraction * len(x)))]
    scaler = StandardScaler().fit(x[order])
    x, y, test_x = scaler.transform(x[order]), y[order], scaler.transform(test_x)
    return np.stack([_fit(x, column, test_x, inverse_regularization) for column in y.T], axis=1)


def _fit(x: Floats, labels: Floats, test_x: Floats, inverse_regularization: float) -> Floats:
    """Return the decision values (B',) of one finding."""
    from sklearn.linear_model import LogisticRegression

    known = ~np.isnan(labels)
    if len(np.unique(labels[known])) < 2:
        return np.zeros(len(test_x))
    model = LogisticRegression(C=inverse_regularization, max_iter=5000)
    decision: Floats = model.fit(x[known], labels[known]).decision_function(test_x)
    return decision
