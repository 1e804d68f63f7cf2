"""PLACE: image encoder, report encoder, observation extractor and correlation head in one module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from monai_place.networks.config import PLACEConfig
from monai_place.networks.correlation import (
    CorrelationHead,
    TokenCorrelationHead,
    feature_correlation,
    pixel_correlation,
)
from monai_place.networks.image import RadiographEncoder
from monai_place.networks.observations import ObservationExtractor
from monai_place.networks.outputs import CorrelationOutput, ImageFeatures, PLACEOutput, ReportFeatures
from monai_place.networks.report import ReportEncoder, pool_sentences, sentence_keys

__all__ = ["PLACEModel"]


class PLACEModel(nn.Module):
    """The model that is pretrained.

    Args:
        config: sizes and choices; a plain dict (from JSON) is taken as the fields of `PLACEConfig`.

    Example:
        >>> from monai_place.networks import place_preset
        >>> model = PLACEModel(place_preset("place_tiny", vocab_size=50))
        >>> model.encode_image(torch.zeros(2, 1, 128, 128)).observations.shape
        torch.Size([2, 16, 128])

    Reference:
        Wang, Zhu, Yu, Bhalerao, He: Improving Medical Visual Representation Learning with Pathological-level
        Cross-Modal Alignment and Correlation Exploration, arXiv:2506.10573. docs/method.md tells what is the paper's
        and what is this project's.
    """

    def __init__(self, config: PLACEConfig | Mapping[str, Any]) -> None:
        super().__init__()
        config = config if isinstance(config, PLACEConfig) else PLACEConfig.from_dict(dict(config))
        self.config = config
        self.image_encoder = RadiographEncoder(
            config.image_arch,
            image_size=config.image_size,
            stem=config.stem,
            weights=config.image_weights,
            kwargs=config.image_kwargs,
        )
        self.report_encoder = ReportEncoder(
            config.report_name,
            vocab_size=config.vocab_size,
            width=config.report_width,
            depth=config.report_depth,
            heads=config.report_heads,
            max_tokens=config.max_tokens,
        )
        width, report_width = self.image_encoder.embed_dim, self.report_encoder.width
        self.image_projection = _projection(width, config.joint_dim)
        self.report_projection = _projection(report_width, config.joint_dim)
        self.sentence_projection = _projection(report_width, config.joint_dim)
        self.extractor = ObservationExtractor(
            width,
            config.joint_dim,
            queries=config.queries,
            depth=config.extractor_depth,
            heads=config.extractor_heads,
            slot_competition=config.slot_competition,
            attention_temperature=config.attention_temperature,
            local_keys=config.local_keys,
        )
        rows, columns = self.image_encoder.grid
        self.correlation_head = (
            CorrelationHead(
                width,
                report_width,
                dim=config.correlation_dim,
                patches=rows * columns,
                depth=config.correlation_depth,
                mask_ratio=config.correlation_mask_ratio,
            )
            if config.correlation_depth > 0
            else None
        )
        self.token_correlation_head = (
            TokenCorrelationHead(width, dim=config.correlation_dim) if config.image_correlation else None
        )
        log_temperature = torch.tensor(config.temperature).log()
        self.log_temperature = nn.Parameter(log_temperature, requires_grad=config.learn_temperature)

    @property
    def temperature(self) -> torch.Tensor:
        """Softmax temperature (tau) of the global alignment, a scalar in [0.01, 1]."""
        return self.log_temperature.exp().clamp(0.01, 1.0)

    def forward(self, batch: Mapping[str, torch.Tensor]) -> PLACEOutput:
        """Run both encoders and the heads on a batch.

        Args:
            batch: `image`, `input_ids`, `attention_mask` and `sentence_ids` of a batch (docs/data_formats.md).

        Returns:
            What the losses need.

        Raises:
            KeyError: a key is missing.
        """
        missing = [key for key in ("image", "input_ids", "attention_mask", "sentence_ids") if key not in batch]
        if missing:
            raise KeyError(f"the batch lacks {missing}; it has {sorted(batch)}")
        pixels, input_ids, sentence_ids = batch["image"], batch["input_ids"], batch["sentence_ids"]
        image, correlation_tokens = self._image_features(pixels)
        report = self.encode_report(input_ids, batch["attention_mask"], sentence_ids)
        correlation = image_correlation = None
        if self.correlation_head is not None or self.token_correlation_head is not None:
            target = (
                pixel_correlation(pixels, self.image_encoder.patch_size)
                if self.config.correlation_target == "pixels"
                else feature_correlation(image.patch_tokens)
            )
            if self.correlation_head is not None:
                predicted = self.correlation_head(correlation_tokens, report.token_states, report.attention_mask)
                correlation = CorrelationOutput(prediction=predicted, target=target)
            if self.token_correlation_head is not None:
                predicted = self.token_correlation_head(image.patch_tokens)
                image_correlation = CorrelationOutput(prediction=predicted, target=target)
        return PLACEOutput(
            image=image,
            report=report,
            sentence_keys=sentence_keys(input_ids, sentence_ids, report.sentence_mask.shape[1]),
            temperature=self.temperature,
            correlation=correlation,
            image_correlation=image_correlation,
        )

    def encode_image(self, image: torch.Tensor) -> ImageFeatures:
        """Encode images (B, 1, H, W), normalized as the weights' preprocessing says."""
        return self._image_features(image)[0]

    def encode_report(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, sentence_ids: torch.Tensor
    ) -> ReportFeatures:
        """Encode reports, each once and whole: `input_ids`, `attention_mask`, `sentence_ids`, all (B, T)."""
        states = self.report_encoder(input_ids, attention_mask)
        sentences, mask = pool_sentences(states, sentence_ids)
        if self.config.report_pool == "cls":
            pooled = states[:, 0]
        else:
            weight = attention_mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        embedded = F.normalize(self.sentence_projection(sentences).float(), dim=-1) * mask.unsqueeze(-1)
        return ReportFeatures(
            global_embedding=F.normalize(self.report_projection(pooled).float(), dim=-1),
            sentence_embeddings=embedded,
            sentence_mask=mask,
            token_states=states,
            attention_mask=attention_mask,
        )

    def correlation_tokens(self, image: torch.Tensor) -> torch.Tensor:
        """Return the patch tokens (B, N, E) that the correlation head reads."""
        return self._image_features(image)[1]

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that take no weight decay besides norms and biases (timm's protocol)."""
        names = {f"image_encoder.vit.{name}" for name in self.image_encoder.vit.no_weight_decay()}
        extra = {"extractor.queries", "log_temperature", "correlation_head.position", "correlation_head.mask_token"}
        return (names | extra) & {name for name, _ in self.named_parameters()}

    def set_grad_checkpointing(self, *, enable: bool = True) -> None:
        """Trade time for memory in both encoders (timm's protocol)."""
        self.image_encoder.set_grad_checkpointing(enable=enable)
        self.report_encoder.set_grad_checkpointing(enable=enable)

    def _image_features(self, image: torch.Tensor) -> tuple[ImageFeatures, torch.Tensor]:
        """Return the features and the tokens that the correlation head reads."""
        encoder, config = self.image_encoder, self.config
        tokens, (early, related) = encoder.forward_levels(image, [config.value_level, config.correlation_level])
        patches = tokens[:, encoder.prefix_tokens :]
        by_token = config.image_pool == "cls" and encoder.vit.has_class_token
        pooled = tokens[:, 0] if by_token else patches.mean(dim=1)
        observations, attention, values = self.extractor(patches, early)
        size = encoder.patch_size
        features = ImageFeatures(
            global_embedding=F.normalize(self.image_projection(pooled).float(), dim=-1),
            patch_tokens=patches,
            observations=observations,
            attention=attention,
            patch_values=values,
            grid=(image.shape[2] // size, image.shape[3] // size),
        )
        return features, related


def _projection(width: int, joint_dim: int) -> nn.Sequential:
    """Two-layer head into the joint space."""
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, joint_dim, bias=False))
