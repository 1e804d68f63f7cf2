"""Between MONAI's engines and PLACE: a batch for `network(inputs)`, and a loss that keeps its named terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.inferers import SimpleInferer
from monai.utils.enums import CommonKeys
from torch import nn

__all__ = ["AutocastInferer", "PrepareStudyBatch", "TermsLoss", "loss_terms", "prepare_study_batch"]


class PrepareStudyBatch(PrepareBatch):
    """MONAI's `prepare_batch` for studies: the batch's tensors on the device, and no target.

    The network takes them as one dict, `network(inputs)`, which is what MONAI's trainer and evaluator call.

    Args:
        keys: the tensors to take; by default all. A key that the batch lacks is left out.

    Example:
        >>> inputs, target = prepare_study_batch({"image": torch.zeros(2, 1, 8, 8), "id": ["a", "b"]}, "cpu")
        >>> list(inputs), target
        (['image'], None)
    """

    def __init__(self, keys: list[str] | None = None) -> None:
        self.keys = keys

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,  # noqa: FBT001, FBT002  # MONAI's signature
        **kwargs: Any,
    ) -> tuple[dict[str, torch.Tensor], None]:
        """Return the tensors of `batchdata` on `device`, and None."""
        return {
            key: value.to(device=device, non_blocking=non_blocking, **kwargs)
            for key, value in batchdata.items()
            if isinstance(value, torch.Tensor) and (self.keys is None or key in self.keys)
        }, None


prepare_study_batch = PrepareStudyBatch()


class TermsLoss(nn.Module):
    """Makes a loss of named terms the scalar that MONAI's `loss_function(prediction, target).mean()` expects.

    Args:
        loss: returns a dict with the key `loss` and any other terms, such as `PLACELoss`.

    Example:
        >>> loss = TermsLoss(lambda output: {"loss": 2 * output, "half": output})
        >>> loss(torch.tensor(1.0), None), loss.terms
        (tensor(2.), {'loss': tensor(2.), 'half': tensor(1.)})
    """

    def __init__(self, loss: Callable[[Any], Mapping[str, torch.Tensor]]) -> None:
        super().__init__()
        self.loss = loss
        self.terms: dict[str, torch.Tensor] = {}

    def forward(self, prediction: Any, target: Any = None) -> torch.Tensor:
        """Return the term `loss`; `terms` keeps all of them, without gradient, until the next call.

        Raises:
            KeyError: there is no term `loss`.
        """
        terms = self.loss(prediction)
        if "loss" not in terms:
            raise KeyError(f"the loss returned the terms {sorted(terms)}, expected one of them to be 'loss'")
        self.terms = {name: value.detach() for name, value in terms.items()}
        return terms["loss"]


class AutocastInferer(SimpleInferer):
    """Runs the network under autocast on whatever device it is, and leaves the loss in float32.

    MONAI's own `amp=True` is for CUDA, scales the gradients as float16 needs it, and puts the loss under autocast too.

    Args:
        dtype: `bfloat16` or `float16`. float16 needs the scaling of `amp=True`; bfloat16 does not.
        enabled: False is MONAI's plain inferer.

    Raises:
        ValueError: the dtype is another one.
    """

    def __init__(self, dtype: str = "bfloat16", *, enabled: bool = True) -> None:
        super().__init__()
        choices = {"bfloat16": torch.bfloat16, "float16": torch.float16}
        if dtype not in choices:
            raise ValueError(f"dtype must be one of {sorted(choices)}, got {dtype!r}")
        self.dtype = choices[dtype]
        self.enabled = enabled

    def __call__(self, inputs: Any, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return `network(inputs, *args, **kwargs)`."""
        with torch.autocast(_device_type(inputs), dtype=self.dtype, enabled=self.enabled):
            return network(inputs, *args, **kwargs)


def loss_terms(engine: Any) -> dict[str, float]:
    """Return the named terms of a trainer's last step, with one wait for the device.

    Args:
        engine: a MONAI trainer. Without a `TermsLoss` there is one term, `loss`.
    """
    terms = dict(getattr(engine.loss_function, "terms", None) or {})
    if not terms:
        output = engine.state.output
        output = output[0] if isinstance(output, list) else output
        terms = {"loss": torch.as_tensor(output[CommonKeys.LOSS]).detach()}
    values = torch.stack([value.float().mean() for value in terms.values()]).tolist()
    return dict(zip(terms, values, strict=True))


def _device_type(inputs: Any) -> str:
    values = inputs.values() if isinstance(inputs, Mapping) else [inputs]
    return next((value.device.type for value in values if isinstance(value, torch.Tensor)), "cpu")
