"""How a report is decoded: the controls of transformers' `generate`, and the call."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["GenerationSettings", "decode_tokens"]


@dataclass(frozen=True)
class GenerationSettings:
    """Controls of decoding; nothing is drawn at random, so that the same image gives the same report.

    Args:
        beams: 1 is greedy.
        min_tokens: fewest new tokens before the end.
        max_tokens: most new tokens; None takes what the decoder has positions for. Where it ends a report, the last
            sentence may be cut.
        length_penalty: with beams, above 0 favors longer reports, below 0 shorter ones.
        repetition_penalty: above 1 makes tokens that are there already, the prompt's too, less likely.
        no_repeat_ngram: a run of so many tokens is written once; 0 does not ask. Reports repeat words: "no".

    Raises:
        ValueError: a number is out of its range.
    """

    beams: int = 1
    min_tokens: int = 0
    max_tokens: int | None = None
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0

    def __post_init__(self) -> None:
        for name, least in (("beams", 1), ("min_tokens", 0), ("no_repeat_ngram", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if self.max_tokens is not None and self.max_tokens < max(1, self.min_tokens):
            raise ValueError(f"max_tokens is {self.max_tokens}, expected at least {max(1, self.min_tokens)}")
        if not math.isfinite(self.length_penalty):
            raise ValueError(f"length_penalty is {self.length_penalty}, expected a finite number")
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(f"repetition_penalty is {self.repetition_penalty}, expected a positive number")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def decode_tokens(
    decoder: PreTrainedModel,
    memory: torch.Tensor,
    prompt: torch.Tensor,
    prompt_mask: torch.Tensor,
    *,
    special_ids: dict[str, int],
    room: int,
    settings: GenerationSettings,
) -> list[torch.Tensor]:
    """Return the new tokens of each report, without the prompt, the end mark and padding.

    Args:
        decoder: from `build_decoder`.
        memory: (B, M, E), what the cross-attention sees.
        prompt: (B, P) int64, padded at the right.
        prompt_mask: (B, P) bool.
        special_ids: ids of the special tokens by role.
        room: longest sequence of the decoder, in tokens.
        settings: controls.

    Returns:
        B tensors (T,) int64.

    Raises:
        ValueError: the prompt leaves no room for a report.
    """
    from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig

    pad, end = special_ids["pad"], special_ids["sep"]
    prompt, prompt_mask = _pad_left(prompt, prompt_mask, pad)
    left = room - prompt.shape[1]
    if left < 1:
        raise ValueError(f"the prompt has {prompt.shape[1]} tokens and leaves no room; the decoder takes {room}")
    most = left if settings.max_tokens is None else min(settings.max_tokens, left)
    never = sorted(set(special_ids.values()) - {end})
    config = GenerationConfig(
        do_sample=False,
        num_beams=settings.beams,
        min_new_tokens=min(settings.min_tokens, most) or None,
        max_new_tokens=most,
        length_penalty=settings.length_penalty,
        repetition_penalty=settings.repetition_penalty,
        no_repeat_ngram_size=settings.no_repeat_ngram or None,
        suppress_tokens=never or None,
        pad_token_id=pad,
        eos_token_id=end,
        bos_token_id=special_ids["cls"],
    )
    written = decoder.generate(
        input_ids=prompt,
        attention_mask=prompt_mask.long(),
        encoder_hidden_states=memory,
        encoder_attention_mask=memory.new_ones(memory.shape[:2], dtype=torch.long),
        # Left to itself, generate makes a cache without room for the cross-attention.
        past_key_values=EncoderDecoderCache(DynamicCache(config=decoder.config), DynamicCache(config=decoder.config)),
        generation_config=config,
    )
    return [_until(row, end) for row in written[:, prompt.shape[1] :]]


def _pad_left(tokens: torch.Tensor, mask: torch.Tensor, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Move the padding from the right to the left, where `generate` wants it; columns of padding alone go."""
    longest = int(mask.sum(dim=1).max())
    moved, moved_mask = tokens.new_full((len(tokens), longest), pad), mask.new_zeros(len(tokens), longest)
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        moved[row, longest - length :] = tokens[row, :length]
        moved_mask[row, longest - length :] = True
    return moved, moved_mask


def _until(row: torch.Tensor, end: int) -> torch.Tensor:
    stop = (row == end).nonzero()
    return row[: int(stop[0])] if len(stop) else row
