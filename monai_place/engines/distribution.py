"""A network on several processes: DistributedDataParallel around what the loss really trains."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_place.engines.random_state import isolated_random

__all__ = ["distribute_network", "freeze_untrained_parameters"]

logger = logging.getLogger(__name__)

INVENTED_STUDIES = 2


def distribute_network(
    network: nn.Module, loss: Callable[[Any], Mapping[str, torch.Tensor]], *, device: torch.device | str
) -> DistributedDataParallel:
    """Wrap a PLACE network for training on several processes; all ranks have to call it.

    DistributedDataParallel waits for the gradient of every parameter that can have one. What no term of the loss
    reaches, such as the extractor where PCMA has no weight, is frozen first; torch's own `find_unused_parameters` does
    not see it, since it is part of the network's output, and `static_graph` leaves the gradients of a network whose
    output is a dataclass unreduced.

    Args:
        network: a `PLACEModel`.
        loss: that is trained, from the network's output to a dict with `loss`.
        device: of this rank.

    Returns:
        The wrapped network, on the device.
    """
    device = torch.device(device)
    network.to(device)
    freeze_untrained_parameters(network, loss)
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)


def freeze_untrained_parameters(network: nn.Module, loss: Callable[[Any], Mapping[str, torch.Tensor]]) -> list[str]:
    """Freeze the parameters that the loss gives no gradient, and return their names.

    They are found by one backward pass on two invented studies, which leaves neither gradients nor a trace in the
    random generators.

    Args:
        network: a `PLACEModel`.
        loss: from the network's output to a dict with `loss`.
    """
    with isolated_random(0):
        loss(network(_invented_batch(network)))["loss"].backward()
    frozen = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.requires_grad_(False)
            frozen.append(name)
        parameter.grad = None
    if frozen:
        parts = sorted({name.partition(".")[0] for name in frozen})
        logger.info("%d parameters are not reached by the loss and stay as they are: in %s", len(frozen), parts)
    return frozen


def _invented_batch(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return studies of noise with two sentences of one token each."""
    config: Any = network.config
    device = next(network.parameters()).device
    sentence_ids = torch.tensor([[-1, 0, 1, -1]] * INVENTED_STUDIES, device=device)  # (B, T)
    return {
        "image": torch.randn(INVENTED_STUDIES, 1, config.image_size, config.image_size, device=device),
        # Different sentences in the two studies: equal ones are no negatives of each other.
        "input_ids": torch.arange(sentence_ids.numel(), device=device).view_as(sentence_ids),
        "attention_mask": torch.ones_like(sentence_ids, dtype=torch.bool),
        "sentence_ids": sentence_ids,
    }
