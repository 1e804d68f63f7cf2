"""Dictionary transforms from a report's text to its sentences, and from sentences to tokens."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

from monai_place.data.reports import report_sentences
from monai_place.data.tokens import ReportTokenizer
from monai_place.transforms.replay import ReplayableTransform

__all__ = ["RandSentencesd", "SelectSentencesd", "SplitReportd", "TokenizeReportd"]


class SplitReportd(MapTransform):
    """Write the sentences of a report (text) as a list of strings; no report, or an empty one, gives `[]`.

    The record's key `sentences` is left alone: it holds the ground truth of the phantom.

    Args:
        keys: the key that holds the report's text.
        sections: sections to take, in this order; see `monai_place.data.reports.report_sentences`.
        output_key: key of the list.

    Raises:
        ValueError: more than one key is given.
        TypeError: the report is not text.

    Example:
        >>> SplitReportd()({"report": "FINDINGS: Clear lungs. No effusion."})["sentence_texts"]
        ['Clear lungs.', 'No effusion.']
    """

    def __init__(
        self,
        keys: KeysCollection = "report",
        *,
        sections: Sequence[str] = ("findings", "impression"),
        output_key: str = "sentence_texts",
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        _check_single(self.keys)
        self.sections = tuple(sections)
        self.output_key = output_key
        report_sentences("", self.sections)  # a wrong section name raises here, not in a worker

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the record with the list added."""
        report = data.get(self.keys[0])
        if report is not None and not isinstance(report, str):
            raise TypeError(f"{self.keys[0]!r} must be text, got {type(report).__name__}")
        return {**data, self.output_key: report_sentences(report, self.sections) if report else []}


class TokenizeReportd(MapTransform):
    """Write `input_ids`, `sentence_ids` (tensors (T,) int64), `sentence_count` and `truncated` of a list of sentences.

    No sentence gives `[CLS] [SEP]` with a sentence count of 0.

    Args:
        keys: the key that holds the list of sentences.
        tokenizer: a tokenizer, or the folder or hub name it is loaded from.
        max_tokens: longest sequence where `tokenizer` is a folder or name; None takes the saved one.

    Raises:
        ValueError: more than one key is given, or `max_tokens` beside a tokenizer that is already loaded.
        KeyError: a record has no such key.
    """

    def __init__(
        self,
        keys: KeysCollection = "sentence_texts",
        tokenizer: ReportTokenizer | str | os.PathLike[str] = "",
        *,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__(keys)
        _check_single(self.keys)
        if isinstance(tokenizer, ReportTokenizer):
            if max_tokens is not None:
                raise ValueError("max_tokens belongs to the tokenizer; give it where the tokenizer is made")
            self.tokenizer = tokenizer
        elif os.fspath(tokenizer):
            self.tokenizer = ReportTokenizer.from_pretrained(tokenizer, max_tokens=max_tokens)
        else:
            raise ValueError("tokenizer must be a ReportTokenizer, a folder or a hub name, got an empty name")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the record with the four keys added."""
        encoded = self.tokenizer.encode(data[self.keys[0]])
        return {
            **data,
            "input_ids": torch.from_numpy(encoded.input_ids),
            "sentence_ids": torch.from_numpy(encoded.sentence_ids),
            "sentence_count": encoded.sentence_count,
            "truncated": encoded.truncated,
        }


class SelectSentencesd(MapTransform):
    """Take sentences of a report in a given order; the twin of `RandSentencesd` without chance.

    Args:
        keys: the key that holds the list of sentences.
        order: positions in that list, each at most once; None takes all as they are.

    Raises:
        ValueError: a position is not one of the list, or more than one key is given.

    Example:
        >>> SelectSentencesd(order=[2, 0])({"sentence_texts": ["a", "b", "c"]})["sentence_texts"]
        ['c', 'a']
    """

    def __init__(self, keys: KeysCollection = "sentence_texts", order: Sequence[int] | None = None) -> None:
        MapTransform.__init__(self, keys)
        _check_single(self.keys)
        self.order = None if order is None else list(order)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the record with the list replaced."""
        return self._select(data, self.order)

    def _select(self, data: Mapping[Hashable, Any], order: Sequence[int] | None) -> dict[Hashable, Any]:
        sentences = data[self.keys[0]]
        chosen = range(len(sentences)) if order is None else order
        if len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(len(sentences))):
            raise ValueError(f"order {list(chosen)} is not of the {len(sentences)} sentences in {self.keys[0]!r}")
        return {**data, self.keys[0]: [sentences[index] for index in chosen]}


class RandSentencesd(RandomizableTransform, SelectSentencesd, ReplayableTransform):
    """Shuffle and drop sentences of a report at random, never all of them, by `SelectSentencesd`; for training only.

    Put it between `SplitReportd` and `TokenizeReportd`. The order drawn last is `order`: positions in the old list.

    Args:
        keys: the key that holds the list of sentences.
        drop_prob: probability that a sentence is dropped.
        shuffle_prob: probability that the order of a report's sentences is drawn anew.
        log_key: see `ReplayableTransform`.

    Raises:
        ValueError: a probability is outside [0, 1], or more than one key is given.
    """

    def __init__(
        self,
        keys: KeysCollection = "sentence_texts",
        *,
        drop_prob: float = 0.0,
        shuffle_prob: float = 0.0,
        log_key: Hashable | None = None,
    ) -> None:
        SelectSentencesd.__init__(self, keys, [])
        RandomizableTransform.__init__(self, 1.0)
        for name, value in (("drop_prob", drop_prob), ("shuffle_prob", shuffle_prob)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")
        self.drop_prob = drop_prob
        self.shuffle_prob = shuffle_prob
        self.log_key = log_key
        self.order: list[int] = []

    def randomize(self, data: int) -> None:
        """Draw the order and the sentences kept.

        Args:
            data: number of sentences.
        """
        super().randomize(None)
        order = self.R.permutation(data) if self.R.random_sample() < self.shuffle_prob else range(data)
        dropped = self.R.random_sample(data) < self.drop_prob
        if data:
            dropped[self.R.randint(data)] = False  # one survivor, whatever was drawn
        self.order = [int(index) for index in order if not dropped[index]]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the record with the list replaced."""
        self.randomize(len(data[self.keys[0]]))
        return self.logged(self._select(data, self.order))

    def parameters(self) -> dict[str, Any] | None:
        """Return the order that was drawn last."""
        return {"order": list(self.order)}

    def replay(self, data: Mapping[Hashable, Any], parameters: Mapping[str, Any] | None) -> dict[Hashable, Any]:
        """Take the sentences in an order that was drawn before."""
        self.order = list(parameters["order"]) if parameters is not None else list(range(len(data[self.keys[0]])))
        return self.logged(self._select(data, self.order))


def _check_single(keys: Sequence[Hashable]) -> None:
    if len(keys) != 1:
        raise ValueError(f"one key is expected, got {list(keys)}")
