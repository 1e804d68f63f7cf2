"""The sum of PLACE's losses, as named terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from monai_place.losses.alignment import GlobalAlignmentLoss
from monai_place.losses.correlation import PatchCorrelationLoss
from monai_place.losses.observation import ContrastMode, DuplicatePolicy, ObservationAlignmentLoss

if TYPE_CHECKING:  # the losses need torch alone, not timm and transformers
    from monai_place.networks.outputs import PLACEOutput

__all__ = ["PLACELoss"]


class PLACELoss(nn.Module):
    """`ita_weight * ITA + pcma_weight * PCMA + cce_weight * CCE`.

    Args:
        ita_weight: weight of the instance alignment.
        pcma_weight: weight of the pathological-level alignment; 0 leaves it out of the sum and of the work.
        cce_weight: weight of the correlation exploration; 0 leaves it out.
        cce_image_weight: weight of the correlations that the image's tokens predict without a report.
        patch_weight: weight of the same alignment with the patch values in the place of the observations: a sentence
            picks patches, which teaches them to be evidence where they are.
        mode: see `ObservationAlignmentLoss`.
        duplicates: see `ObservationAlignmentLoss`.
        temperature: of the PCMA contrast.
        pick_temperature: of a sentence's choice among the observations.

    Reference:
        arXiv:2506.10573; the weights are this project's (docs/method.md).
    """

    def __init__(
        self,
        *,
        ita_weight: float = 1.0,
        pcma_weight: float = 1.0,
        cce_weight: float = 0.5,
        cce_image_weight: float = 0.5,
        patch_weight: float = 0.0,
        mode: ContrastMode = "report",
        duplicates: DuplicatePolicy = "mask",
        temperature: float = 0.1,
        pick_temperature: float = 0.1,
    ) -> None:
        super().__init__()
        for name, weight in (
            ("ita_weight", ita_weight),
            ("pcma_weight", pcma_weight),
            ("cce_weight", cce_weight),
            ("cce_image_weight", cce_image_weight),
            ("patch_weight", patch_weight),
        ):
            if not weight >= 0:
                raise ValueError(f"{name} is {weight}, expected a number of at least 0")
        self.weights = {
            "ita": ita_weight,
            "pcma": pcma_weight,
            "cce": cce_weight,
            "cce_image": cce_image_weight,
            "patch": patch_weight,
        }
        if not any(self.weights.values()):
            raise ValueError("all weights are 0: there is no loss left")
        self.ita = GlobalAlignmentLoss()
        self.pcma = ObservationAlignmentLoss(
            mode, duplicates=duplicates, temperature=temperature, pick_temperature=pick_temperature
        )
        self.cce = PatchCorrelationLoss()

    def forward(self, output: PLACEOutput) -> dict[str, torch.Tensor]:
        """Return `loss` and the terms that have a weight, unweighted; scalars in float32.

        Raises:
            ValueError: CCE alone has a weight, and the model has no correlation head.
        """
        image, report = output.image, output.report
        terms: dict[str, torch.Tensor] = {}
        if self.weights["ita"] > 0:
            terms["ita"] = self.ita(
                image.global_embedding, report.global_embedding, output.temperature, has_text=report.has_text
            )
        if self.weights["pcma"] > 0:
            terms["pcma"] = self.pcma(
                report.sentence_embeddings, report.sentence_mask, output.sentence_keys, image.observations
            )
        if self.weights["patch"] > 0:
            terms["patch"] = self.pcma(
                report.sentence_embeddings,
                report.sentence_mask,
                output.sentence_keys,
                F.normalize(image.patch_values, dim=-1),
            )
        if self.weights["cce"] > 0 and output.correlation is not None:
            terms["cce"] = self.cce(output.correlation.prediction, output.correlation.target, has_text=report.has_text)
        if self.weights["cce_image"] > 0 and output.image_correlation is not None:
            terms["cce_image"] = self.cce(output.image_correlation.prediction, output.image_correlation.target)
        if not terms:
            raise ValueError(
                "only the weights of the correlation are positive, and the output has none (correlation_depth is 0)"
            )
        loss = torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()
        return {"loss": loss, **terms}
