"""Report encoder: a BERT that reads a report once, whole; its sentences are pooled from the token states."""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoModel, BertConfig, BertModel

__all__ = ["ReportEncoder", "pool_sentences", "sentence_keys"]


class ReportEncoder(nn.Module):
    """A transformers BERT, pretrained or small and from scratch.

    Args:
        name: hub name or local folder of a BERT-type encoder, such as `emilyalsentzer/Bio_ClinicalBERT`; None builds
            a small one from the sizes below.
        vocab_size: rows of the small BERT's word embedding.
        width: hidden size E.
        depth: number of layers.
        heads: attention heads.
        max_tokens: longest input in tokens.

    Raises:
        OSError: `name` is neither a folder with a model nor a hub name that can be reached.

    Example:
        >>> encoder = ReportEncoder(vocab_size=100, width=32, depth=1, heads=2, max_tokens=16)
        >>> encoder(torch.ones(2, 5, dtype=torch.long), torch.ones(2, 5, dtype=torch.bool)).shape
        torch.Size([2, 5, 32])
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        vocab_size: int = 1000,
        width: int = 192,
        depth: int = 2,
        heads: int = 3,
        max_tokens: int = 128,
    ) -> None:
        super().__init__()
        if name is None:
            config = BertConfig(
                vocab_size=vocab_size,
                hidden_size=width,
                num_hidden_layers=depth,
                num_attention_heads=heads,
                intermediate_size=4 * width,
                max_position_embeddings=max(max_tokens, 8),
                attn_implementation="sdpa",
            )
            self.bert = BertModel(config, add_pooling_layer=False)
        else:
            # Otherwise a checkpoint in half precision makes a model in half precision.
            self.bert = AutoModel.from_pretrained(name, add_pooling_layer=False, dtype=torch.float32)
        self.bert.config.use_cache = False  # an encoder has none, and transformers warns of it
        self.width: int = self.bert.config.hidden_size

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the token states (B, T, E) of `input_ids` (B, T) under `attention_mask` (B, T).

        Raises:
            ValueError: there are more tokens than the encoder has positions.
        """
        longest = self.bert.config.max_position_embeddings
        if input_ids.shape[1] > longest:
            raise ValueError(f"input_ids has {input_ids.shape[1]} tokens, expected at most {longest}")
        return self.bert(input_ids=input_ids, attention_mask=attention_mask.long()).last_hidden_state

    def set_grad_checkpointing(self, *, enable: bool = True) -> None:
        """Trade time for memory in the layers (timm's protocol)."""
        # transformers 5.23 renamed these methods, and the old names warn.
        kind = "activation" if hasattr(self.bert, "activation_checkpointing_enable") else "gradient"
        if enable:
            getattr(self.bert, f"{kind}_checkpointing_enable")({"use_reentrant": False})
        else:
            getattr(self.bert, f"{kind}_checkpointing_disable")()


def pool_sentences(token_states: torch.Tensor, sentence_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean of the token states of each sentence, at a cost that does not grow with the number of sentences.

    Args:
        token_states: (B, T, E).
        sentence_ids: (B, T), the sentence of each token, -1 for special and padding tokens.

    Returns:
        Sentence states (B, S, E), zero where a report has no such sentence, and the mask (B, S); S is that of the
        report with the most sentences, at least 1.
    """
    batch, _, width = token_states.shape
    count = max(int(sentence_ids.max()) + 1, 1) if sentence_ids.numel() else 1
    slot = torch.where(sentence_ids < 0, count, sentence_ids)  # special tokens fall into a slot that is cut off
    # The sum runs in float32: half precision loses tokens of a long sentence.
    sums = token_states.new_zeros((batch, count + 1, width), dtype=torch.float32)
    sums = sums.scatter_add(1, slot.unsqueeze(-1).expand(-1, -1, width), token_states.float())
    number = sums.new_zeros((batch, count + 1)).scatter_add(1, slot, torch.ones_like(slot, dtype=torch.float32))
    pooled = sums[:, :count] / number[:, :count].clamp(min=1).unsqueeze(-1)
    return pooled.to(token_states.dtype), number[:, :count] > 0


def sentence_keys(input_ids: torch.Tensor, sentence_ids: torch.Tensor, sentences: int) -> torch.Tensor:
    """A number for each sentence that depends on its tokens and their order alone, to find equal sentences.

    Args:
        input_ids: (B, T).
        sentence_ids: (B, T).
        sentences: S.

    Returns:
        (B, S) int64, at least 0; -1 where there is no sentence. Two different sentences agree by chance in about one
        of 2**62 cases.
    """
    batch, tokens = input_ids.shape
    slot = torch.where(sentence_ids < 0, sentences, sentence_ids)
    place = torch.arange(tokens, device=input_ids.device).expand(batch, -1)
    start = place.new_full((batch, sentences + 1), tokens).scatter_reduce(1, slot, place, "amin")
    offset = place - start.gather(1, slot)  # position of the token inside its sentence
    mixed = _mix(_mix(input_ids.long() + 1) + (offset + 1) * -7046029254386353131)
    keys = torch.zeros_like(start).scatter_add(1, slot, mixed)[:, :sentences]
    present = torch.zeros_like(start).scatter_add(1, slot, torch.ones_like(slot))[:, :sentences] > 0
    return torch.where(present, _mix(keys) & 0x3FFFFFFFFFFFFFFF, -1)


def _mix(value: torch.Tensor) -> torch.Tensor:
    """Spread the bits of an int64 tensor (the finalizer of splitmix64; products wrap around)."""
    value = (value ^ ((value >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    value = (value ^ ((value >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return value ^ ((value >> 31) & 0x1FFFFFFFF)
