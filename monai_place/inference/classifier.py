"""Zero-shot classification as one network: an image tensor in, a tensor of probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from monai_place.data.tokens import ReportTokenizer
from monai_place.inference.prompts import PromptSet
from monai_place.inference.text import embed_sentences
from monai_place.networks import ImageFeatures, PLACEConfig, PLACEModel

__all__ = ["PLACEFindingClassifier", "ScoreMode"]

ScoreMode = Literal["global", "local", "mean"]


class PLACEFindingClassifier(nn.Module):
    """The image side of PLACE with the embedded prompts as buffers, so that no text encoder is needed.

    The score of a finding compares its positive prompts with its negative ones. For a prompt, `global` takes the
    cosine of the image's and the prompt's global embeddings; `local` lets the prompt's sentence embedding softly pick
    the image's observations and takes the picked cosine. The cosines of a finding's prompts are averaged, and

    `score = (positive - negative) / temperature`, `probability = sigmoid(score)`,

    which is the softmax over the pair (positive, negative). `mean` averages the scores of both ways. The temperatures
    are those of training. A probability made of cosines is not calibrated: compare it between images, not with 0.5.

    The names of parameters are those of `PLACEModel`. An instance made from plain sizes, as a bundle's JSON does, has
    an empty bank; its state dict brings the rest. Not a medical device.

    Args:
        config: of the model; its `image_weights` are not fetched.
        classes: C findings.
        positive_prompts: room for prompts per finding, P.
        negative_prompts: the same for the negative ones.
        mode: `global`, `local` or `mean`.

    Raises:
        ValueError: a choice is unknown, or a number out of range.

    Shape:
        - image: (B, 1, H, W), normalized as the weights' preprocessing says
        - result: (B, C) in [0, 1]

    Example:
        >>> from monai_place.networks import place_preset
        >>> config = place_preset("place_tiny").to_dict()
        >>> network = PLACEFindingClassifier(config, ["nodule", "edema"], positive_prompts=3, negative_prompts=2)
        >>> network(torch.zeros(1, 1, 128, 128)).shape
        torch.Size([1, 2])
    """

    if TYPE_CHECKING:  # TorchScript does not read annotations that are text
        positive_reports: torch.Tensor
        positive_sentences: torch.Tensor
        positive_mask: torch.Tensor
        negative_reports: torch.Tensor
        negative_sentences: torch.Tensor
        negative_mask: torch.Tensor
        global_temperature: torch.Tensor
        local_temperature: torch.Tensor
        pick_temperature: torch.Tensor

    def __init__(
        self,
        config: PLACEConfig | Mapping[str, Any],
        classes: Sequence[str],
        *,
        positive_prompts: int,
        negative_prompts: int,
        mode: ScoreMode = "mean",
    ) -> None:
        super().__init__()
        config = config if isinstance(config, PLACEConfig) else PLACEConfig.from_dict(dict(config))
        if mode not in get_args(ScoreMode):
            raise ValueError(f"mode is {mode!r}, expected one of {get_args(ScoreMode)}")
        if not classes or min(positive_prompts, negative_prompts) < 1:
            raise ValueError(
                f"{len(classes)} classes with {positive_prompts} positive and {negative_prompts} negative prompts: "
                "expected at least 1 of each"
            )
        # The parts are those of a whole model, so that they cannot be built in another way; the rest is dropped.
        whole = PLACEModel(_image_side(config))
        self.image_encoder = whole.image_encoder
        self.image_projection = whole.image_projection
        self.extractor = whole.extractor
        self.config = config.replace(image_weights=None)
        self.mode: str = mode
        self.value_level = config.value_level
        self.prefix_tokens = self.image_encoder.prefix_tokens
        self.pools_token = config.image_pool == "cls" and bool(self.image_encoder.vit.has_class_token)
        self.classes = list(classes)
        for kind, count in (("positive", positive_prompts), ("negative", negative_prompts)):
            shape = (len(classes), count, config.joint_dim)
            self.register_buffer(f"{kind}_reports", torch.zeros(shape))
            self.register_buffer(f"{kind}_sentences", torch.zeros(shape))
            self.register_buffer(f"{kind}_mask", torch.zeros(shape[:2], dtype=torch.bool))
        for name in ("global_temperature", "local_temperature", "pick_temperature"):
            self.register_buffer(name, torch.tensor(1.0))

    @classmethod
    def from_place(
        cls,
        model: PLACEModel,
        tokenizer: ReportTokenizer,
        prompts: PromptSet,
        *,
        mode: ScoreMode = "mean",
        local_temperature: float = 0.1,
        pick_temperature: float = 0.1,
    ) -> PLACEFindingClassifier:
        """Take the image side of a model and embed the prompts.

        Args:
            model: pretrained.
            tokenizer: that of the model.
            prompts: of the findings wanted.
            mode: see the class.
            local_temperature: of the PCMA contrast in training.
            pick_temperature: of a sentence's choice among the observations in training.

        Raises:
            ValueError: a temperature is not positive.
        """
        if not min(local_temperature, pick_temperature) > 0:
            raise ValueError(f"temperatures {(local_temperature, pick_temperature)} must be positive")
        made = cls(
            model.config,
            prompts.classes,
            positive_prompts=max(len(entry.positive) for entry in prompts.findings),
            negative_prompts=max(len(entry.negative) for entry in prompts.findings),
            mode=mode,
        )
        for name in ("image_encoder", "image_projection", "extractor"):
            getattr(made, name).load_state_dict(getattr(model, name).state_dict())
        was_training = model.training
        model.eval()
        for kind in ("positive", "negative"):
            groups = [getattr(entry, kind) for entry in prompts.findings]
            texts = [text for group in groups for text in group]
            mask = getattr(made, f"{kind}_mask")
            for row, group in enumerate(groups):
                mask[row, : len(group)] = True
            reports, sentences = embed_sentences(model, tokenizer, texts)
            getattr(made, f"{kind}_reports")[mask] = reports
            getattr(made, f"{kind}_sentences")[mask] = sentences
        model.train(was_training)
        made.global_temperature.copy_(model.temperature.detach())
        made.local_temperature.fill_(local_temperature)
        made.pick_temperature.fill_(pick_temperature)
        return made.to(model.log_temperature.device).eval()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that build an instance which this one's state dict fits, as plain JSON values."""
        return {
            "config": self.config.to_dict(),
            "classes": list(self.classes),
            "positive_prompts": self.positive_mask.shape[1],
            "negative_prompts": self.negative_mask.shape[1],
            "mode": self.mode,
        }

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the probability (B, C) that each finding is there."""
        return torch.sigmoid(self.scores(image))

    @torch.jit.export
    def scores(self, image: torch.Tensor) -> torch.Tensor:
        """Return the scores (B, C) before the sigmoid, which rank images without saturating."""
        tokens, values = self.image_encoder(image, self.value_level)
        patches = tokens[:, self.prefix_tokens :]
        score = torch.zeros(1, device=image.device)
        if self.mode != "local":
            pooled = tokens[:, 0] if self.pools_token else patches.mean(dim=1)
            score = self._global_scores(F.normalize(self.image_projection(pooled).float(), dim=-1))
        if self.mode != "global":
            local = self._local_scores(self.extractor(patches, values)[0])
            score = (score + local) / 2 if self.mode == "mean" else local
        return score

    def scores_of_features(self, features: ImageFeatures) -> dict[str, torch.Tensor]:
        """Return the scores (B, C) of all modes from what the model has already seen.

        Args:
            features: from `PLACEModel.encode_image`.
        """
        found = {
            "global": self._global_scores(features.global_embedding),
            "local": self._local_scores(features.observations),
        }
        return {**found, "mean": (found["global"] + found["local"]) / 2}

    def _global_scores(self, embedding: torch.Tensor) -> torch.Tensor:
        """Compare global embeddings (B, D) with the bank -> (B, C)."""
        positive = self._averaged(self._global(embedding, self.positive_reports), self.positive_mask)
        negative = self._averaged(self._global(embedding, self.negative_reports), self.negative_mask)
        return (positive - negative) / self.global_temperature

    def _local_scores(self, observations: torch.Tensor) -> torch.Tensor:
        """Compare observations (B, K, D) with the bank -> (B, C)."""
        positive = self._averaged(self._local(observations, self.positive_sentences), self.positive_mask)
        negative = self._averaged(self._local(observations, self.negative_sentences), self.negative_mask)
        return (positive - negative) / self.local_temperature

    def _global(self, embedding: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Cosine of each image (B, D) with each prompt (C, P, D) -> (B, C, P)."""
        return torch.einsum("bd,cpd->bcp", embedding, prompts)

    def _local(self, observations: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Picked cosine of each image's observations (B, K, D) with each prompt (C, P, D) -> (B, C, P).

        The formula is that of `monai_place.losses.observation_scores`, written so that it can be scripted.
        """
        similarity = torch.einsum("bkd,cpd->bcpk", observations, prompts)
        return ((similarity / self.pick_temperature).softmax(dim=-1) * similarity).sum(dim=-1)

    def _averaged(self, cosines: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mean over the prompts that are there: (B, C, P) and (C, P) -> (B, C)."""
        weight = mask.to(cosines.dtype)
        return (cosines * weight).sum(dim=-1) / weight.sum(dim=-1).clamp(min=1.0)


def _image_side(config: PLACEConfig) -> PLACEConfig:
    """Return the config with the smallest text side, which is thrown away, and without weights to fetch."""
    return config.replace(
        image_weights=None,
        report_name=None,
        vocab_size=8,
        report_width=8,
        report_depth=1,
        report_heads=1,
        correlation_depth=0,
    )
