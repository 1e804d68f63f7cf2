"""AdamW for PLACE: which parameters decay, and which learn at another rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from monai_place.engines.ranks import unwrap_network

__all__ = ["build_adamw", "parameter_groups"]

# Whole last parts of a parameter's name, or their endings: `queries` is a learnt token, but the `query.weight` of an
# attention layer is a matrix as any other and decays.
NO_DECAY_ENDINGS = ("_token", "_tokens", "queries", "pos_embed", "position_embedding", "temperature", "logit_scale")


def parameter_groups(
    network: nn.Module, *, lr: float, weight_decay: float, lr_multipliers: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Sort the trainable parameters by decay and learning rate; each is in exactly one group.

    No decay for vectors and scalars (norms, biases, temperature), position embeddings, learnt tokens and queries, and
    what the network or a part of it names in `no_weight_decay()` (timm's protocol).

    Args:
        network: whose parameters; frozen ones are left out.
        lr: base learning rate.
        weight_decay: of the groups that decay.
        lr_multipliers: begin of a parameter's name -> factor on `lr`; the longest that fits counts.

    Returns:
        Groups for a torch optimizer, each with a `name`, such as `image_encoder.decay`.

    Raises:
        ValueError: a number is out of its range, nothing is trainable, or a multiplier fits no parameter.

    Example:
        >>> [(g["name"], len(g["params"])) for g in parameter_groups(nn.Linear(2, 1), lr=1e-3, weight_decay=0.1)]
        [('base.decay', 1), ('base.no_decay', 1)]
    """
    if not lr > 0 or not weight_decay >= 0:
        raise ValueError(f"lr must be positive and weight_decay at least 0, got {lr} and {weight_decay}")
    network = unwrap_network(network)
    multipliers = dict(lr_multipliers or {})
    if bad := {prefix: factor for prefix, factor in multipliers.items() if not factor > 0}:
        raise ValueError(f"lr_multipliers must be positive, got {bad}; freeze parameters with requires_grad=False")
    exempt = set(_names_without_decay(network))
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        prefix = max((key for key in multipliers if _begins(name, key)), key=len, default="")
        decays = parameter.ndim > 1 and name not in exempt
        key = f"{prefix or 'base'}.{'decay' if decays else 'no_decay'}"
        group = groups.setdefault(
            key,
            {
                "name": key,
                "params": [],
                "lr": lr * multipliers.get(prefix, 1.0),
                "weight_decay": weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    if not groups:
        raise ValueError("the network has no trainable parameters")
    names = [name for name, _ in network.named_parameters()]
    if useless := [prefix for prefix in multipliers if not any(_begins(name, prefix) for name in names)]:
        raise ValueError(f"lr_multipliers {useless} fit no parameter; names begin with {sorted(_tops(names))}")
    return list(groups.values())


def build_adamw(
    network: nn.Module,
    *,
    lr: float = 5e-4,
    weight_decay: float = 0.05,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: float = 1e-8,
    lr_multipliers: Mapping[str, float] | None = None,
) -> torch.optim.AdamW:
    """Return AdamW over `parameter_groups`.

    Args:
        network: whose parameters.
        lr: base learning rate.
        weight_decay: of the parameters that decay.
        betas: decay of the moments. A second one below 0.999 forgets the large gradients of the start sooner.
        eps: see torch.
        lr_multipliers: see `parameter_groups`.
    """
    groups = parameter_groups(network, lr=lr, weight_decay=weight_decay, lr_multipliers=lr_multipliers)
    return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay)


def _names_without_decay(network: nn.Module) -> Iterator[str]:
    for path, module in network.named_modules():
        prefix = f"{path}." if path else ""
        told = module.no_weight_decay() if callable(getattr(module, "no_weight_decay", None)) else ()
        yield from (prefix + name for name in told)
        for name, _ in module.named_parameters(recurse=False):
            # `position_embeddings.weight` of an nn.Embedding is told by the name of the module.
            own = path.rpartition(".")[2] if isinstance(module, nn.Embedding) else name
            if own.endswith(NO_DECAY_ENDINGS) or "position_embedding" in own:
                yield prefix + name


def _begins(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def _tops(names: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}
