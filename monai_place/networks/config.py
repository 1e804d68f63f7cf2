"""The sizes and choices of a PLACE model as one value of plain JSON types."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

__all__ = ["CorrelationTarget", "PLACEConfig", "PoolChoice", "StemChoice"]

StemChoice = Literal["patch", "conv"]
PoolChoice = Literal["cls", "mean"]
CorrelationTarget = Literal["pixels", "features"]


@dataclass(frozen=True)
class PLACEConfig:
    """Sizes and choices of `PLACEModel`.

    Args:
        image_arch: name of a timm VisionTransformer.
        image_size: side of the square input in pixels; position embeddings are made for it.
        image_kwargs: passed to timm (`embed_dim`, `depth`, `num_heads`, `patch_size`, `drop_path_rate`, ...).
        image_weights: a local file, or a timm or hub name; None starts from random weights.
        stem: `patch` is the ViT's own projection, `conv` a stack of strided convolutions (for training from scratch).
        image_pool: what stands for the whole image: the class token (the mean where the ViT has none), or the mean of
            the patch tokens.
        report_name: hub name or local folder of a BERT; None builds a small one from the `report_*` sizes.
        vocab_size: rows of the small BERT's word embedding; that of the tokenizer.
        report_width: hidden size of the small BERT.
        report_depth: layers of the small BERT.
        report_heads: attention heads of the small BERT.
        max_tokens: longest report in tokens.
        report_pool: what stands for the whole report: the first token, or the mean of all tokens.
        joint_dim: D, size of the joint space.
        queries: K, number of learnable pathology queries.
        extractor_depth: L, decoder layers of the observation extractor before its read-out.
        extractor_heads: attention heads of these layers.
        value_level: the ViT block after which the read-out takes its values, counted from 1; 0 is the patch embedding,
            -1 the last block. Early tokens are local, which is what makes the attention a map of places.
        local_keys: the read-out's attention looks for places by the tokens of `value_level`, too, instead of those of
            the last block.
        slot_competition: share of the patches among the queries (slots), as in slot attention, before each query
            normalizes over the patches.
        attention_temperature: divides the read-out's cosines; smaller is sharper.
        correlation_depth: layers of the correlation head; 0 builds none (a model without CCE).
        correlation_dim: width of the correlation head.
        correlation_target: what is correlated: pixels of the standardized patches, or the last block's features, taken
            without gradient.
        correlation_mask_ratio: share of the patch tokens hidden from the correlation head. Where it sees the image, the
            report has nothing to add (docs/method.md).
        correlation_level: block after which the head takes its tokens (as `value_level`).
        image_correlation: let the last block's tokens predict the correlations, too, without a report.
        temperature: initial softmax temperature of the global alignment (tau).
        learn_temperature: learn tau (clamped to [0.01, 1]).
    """

    image_arch: str = "vit_base_patch16_224"
    image_size: int = 224
    image_kwargs: dict[str, Any] = field(default_factory=dict)
    image_weights: str | None = None
    stem: StemChoice = "patch"
    image_pool: PoolChoice = "cls"
    report_name: str | None = None
    vocab_size: int = 1000
    report_width: int = 192
    report_depth: int = 2
    report_heads: int = 3
    max_tokens: int = 128
    report_pool: PoolChoice = "cls"
    joint_dim: int = 128
    queries: int = 16
    extractor_depth: int = 1
    extractor_heads: int = 4
    value_level: int = -1
    local_keys: bool = False
    slot_competition: bool = False
    attention_temperature: float = 0.1
    correlation_depth: int = 1
    correlation_dim: int = 128
    correlation_target: CorrelationTarget = "pixels"
    correlation_mask_ratio: float = 0.0
    correlation_level: int = -1
    image_correlation: bool = False
    temperature: float = 0.07
    learn_temperature: bool = True

    def __post_init__(self) -> None:
        least = {"image_size": 1, "vocab_size": 1, "max_tokens": 1, "joint_dim": 1, "queries": 1, "extractor_depth": 0}
        for name, number in (least | {"value_level": -1, "correlation_level": -1}).items():
            if getattr(self, name) < number:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {number}")
        for name, choices in (("stem", StemChoice), ("report_pool", PoolChoice), ("image_pool", PoolChoice)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {get_args(choices)}")
        if self.correlation_target not in get_args(CorrelationTarget):
            raise ValueError(
                f"correlation_target is {self.correlation_target!r}, expected one of {get_args(CorrelationTarget)}"
            )
        if not 0.0 <= self.correlation_mask_ratio < 1.0:
            raise ValueError(f"correlation_mask_ratio is {self.correlation_mask_ratio}, expected 0 <= ratio < 1")
        if not self.attention_temperature > 0:
            raise ValueError(f"attention_temperature is {self.attention_temperature}, expected a positive number")
        if not 0.01 <= self.temperature <= 1.0:
            raise ValueError(f"temperature is {self.temperature}, expected 0.01 to 1, to which the model clamps it")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PLACEConfig:
        """Build a config from `to_dict`'s result.

        Raises:
            ValueError: a key is unknown, or a value out of range.
        """
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown keys {unknown} of a PLACE config; known: {sorted(known)}")
        return cls(**values)

    def replace(self, **changes: Any) -> PLACEConfig:
        """Return a copy with some fields changed.

        Raises:
            ValueError: a key is unknown, or a value out of range.
        """
        if unknown := sorted(set(changes) - {entry.name for entry in fields(self)}):
            raise ValueError(f"unknown keys {unknown} of a PLACE config")
        return replace(self, **changes)
