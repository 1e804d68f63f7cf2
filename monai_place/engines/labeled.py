"""Classification by MONAI's engines: batches with labels, optimizers, processes, and predictions in order.

Shapes: `B` studies, `C` classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from monai_place.engines.optimizer import parameter_groups
from monai_place.engines.prepare import AutocastInferer
from monai_place.engines.ranks import unwrap_network
from monai_place.losses.gather import gather_across_ranks

__all__ = [
    "PrepareLabeledBatch",
    "build_layer_decay_adamw",
    "distribute_classifier",
    "layer_decay_groups",
    "predict_studies",
]


class PrepareLabeledBatch(PrepareBatch):
    """MONAI's `prepare_batch` for classification: one tensor of the batch, and the labels.

    Args:
        key: of the tensor that the network takes, `image` or `features`.

    Example:
        >>> batch = {"image": torch.zeros(2, 1, 8, 8), "label": torch.ones(2, 3)}
        >>> [tuple(part.shape) for part in PrepareLabeledBatch("image")(batch, "cpu")]
        [(2, 1, 8, 8), (2, 3)]
    """

    def __init__(self, key: str = "image") -> None:
        self.key = key

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,  # noqa: FBT001, FBT002  # MONAI's signature
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the network's input and the labels (B, C) on `device`."""
        inputs, labels = (
            batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs) for key in (self.key, "label")
        )
        return inputs, labels


def layer_decay_groups(
    network: nn.Module, *, lr: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Sort the trainable parameters by layer and decay; layer d of n learns at `lr * layer_decay ** (n - 1 - d)`.

    Args:
        network: with `layer_depth(name)`, such as an `ImageClassifier`.
        lr: of the head.
        weight_decay: of the groups that decay, see `parameter_groups`.
        layer_decay: in (0, 1]; 1 is one rate for all.

    Raises:
        ValueError: a number is out of its range.
        TypeError: the network does not tell its layers.

    Reference:
        Clark et al., ELECTRA, ICLR 2020, appendix; Bao et al., BEiT, ICLR 2022.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must be in (0, 1], got {layer_decay}")
    plain: Any = unwrap_network(network)
    if not callable(getattr(plain, "layer_depth", None)):
        raise TypeError(f"{type(plain).__name__} has no layer_depth(name); layer_decay needs one")
    names = {parameter: name for name, parameter in plain.named_parameters()}
    groups: dict[str, dict[str, Any]] = {}
    for base in parameter_groups(plain, lr=lr, weight_decay=weight_decay):
        kind = base["name"].partition(".")[2]
        for parameter in base["params"]:
            depth, layers = plain.layer_depth(names[parameter])
            name = f"layer_{depth:02d}.{kind}"
            scale = layer_decay ** (layers - 1 - depth)
            group = groups.setdefault(name, {**base, "name": name, "params": [], "lr": lr * scale})
            group["params"].append(parameter)
    return [groups[name] for name in sorted(groups)]


def build_layer_decay_adamw(
    network: nn.Module,
    *,
    lr: float = 5e-4,
    weight_decay: float = 0.05,
    layer_decay: float = 0.75,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.AdamW:
    """Return AdamW over `layer_decay_groups`.

    Args:
        network: see `layer_decay_groups`.
        lr: of the head.
        weight_decay: of the parameters that decay.
        layer_decay: from one layer to the one before it.
        betas: decay of the moments.
    """
    groups = layer_decay_groups(network, lr=lr, weight_decay=weight_decay, layer_decay=layer_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), weight_decay=weight_decay)


def distribute_classifier(network: nn.Module, *, device: torch.device | str) -> DistributedDataParallel:
    """Wrap a classifier for training on several processes; all ranks have to call it.

    Args:
        network: its output is one tensor.
        device: of this rank.
    """
    device = torch.device(device)
    # The mean of the patches leaves the norm of timm's own head without a gradient.
    unused = getattr(network, "kind", None) == "patch_mean"
    return DistributedDataParallel(
        network.to(device),
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=unused,
    )


@torch.no_grad()
def predict_studies(
    network: nn.Module,
    loader: DataLoader[Any],
    *,
    key: str = "image",
    device: torch.device | str = "cpu",
    inferer: AutocastInferer | None = None,
) -> torch.Tensor:
    """Return the logits (B, C) of a loader's studies in the order of its data, on all ranks.

    Args:
        network: put into evaluation mode, and back.
        loader: of `study_loader` without `shuffle`; each rank runs its share.
        key: of the network's input in a batch.
        device: where the network is.
        inferer: as in the training; None runs plainly.
    """
    plain = unwrap_network(network)
    was_training, run = plain.training, inferer or AutocastInferer(enabled=False)
    plain.eval()
    parts = [run(batch[key].to(device), plain).float() for batch in loader]
    plain.train(was_training)
    sampler: Any = loader.sampler
    own = torch.cat(parts)
    places = torch.arange(sampler.length, device=own.device)[sampler.rank :: sampler.num_replicas]
    logits, places = gather_across_ranks(own), gather_across_ranks(places)
    return logits[places.argsort()].cpu()
