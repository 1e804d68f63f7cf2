"""Embeddings of reports and of single sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from monai_place.data.reports import report_sentences
from monai_place.data.tokens import ReportTokenizer
from monai_place.networks import PLACEModel
from monai_place.transforms.collate import collate_studies

__all__ = ["TextEmbeddings", "embed_reports", "embed_sentence_lists", "embed_sentences"]


@dataclass(frozen=True)
class TextEmbeddings:
    """What a model reads in R reports.

    Args:
        reports: (R, D) float32, unit norm; NaN for a report without a sentence.
        sentences: one tensor (S, D) a report, unit norm.
        texts: the sentences that were read, a list a report; what truncation cut away is not among them.
    """

    reports: torch.Tensor
    sentences: tuple[torch.Tensor, ...]
    texts: tuple[tuple[str, ...], ...]


def embed_reports(
    model: PLACEModel, tokenizer: ReportTokenizer, texts: Sequence[str], *, batch_size: int = 32
) -> TextEmbeddings:
    """Embed whole reports; headings are taken out, sentences are found.

    Args:
        model: in evaluation mode.
        tokenizer: that of the model.
        texts: R reports.
        batch_size: reports at a time.

    Raises:
        TypeError: `texts` is one string.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be a list of texts, got one text")
    split = [report_sentences(text) for text in texts]
    return embed_sentence_lists(model, tokenizer, split, batch_size=batch_size)


def embed_sentences(
    model: PLACEModel, tokenizer: ReportTokenizer, sentences: Sequence[str], *, batch_size: int = 64
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embed sentences, each as a report of its own.

    Args:
        model: in evaluation mode.
        tokenizer: that of the model.
        sentences: P sentences, none blank.
        batch_size: sentences at a time.

    Returns:
        Report embeddings (P, D) and sentence embeddings (P, D), unit norm, float32.

    Raises:
        TypeError: `sentences` is one string.
        ValueError: a sentence is blank.
    """
    if isinstance(sentences, str):
        raise TypeError("sentences must be a list of texts, got one text")
    if blank := [index for index, sentence in enumerate(sentences) if not sentence.strip()]:
        raise ValueError(f"sentences {blank} are blank")
    alone = [[sentence] for sentence in sentences]
    embedded = embed_sentence_lists(model, tokenizer, alone, batch_size=batch_size)
    width = model.config.joint_dim
    rows = embedded.sentences or (embedded.reports.new_zeros(0, width),)
    return embedded.reports, torch.cat(rows)


@torch.no_grad()
def embed_sentence_lists(
    model: PLACEModel, tokenizer: ReportTokenizer, reports: Sequence[Sequence[str]], *, batch_size: int = 32
) -> TextEmbeddings:
    """Embed reports that are split already, each sentence in the context of its report.

    Args:
        model: in evaluation mode.
        tokenizer: that of the model.
        reports: sentences of each report, none blank.
        batch_size: reports at a time.
    """
    device = model.log_temperature.device
    embeddings, sentences, texts = [torch.zeros(0, model.config.joint_dim)], [], []
    for begin in range(0, len(reports), batch_size):
        part = reports[begin : begin + batch_size]
        encoded = [tokenizer.encode(report) for report in part]
        items = [{"input_ids": entry.input_ids, "sentence_ids": entry.sentence_ids} for entry in encoded]
        # Not padded to a round length: the encoder may have no position beyond its longest report.
        batch = collate_studies(items, pad_id=tokenizer.pad_id, pad_multiple=1)
        features = model.encode_report(
            batch["input_ids"].to(device), batch["attention_mask"].to(device), batch["sentence_ids"].to(device)
        )
        empty = torch.tensor([entry.sentence_count == 0 for entry in encoded]).unsqueeze(1)
        embeddings.append(features.global_embedding.float().cpu().masked_fill(empty, torch.nan))
        for row, report, entry in zip(features.sentence_embeddings.float().cpu(), part, encoded, strict=True):
            sentences.append(row[: entry.sentence_count])
            texts.append(tuple(report[: entry.sentence_count]))
    return TextEmbeddings(torch.cat(embeddings), tuple(sentences), tuple(texts))
