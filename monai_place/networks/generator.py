"""Report generator: a decoder that reads the image through cross-attention to patch tokens and V-PORs.

Letters: B studies, N patches, K observations, M = N + K image tokens, T tokens, V words, E features of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from monai_place.networks.decoders import build_decoder, decoder_width, rebuild_decoder
from monai_place.networks.generation import GenerationSettings, decode_tokens
from monai_place.networks.generator_config import ReportGeneratorConfig
from monai_place.networks.outputs import ImageFeatures
from monai_place.networks.place import PLACEModel

__all__ = ["GeneratorOutput", "ReportGenerator"]


@dataclass(frozen=True)
class GeneratorOutput:
    """Teacher forcing: what the decoder expects behind each token.

    Args:
        logits: (B, T, V); position t speaks of token t + 1.
        input_ids: (B, T) int64.
        target_mask: (B, T) bool, the tokens that are to be learnt: those of the report and its end, not the prompt.
    """

    logits: torch.Tensor
    input_ids: torch.Tensor
    target_mask: torch.Tensor


class ReportGenerator(nn.Module):
    """A PLACE encoder and a text decoder with cross-attention between them.

    Patch tokens (B, N, ·) and observations (B, K, ·) are normalized, projected to the decoder's width, marked with an
    embedding of their kind (and observations with one of their slot), and set in one row: the decoder's cross-attention
    sees M = N + K image tokens. A batch may hold `image`, or `patch_tokens` and `observations` that were computed
    before; both ways give the same.

    Args:
        config: sizes and choices; a plain dict (from JSON) is taken as the fields of `ReportGeneratorConfig`.
        place: the encoder; None builds one with random weights, to be loaded into.
        decoder: settings of a decoder to build in place of what `config` says, see `rebuild_decoder`.

    Raises:
        ValueError: `place` has other sizes than the config says.

    Example:
        >>> from monai_place.networks import place_preset
        >>> sizes = {"vocab_size": 50, "width": 32, "heads": 2, "depth": 1, "max_tokens": 12}
        >>> config = ReportGeneratorConfig(place_preset("place_tiny", vocab_size=50).to_dict(), **sizes)
        >>> generator = ReportGenerator(config).eval()
        >>> [len(tokens) <= 10 for tokens in generator.generate({"image": torch.zeros(2, 1, 128, 128)})]
        [True, True]

    Reference:
        The design is this project's (docs/report_generation.md); decoders are those of transformers.
    """

    def __init__(
        self,
        config: ReportGeneratorConfig | Mapping[str, Any],
        *,
        place: PLACEModel | None = None,
        decoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        config = config if isinstance(config, ReportGeneratorConfig) else ReportGeneratorConfig.from_dict(dict(config))
        self.config = config
        self.place = PLACEModel(config.place) if place is None else place
        sizes = self.place.config
        if (sizes.image_size, sizes.queries, sizes.joint_dim) != (
            (wanted := config.place_config).image_size,
            wanted.queries,
            wanted.joint_dim,
        ):
            raise ValueError("place has other sizes than the config of the generator says")
        self.decoder = build_decoder(config) if decoder is None else rebuild_decoder(decoder)
        width = decoder_width(self.decoder)
        self.use_patches = config.image_tokens in ("both", "patches")
        self.use_observations = config.image_tokens in ("both", "observations")
        if self.use_patches:
            self.patch_bridge = _bridge(self.place.image_encoder.embed_dim, width)
        if self.use_observations:
            self.observation_bridge = _bridge(sizes.joint_dim, width)
            self.slot_tokens = nn.Parameter(torch.randn(sizes.queries, width) * 0.02)
        self.kind_tokens = nn.Parameter(torch.randn(2, width) * 0.02)
        self.place.requires_grad_(requires_grad=False)
        if config.train_encoder:
            self.place.image_encoder.requires_grad_(requires_grad=True)
            self.place.extractor.requires_grad_(requires_grad=self.use_observations)
        self.train(self.training)

    def train(self, mode: bool = True) -> ReportGenerator:  # noqa: FBT001, FBT002  # torch's signature
        """Set the mode; an encoder that is frozen stays in evaluation mode."""
        super().train(mode)
        if not self.config.train_encoder:
            self.place.eval()
        return self

    def forward(self, batch: Mapping[str, torch.Tensor]) -> GeneratorOutput:
        """Predict each token of reports from the image and the tokens before it.

        Args:
            batch: `input_ids` (B, T), `attention_mask` (B, T), the image (see the class), and `target_start` (B,), the
                number of tokens of the prompt; without it the prompt is the first token.

        Raises:
            KeyError: a key is missing.
        """
        input_ids, mask = _require(batch, "input_ids"), _require(batch, "attention_mask")
        memory = self.image_memory(batch)
        logits = self.decoder(
            input_ids=input_ids,
            attention_mask=mask.long(),
            encoder_hidden_states=memory,
            encoder_attention_mask=memory.new_ones(memory.shape[:2], dtype=torch.long),
            use_cache=False,
        ).logits
        start = batch.get("target_start", torch.ones(len(input_ids), dtype=torch.int64, device=input_ids.device))
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        return GeneratorOutput(logits, input_ids, mask.bool() & (place >= start[:, None]))

    def encode_image(self, image: torch.Tensor) -> ImageFeatures:
        """Encode images (B, 1, H, W); without gradient where the encoder is frozen."""
        with torch.set_grad_enabled(self.config.train_encoder and torch.is_grad_enabled()):
            return self.place.encode_image(image)

    def image_memory(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return what the cross-attention sees (B, M, E): patches first, observations behind them."""
        if "patch_tokens" in batch:
            patches, observations = batch["patch_tokens"], _require(batch, "observations")
        else:
            features = self.encode_image(_require(batch, "image"))
            patches, observations = features.patch_tokens, features.observations
        parts = []
        if self.use_patches:
            parts.append(self.patch_bridge(patches) + self.kind_tokens[0])
        if self.use_observations:
            parts.append(self.observation_bridge(observations) + self.kind_tokens[1] + self.slot_tokens)
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def generate(
        self, batch: Mapping[str, torch.Tensor], settings: GenerationSettings | None = None
    ) -> list[torch.Tensor]:
        """Write reports.

        Args:
            batch: the image (see the class); `input_ids` and `attention_mask` (B, P) of prompts, padded at the right.
                Without them the prompt is empty: `[CLS] [SEP]`.
            settings: controls of decoding; None is greedy.

        Returns:
            The tokens of each report, B tensors (T,) int64 without special tokens.
        """
        memory = self.image_memory(batch)
        if "input_ids" in batch:
            prompt, mask = batch["input_ids"], _require(batch, "attention_mask").bool()
        else:
            ids = [self.config.special_ids["cls"], self.config.special_ids["sep"]]
            prompt = torch.tensor([ids] * len(memory), device=memory.device)
            mask = torch.ones_like(prompt, dtype=torch.bool)
        return decode_tokens(
            self.decoder,
            memory,
            prompt,
            mask,
            special_ids=self.config.special_ids,
            room=self.config.max_tokens,
            settings=settings or GenerationSettings(),
        )

    @torch.no_grad()
    def cross_attention(self, memory: torch.Tensor, input_ids: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how much each token of one report looked at each image token when it was written.

        Args:
            memory: (1, M, E), from `image_memory`.
            input_ids: T tokens, prompt and report.

        Returns:
            Attention to the patches (T, N) and to the observations (T, K), means over layers and heads; each has no
            column where the decoder does not see that kind. Row t is that of the step which wrote token t; of the
            first token, which nothing wrote, it is NaN.
        """
        tokens = torch.tensor([list(input_ids)], device=memory.device)
        before = self.decoder.config._attn_implementation
        self.decoder.set_attn_implementation("eager")  # the fused kernels do not tell their weights
        try:
            output = self.decoder(
                input_ids=tokens, encoder_hidden_states=memory, output_attentions=True, use_cache=False
            )
        finally:
            self.decoder.set_attn_implementation(before)
        weights = torch.stack([layer[0].float().mean(dim=0) for layer in output.cross_attentions]).mean(dim=0)  # (T, M)
        written = torch.cat([torch.full_like(weights[:1], torch.nan), weights[:-1]])
        observations = self.place.config.queries if self.use_observations else 0
        patches = memory.shape[1] - observations
        return written[:, :patches], written[:, patches:]

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that take no weight decay besides norms and biases (timm's protocol)."""
        return {"kind_tokens", "slot_tokens"} & {name for name, _ in self.named_parameters()}


def _bridge(width: int, decoder_width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, decoder_width), nn.LayerNorm(decoder_width))


def _require(batch: Mapping[str, torch.Tensor], key: str) -> torch.Tensor:
    if key not in batch:
        raise KeyError(f"the batch lacks {key!r}; it has {sorted(batch)}")
    return batch[key]
