"""Zero-shot classification as one network: an image tensor in, a tensor of probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from monai_place.data.tokens import ReportTokenizer
from monai_place.inference.prompt_bank import PromptBank
from monai_place.inference.prompts import PromptSet
from monai_place.inference.text import embed_sentences
from monai_place.networks import ImageFeatures, PLACEConfig, PLACEModel

__all__ = ["PLACEFindingClassifier", "ScoreMode", "image_fields", "image_side"]

ScoreMode = Literal["global", "local", "mean"]

# What of a PLACEModel reads reports or serves training alone: parts of its state dict, and fields of its config.
TEXT_SIDE = (
    "report_encoder.",
    "report_projection.",
    "sentence_projection.",
    "correlation_head.",
    "token_correlation_head.",
    "log_temperature",
)
TEXT_FIELDS = (
    "report_",
    "correlation_",
    "image_correlation",
    "vocab_size",
    "max_tokens",
    "image_weights",
    "temperature",
    "learn_temperature",
)


class PLACEFindingClassifier(nn.Module):
    """The image side of PLACE with a bank of embedded prompts, so that no text encoder is needed.

    The score of a finding compares its positive prompts with its negative ones. For a prompt, `global` takes the
    cosine of the image's and the prompt's global embeddings; `local` lets the prompt's sentence embedding softly pick
    the image's observations and takes the picked cosine. The cosines of a finding's prompts are averaged, and

    `score = (positive - negative) / temperature`, `probability = sigmoid(score)`,

    which is the softmax over the pair (positive, negative). `mean` averages the scores of both ways. The temperatures
    are those of training. A probability made of cosines is not calibrated: compare it between images, not with 0.5.

    The names of parameters are those of `PLACEModel`, and the bank is `prompt_bank`, so that one file serves both: a
    state dict that holds the text side of PLACE, too, loads, strictly in everything else. An instance made from plain
    sizes, as a bundle's JSON does, has an empty bank; its state dict brings the rest. Not a medical device.

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
        whole = PLACEModel(image_side(config))
        self.image_encoder = whole.image_encoder
        self.image_projection = whole.image_projection
        self.extractor = whole.extractor
        self.config = config.replace(image_weights=None)
        self.mode: str = mode
        self.value_level = config.value_level
        self.prefix_tokens = self.image_encoder.prefix_tokens
        self.pools_token = config.image_pool == "cls" and bool(self.image_encoder.vit.has_class_token)
        self.classes = list(classes)
        self.prompt_bank = PromptBank(
            len(classes),
            positive_prompts=positive_prompts,
            negative_prompts=negative_prompts,
            joint_dim=config.joint_dim,
        )
        self.register_load_state_dict_pre_hook(_drop_text_side)

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
        was_training, bank = model.training, made.prompt_bank
        model.eval()
        for kind in ("positive", "negative"):
            groups = [getattr(entry, kind) for entry in prompts.findings]
            texts = [text for group in groups for text in group]
            mask = getattr(bank, f"{kind}_mask")
            for row, group in enumerate(groups):
                mask[row, : len(group)] = True
            reports, sentences = embed_sentences(model, tokenizer, texts)
            getattr(bank, f"{kind}_reports")[mask] = reports
            getattr(bank, f"{kind}_sentences")[mask] = sentences
        model.train(was_training)
        bank.global_temperature.copy_(model.temperature.detach())
        bank.local_temperature.fill_(local_temperature)
        bank.pick_temperature.fill_(pick_temperature)
        return made.to(model.log_temperature.device).eval()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that build an instance which this one's state dict fits, as plain JSON values."""
        return {
            "config": image_fields(self.config),
            "classes": list(self.classes),
            "positive_prompts": self.prompt_bank.positive_mask.shape[1],
            "negative_prompts": self.prompt_bank.negative_mask.shape[1],
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
            score = self.prompt_bank.global_scores(F.normalize(self.image_projection(pooled).float(), dim=-1))
        if self.mode != "global":
            local = self.prompt_bank.local_scores(self.extractor(patches, values)[0])
            score = (score + local) / 2 if self.mode == "mean" else local
        return score

    def scores_of_features(self, features: ImageFeatures) -> dict[str, torch.Tensor]:
        """Return the scores (B, C) of all modes from what the model has already seen.

        Args:
            features: from `PLACEModel.encode_image`.
        """
        found = {
            "global": self.prompt_bank.global_scores(features.global_embedding),
            "local": self.prompt_bank.local_scores(features.observations),
        }
        return {**found, "mean": (found["global"] + found["local"]) / 2}


def image_fields(config: PLACEConfig) -> dict[str, Any]:
    """Return the fields of a config that shape the image side, as plain JSON values; weights are not fetched.

    Example:
        >>> fields = image_fields(PLACEConfig(report_width=96))
        >>> fields["image_size"], "report_width" in fields
        (224, False)
    """
    values = config.replace(image_weights=None).to_dict()
    return {name: value for name, value in values.items() if not name.startswith(TEXT_FIELDS)}


def image_side(config: PLACEConfig) -> PLACEConfig:
    """Return the config with the smallest text side, which is thrown away, and without weights to fetch."""
    return config.replace(
        image_weights=None,
        report_name=None,
        vocab_size=8,
        report_width=8,
        report_depth=1,
        report_heads=1,
        correlation_depth=0,
        image_correlation=False,
    )


def _drop_text_side(_module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for key in [key for key in state if key.startswith(tuple(prefix + part for part in TEXT_SIDE))]:
        del state[key]
