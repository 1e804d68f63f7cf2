"""Layer-wise decay of the learning rate for whichever backbone tells the depth of its parameters."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from monai_place.registry import OPTIM_WRAPPER_CONSTRUCTORS

__all__ = ["PLACELayerDecayConstructor"]


@ROOT_OPTIM_WRAPPER_CONSTRUCTORS.register_module()
@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PLACELayerDecayConstructor(DefaultOptimWrapperConstructor):
    """Give each layer of the backbone a learning rate of its own, smaller the nearer it is to the image.

    In a config: `optim_wrapper=dict(constructor='monai_place.PLACELayerDecayConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.75), ...)`. Layer d of n
    gets `lr * rate ** (n - 1 - d)`; the neck and the heads get `lr`. Norms, biases, embeddings of position and whatever
    the backbone's `no_weight_decay` names take no weight decay.

    Args:
        optim_wrapper_cfg: as in MMEngine.
        paramwise_cfg: `layer_decay_rate` in (0, 1], and nothing else.

    Raises:
        ValueError: another key, a rate out of its range, or an optimizer without `lr`.
        TypeError: the backbone has no `get_layer_depth(param_name, prefix)`.

    Reference:
        Clark et al., ELECTRA, ICLR 2020, appendix; Bao et al., BEiT, ICLR 2022.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        given = dict(paramwise_cfg or {})
        rate = given.pop("layer_decay_rate", None)
        if given or rate is None or not 0 < rate <= 1:
            raise ValueError(
                f"paramwise_cfg is {paramwise_cfg}, expected dict(layer_decay_rate=...) with a rate in (0, 1]"
            )
        super().__init__(optim_wrapper_cfg, {"layer_decay_rate": rate})
        if not isinstance(self.optimizer_cfg.get("lr"), int | float):
            raise ValueError(f"optimizer has lr {self.optimizer_cfg.get('lr')!r}, expected the rate of the last layer")

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **_: Any) -> None:
        """Add one group per layer and decay to `params`."""
        backbone = getattr(module, "backbone", None)
        if backbone is None or not hasattr(backbone, "get_layer_depth"):
            raise TypeError(
                f"{type(module).__name__}.backbone is {type(backbone).__name__}, without get_layer_depth; expected "
                "PLACEViT or a backbone with this method"
            )
        rate, lr = self.paramwise_cfg["layer_decay_rate"], self.optimizer_cfg["lr"]
        unlisted = {f"backbone.{name}" for name in getattr(backbone, "no_weight_decay", set)()}
        groups: dict[tuple[int, bool], dict[str, Any]] = {}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            depth, layers = backbone.get_layer_depth(name, "backbone.")
            decays = parameter.ndim > 1 and name not in unlisted
            if (depth, decays) not in groups:
                scale = rate ** (layers - 1 - depth)
                # lr_scale is read by no scheduler of MMEngine, which keep the ratio of the groups by themselves
                group: dict[str, Any] = {"params": [], "lr": lr * scale, "lr_scale": scale}
                group |= {} if decays else {"weight_decay": 0.0}
                groups[depth, decays] = group
            groups[depth, decays]["params"].append(parameter)
        params.extend(group for _, group in sorted(groups.items(), key=lambda entry: entry[0]))
        rates = [f"{group['lr_scale']:.3f}" for (_, decays), group in sorted(groups.items()) if decays]
        print_log(f"learning rate by layer, times {lr}: {', '.join(rates)}", logger="current", level=logging.INFO)
