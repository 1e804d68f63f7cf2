"""The sizes and choices of a report generator as one value of plain JSON types."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from monai_place.networks.config import PLACEConfig

__all__ = ["DecoderChoice", "ImageTokenChoice", "ReportGeneratorConfig"]

DecoderChoice = Literal["bert", "gpt2"]
ImageTokenChoice = Literal["both", "patches", "observations"]
SPECIAL_ROLES = ("pad", "unk", "cls", "sep")


@dataclass(frozen=True)
class ReportGeneratorConfig:
    """Sizes and choices of `ReportGenerator`.

    Args:
        place: fields of the `PLACEConfig` of the encoder.
        special_ids: ids of the special tokens by role: pad, unk, cls, sep and, where there is one, mask. A report ends
            with sep; the others are never written.
        vocab_size: rows of the small decoder's word embedding; that of the tokenizer.
        decoder: kind of the small decoder, made by transformers: `bert` (BertLMHeadModel) or `gpt2` (GPT2LMHeadModel).
        decoder_name: hub name or local folder of a BERT-type or GPT-2-type model to start from in place of a small one;
            its cross-attention is new, and its tokenizer has to be the run's.
        width: hidden size of the small decoder.
        depth: layers of the small decoder.
        heads: attention heads of the small decoder.
        dropout: of the small decoder, in training.
        max_tokens: longest sequence, prompt and special tokens included.
        image_tokens: what the cross-attention sees: `patches`, `observations` (V-PORs) or `both`.
        train_encoder: train the image encoder and the observation extractor, too; otherwise they are frozen.
    """

    place: dict[str, Any]
    special_ids: dict[str, int] = field(default_factory=lambda: {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4})
    vocab_size: int = 1000
    decoder: DecoderChoice = "bert"
    decoder_name: str | None = None
    width: int = 192
    depth: int = 2
    heads: int = 3
    dropout: float = 0.1
    max_tokens: int = 160
    image_tokens: ImageTokenChoice = "both"
    train_encoder: bool = False

    def __post_init__(self) -> None:
        for name, least in (("vocab_size", 1), ("width", 1), ("depth", 1), ("heads", 1), ("max_tokens", 4)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}, expected a divisor of width ({self.width})")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout is {self.dropout}, expected 0 <= dropout < 1")
        for name, choices in (("decoder", DecoderChoice), ("image_tokens", ImageTokenChoice)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {get_args(choices)}")
        if missing := sorted(set(SPECIAL_ROLES) - set(self.special_ids)):
            raise ValueError(f"special_ids lacks the roles {missing}")
        PLACEConfig.from_dict(self.place)  # a wrong field is told here

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return int(self.place_config.image_size)

    @property
    def place_config(self) -> PLACEConfig:
        """The encoder's config."""
        return PLACEConfig.from_dict(self.place)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ReportGeneratorConfig:
        """Build a config from `to_dict`'s result.

        Raises:
            ValueError: a key is unknown or missing, or a value out of range.
        """
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown keys {unknown} of a report generator's config; known: {sorted(known)}")
        if "place" not in values:
            raise ValueError("a report generator's config needs the key 'place', the config of its encoder")
        return cls(**values)
