"""A classifier of images: features of an encoder, frozen or not, and a small head.

Shapes: `B` studies, `C` classes, `F` features, `K` observations.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["BatchNormMode", "FeatureHead", "ImageClassifier", "class_probabilities"]

BatchNormMode = Literal["eval", "train"]


def class_probabilities(logits: torch.Tensor, task: str) -> torch.Tensor:
    """Return probabilities (B, C): of each class by itself, or of the classes of a `multiclass` task together.

    Example:
        >>> class_probabilities(torch.zeros(1, 2), "multiclass"), class_probabilities(torch.zeros(1, 1), "binary")
        (tensor([[0.5000, 0.5000]]), tensor([[0.5000]]))
    """
    values = logits.double() if logits.dtype == torch.float64 else logits.float()
    return values.softmax(dim=1) if task == "multiclass" else values.sigmoid()


class FeatureHead(nn.Module):
    """One linear layer on features; of several observations each class first picks its own, by attention.

    Args:
        width: F.
        classes: C.
        attention: the features are (B, K, F). Each class has a query; the softmax of its products with the
            observations weighs them.
        seed: of the initial weights.

    Shape:
        - features: (B, F), or (B, K, F) with `attention`
        - result: logits (B, C)

    Example:
        >>> FeatureHead(8, 3)(torch.zeros(2, 8)).shape, FeatureHead(8, 3, attention=True)(torch.zeros(2, 5, 8)).shape
        (torch.Size([2, 3]), torch.Size([2, 3]))
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, width: int, classes: int, *, attention: bool = False, seed: int = 0) -> None:
        super().__init__()
        if width < 1 or classes < 1:
            raise ValueError(f"width and classes must be at least 1, got {width} and {classes}")
        self.attention = attention
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.linear = nn.Linear(width, classes)
            self.class_queries = nn.Parameter(torch.randn(classes, width) / width**0.5) if attention else None
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def fit_scale(self, features: torch.Tensor) -> FeatureHead:
        """Standardize by the mean and deviation of training features; one that never varies is left at its scale."""
        flat = features.reshape(-1, features.shape[-1]).double()
        spread = flat.std(dim=0, correction=0)
        self.mean.copy_(flat.mean(dim=0))
        self.std.copy_(torch.where(spread > 1e-6 * (1 + flat.abs().amax(dim=0)), spread, torch.ones_like(spread)))
        return self

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        if features.ndim != (3 if self.attention else 2):
            expected = "(B, K, F)" if self.attention else "(B, F)"
            raise ValueError(f"features must be {expected}, got {tuple(features.shape)}")
        scaled = (features - self.mean) / self.std
        if self.class_queries is None:
            return self.linear(scaled)
        weight = torch.einsum("bkf,cf->bck", scaled, self.class_queries).softmax(dim=-1)
        picked = torch.einsum("bck,bkf->bcf", weight, scaled)  # an observation for each class
        return torch.einsum("bcf,cf->bc", picked, self.linear.weight) + self.linear.bias

    def no_weight_decay(self) -> set[str]:
        """Return the parameters that take no weight decay (timm's protocol)."""
        return {"class_queries"} if self.attention else set()


class ImageClassifier(nn.Module):
    """An encoder with a head.

    Args:
        encoder: a `PLACEFeatureEncoder` or a `TimmFeatureEncoder`.
        kind: of the features.
        classes: C.
        frozen: the head alone learns.
        batchnorm: of a frozen encoder with BatchNorm: `eval` uses the statistics of its pretraining; `train` those of
            the batch and goes on averaging them, as the published code does (quirk 6). A ViT has none.
        seed: of the head's initial weights.

    Raises:
        ValueError: a choice is unknown, or the encoder has no such features.

    Shape:
        - image: (B, 1, H, W), normalized
        - result: logits (B, C)
    """

    def __init__(
        self,
        encoder: Any,
        *,
        kind: str = "global",
        classes: int,
        frozen: bool = False,
        batchnorm: BatchNormMode = "eval",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batchnorm not in get_args(BatchNormMode):
            raise ValueError(f"batchnorm is {batchnorm!r}, expected one of {get_args(BatchNormMode)}")
        if kind not in encoder.kinds:
            raise ValueError(f"features are {kind!r}, this encoder has {encoder.kinds}")
        self.encoder = encoder
        self.kind = kind
        self.frozen = frozen
        self.batchnorm = batchnorm
        self.head = FeatureHead(encoder.width(kind), classes, attention=kind == "observations", seed=seed)
        if frozen:
            self.encoder.requires_grad_(requires_grad=False)
        self.train(self.training)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.encoder(image, self.kind)
        return self.head(features)

    def train(self, mode: bool = True) -> ImageClassifier:  # noqa: FBT001, FBT002 (torch's signature)
        """Set the mode; a frozen encoder stays in eval, but for BatchNorm where it is asked for."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
            for module in self.encoder.modules():
                if isinstance(module, _BatchNorm):
                    module.train(mode and self.batchnorm == "train")
        return self

    def layer_depth(self, name: str) -> tuple[int, int]:
        """Return the layer of a parameter and the number of layers; the head is one more than the encoder's."""
        inner = name.removeprefix("encoder.")
        depth, layers = self.encoder.layer_depth(inner)
        return (depth if inner != name else layers), layers + 1
