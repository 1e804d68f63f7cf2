"""Tokens of a report: one sequence for the whole report, in which each token knows its sentence.

Shapes: `T` tokens, `S` sentences.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monai_place.data.token_files import load_fast_tokenizer, save_fast_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["EncodedReport", "ReportTokenizer"]

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
NO_SENTENCE = -1
MINIMUM_TOKENS = 3  # [CLS], one word piece, [SEP]


@dataclass(frozen=True, eq=False)
class EncodedReport:
    """A report as `[CLS] s0 s1 ... [SEP]`.

    Args:
        input_ids: (T,) int64.
        sentence_ids: (T,) int64, the index of the sentence a token belongs to, -1 for `[CLS]` and `[SEP]`.
        sentence_count: sentences with at least one token left after truncation.
        truncated: tokens cut off at the end.
    """

    input_ids: npt.NDArray[np.int64]
    sentence_ids: npt.NDArray[np.int64]
    sentence_count: int
    truncated: int


class ReportTokenizer:
    """Turns the sentences of a report into ids; made by `train` or `from_pretrained`.

    It holds nothing but a tokenizer of the `tokenizers` library, so it is cheap to pickle, and one `encode` is one
    call that starts no thread: it is safe in forked and in spawned DataLoader workers.

    Args:
        tokenizer: a fast tokenizer; it is copied.
        special_tokens: texts of the special tokens by role: `pad`, `unk`, `cls`, `sep` and, where there is one, `mask`.
        max_tokens: longest sequence, `[CLS]` and `[SEP]` included.

    Raises:
        ValueError: a special token is not in the vocabulary, or `max_tokens` is below 3.

    Example:
        >>> tokenizer = ReportTokenizer.train(["No effusion.", "Small effusion."] * 2, vocab_size=64)
        >>> encoded = tokenizer.encode(["Small effusion.", "No effusion."])
        >>> encoded.sentence_ids.tolist()
        [-1, 0, 0, 0, 1, 1, 1, -1]
    """

    def __init__(self, tokenizer: Tokenizer, special_tokens: dict[str, str], *, max_tokens: int) -> None:
        if max_tokens < MINIMUM_TOKENS:
            raise ValueError(f"max_tokens must be at least {MINIMUM_TOKENS} ([CLS], a token, [SEP]), got {max_tokens}")
        self._restore({"json": tokenizer.to_str(), "special_tokens": dict(special_tokens), "max_tokens": max_tokens})

    def _restore(self, state: dict[str, Any]) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(state["json"])
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # Not stored in the JSON: "[SEP]" typed into a report is text, never the control token.
        self._tokenizer.encode_special_tokens = True
        self._special_tokens: dict[str, str] = state["special_tokens"]
        self._max_tokens: int = state["max_tokens"]
        found = {role: self._tokenizer.token_to_id(token) for role, token in self._special_tokens.items()}
        self._special_ids = {role: index for role, index in found.items() if index is not None}
        if missing := sorted({"pad", "unk", "cls", "sep"} - set(self._special_ids)):
            raise ValueError(f"the tokenizer lacks the special tokens {missing}; pad, unk, cls and sep are needed")

    def __getstate__(self) -> dict[str, Any]:
        return {
            "json": self._tokenizer.to_str(),
            "special_tokens": self._special_tokens,
            "max_tokens": self._max_tokens,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._restore(state)

    def __repr__(self) -> str:
        return f"ReportTokenizer(vocab_size={self.vocab_size}, max_tokens={self.max_tokens})"

    @classmethod
    def train(
        cls, texts: Iterable[str], *, vocab_size: int = 4096, max_tokens: int = 128, min_frequency: int = 2
    ) -> ReportTokenizer:
        """Learn a lower-cased WordPiece vocabulary; the same texts in any order give the same vocabulary.

        Args:
            texts: reports or sentences.
            vocab_size: upper limit of the vocabulary, special tokens included.
            max_tokens: longest sequence, `[CLS]` and `[SEP]` included.
            min_frequency: a pair of pieces rarer than this is not joined.

        Raises:
            ValueError: there is no text to learn from, or `vocab_size` is below 16.
        """
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

        if vocab_size < 16:
            raise ValueError(f"vocab_size must be at least 16, got {vocab_size}")
        tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS["unk"]))
        # Accents and vowel signs stay: without them "ano" is another word than "año", and Hindi is not readable.
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        words = _count_words(tokenizer, texts)
        if not words:
            raise ValueError("texts hold no word to learn a vocabulary from")
        pieces, kept = _alphabet(words, limit=(vocab_size - len(SPECIAL_TOKENS)) // 2)
        # The trainer numbers "##x" pieces in the order of a randomly seeded hash map, and ties between pairs are
        # broken by number: without the pieces fixed in advance two runs give two vocabularies.
        initial = [*SPECIAL_TOKENS.values(), *pieces]
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=initial, show_progress=False
        )
        with _no_threads():
            tokenizer.train_from_iterator(_repeat(words, kept), trainer)
        # The trained tokenizer takes the fixed pieces for special tokens; a fresh one knows the five true ones only.
        learnt = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token=SPECIAL_TOKENS["unk"]))
        learnt.normalizer = tokenizer.normalizer
        learnt.pre_tokenizer = tokenizer.pre_tokenizer
        learnt.decoder = decoders.WordPiece()
        learnt.add_special_tokens(list(SPECIAL_TOKENS.values()))
        sep, cls_token = ((SPECIAL_TOKENS[role], learnt.get_vocab()[SPECIAL_TOKENS[role]]) for role in ("sep", "cls"))
        learnt.post_processor = processors.BertProcessing(sep, cls_token)  # for users of the saved folder
        return cls(learnt, SPECIAL_TOKENS, max_tokens=max_tokens)

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | os.PathLike[str],
        *,
        max_tokens: int | None = None,
        revision: str | None = None,
        local_files_only: bool | None = None,
    ) -> ReportTokenizer:
        """Load a fast tokenizer from a local folder or from the Hugging Face hub; code of the hub never runs.

        Args:
            name_or_folder: a folder written by `save` or by transformers, or a name such as
                `emilyalsentzer/Bio_ClinicalBERT`.
            max_tokens: longest sequence; None takes the length that the tokenizer was saved with, or 512.
            revision: commit of the hub's repository; pin it.
            local_files_only: never ask the network; None means so for a folder, and for a name what `HF_HUB_OFFLINE`
                and `TRANSFORMERS_OFFLINE` say.

        Raises:
            FileNotFoundError: the folder does not exist, or the name is neither cached nor to be had.
            ValueError: it is no fast tokenizer, or it lacks the special tokens of roles pad, unk, cls and sep.
        """
        tokenizer, special_tokens, saved_length = load_fast_tokenizer(
            name_or_folder, revision=revision, local_files_only=local_files_only
        )
        return cls(tokenizer, special_tokens, max_tokens=saved_length if max_tokens is None else max_tokens)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the tokenizer as `transformers.AutoTokenizer` reads it; the folder appears whole or not at all.

        Args:
            folder: written anew. A folder that is there is replaced if it holds a tokenizer and nothing else.

        Raises:
            FileExistsError: `folder` holds other files.
        """
        return save_fast_tokenizer(self._tokenizer, self._special_tokens, self._max_tokens, Path(folder))

    @property
    def vocab_size(self) -> int:
        """Number of embedding rows needed: the largest id plus one."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def max_tokens(self) -> int:
        """Longest sequence, `[CLS]` and `[SEP]` included."""
        return self._max_tokens

    @property
    def pad_id(self) -> int:
        """Id of the padding token."""
        return self._special_ids["pad"]

    @property
    def special_ids(self) -> dict[str, int]:
        """Ids of the special tokens by role: pad, unk, cls, sep and, where there is one, mask."""
        return dict(self._special_ids)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of vocabulary and normalizer: weights and tokenizer that belong together share it."""
        vocabulary = sorted(self._tokenizer.get_vocab(with_added_tokens=True).items())
        normalizer = json.loads(self._tokenizer.to_str())["normalizer"]
        return hashlib.sha256(json.dumps([vocabulary, normalizer], sort_keys=True).encode()).hexdigest()

    def resized(self, max_tokens: int) -> ReportTokenizer:
        """Return the same tokenizer for another longest sequence."""
        return ReportTokenizer(self._tokenizer, self._special_tokens, max_tokens=max_tokens)

    def decode(self, input_ids: Sequence[int]) -> str:
        """Turn ids back into text, without the special tokens."""
        return str(self._tokenizer.decode([int(i) for i in input_ids], skip_special_tokens=True))

    def encode(self, sentences: Sequence[str]) -> EncodedReport:
        """Encode a report's sentences as one sequence `[CLS] s0 s1 ... [SEP]`.

        Every sentence has at least one token (`[UNK]` where its characters are all unknown marks), so that
        `sentence_ids` index `sentences`. Truncation cuts at the end and keeps `[SEP]`.

        Args:
            sentences: not blank; none at all gives `[CLS] [SEP]`.

        Raises:
            TypeError: `sentences` is a single string.
            ValueError: a sentence is blank.
        """
        if isinstance(sentences, str):
            raise TypeError("sentences must be a sequence of strings, got one string; split the report first")
        if blank := [index for index, sentence in enumerate(sentences) if not sentence.strip()]:
            raise ValueError(f"sentences {blank} are blank; leave them out")
        pieces, owners = self._pieces(list(sentences))
        kept = min(len(pieces), self._max_tokens - 2)
        input_ids = np.array([self._special_ids["cls"], *pieces[:kept], self._special_ids["sep"]], dtype=np.int64)
        sentence_ids = np.array([NO_SENTENCE, *owners[:kept], NO_SENTENCE], dtype=np.int64)
        count = owners[kept - 1] + 1 if kept else 0  # owners ascend
        return EncodedReport(input_ids, sentence_ids, count, len(pieces) - kept)

    def _pieces(self, sentences: list[str]) -> tuple[list[int], list[int]]:
        """Ids and the sentence index of each, in order."""
        if not sentences:
            return [], []
        # Given as "pre-tokenized", one call encodes all sentences on this thread and word_ids are sentence indices.
        encoding = self._tokenizer.encode(sentences, is_pretokenized=True, add_special_tokens=False)
        pieces, owners = list(encoding.ids), [int(owner or 0) for owner in encoding.word_ids]
        silent = sorted(set(range(len(sentences))) - set(owners))
        for index in silent:  # only marks that the normalizer removes
            position = sum(owner < index for owner in owners)
            pieces.insert(position, self._special_ids["unk"])
            owners.insert(position, index)
        return pieces, owners


def _count_words(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[str]:
    words: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    return words


def _alphabet(words: Counter[str], *, limit: int) -> tuple[list[str], frozenset[str]]:
    """First pieces of the vocabulary, sorted, and the (at most `limit`) most frequent characters they are made of."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    kept = frozenset(sorted(counts, key=lambda character: (-counts[character], character))[:limit])
    inner = {character for word in words for character in word[1:]} & kept
    return [*sorted(kept), *(f"##{character}" for character in sorted(inner))], kept


def _repeat(words: Counter[str], kept: frozenset[str]) -> Iterator[str]:
    """Each word as often as it was seen, in sorted order, without the words that hold a rare character."""
    for word in sorted(words):
        if kept.issuperset(word):
            for _ in range(words[word]):
                yield word


@contextmanager
def _no_threads() -> Iterator[None]:
    """Keep the library from starting threads: before 0.23 it then warns on standard error in forked workers."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
