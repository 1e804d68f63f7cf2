from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tokenizers import Tokenizer

from monai_place.data.tokens import ReportTokenizer

TEXTS = [
    "There is no pleural effusion. The heart is enlarged.",
    "Small left pleural effusion of 2.5 cm.",
    "Consolidation in the right lower zone, likely pneumonia.",
    "No pneumothorax. The lungs are clear.",
    "Naïve Größe 肺野 🙂.",
] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return ReportTokenizer.train(TEXTS, vocab_size=200, max_tokens=32)


def oracle(tokenizer, sentences):
    """Ids and sentence ids one sentence after the other, by the library's plain call."""
    library = tokenizer._tokenizer
    special = tokenizer.special_ids
    ids, owners = [special["cls"]], [-1]
    for index, sentence in enumerate(sentences):
        pieces = library.encode(sentence, add_special_tokens=False).ids or [special["unk"]]
        ids += pieces
        owners += [index] * len(pieces)
    room = tokenizer.max_tokens - 1
    return [*ids[:room], special["sep"]], [*owners[:room], -1], max(0, len(ids) - room)


def random_sentences(seed: int) -> list[str]:
    draw = random.Random(seed)
    words = [*" ".join(TEXTS).split(), "unseenword", "[SEP]", "\u0301", "🙂", "2.5"]
    return [" ".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(draw.randint(1, 9))]


@pytest.mark.parametrize("seed", range(20))
def test_encoding_equals_the_sentence_by_sentence_oracle(tokenizer, seed):
    sentences = random_sentences(seed)
    encoded = tokenizer.encode(sentences)
    ids, owners, cut = oracle(tokenizer, sentences)
    assert (encoded.input_ids.tolist(), encoded.sentence_ids.tolist(), encoded.truncated) == (ids, owners, cut)
    assert encoded.input_ids.dtype == encoded.sentence_ids.dtype == np.int64
    assert encoded.sentence_count == len(set(owners) - {-1})


def test_report_without_sentences_is_cls_sep(tokenizer):
    encoded = tokenizer.encode([])
    assert encoded.input_ids.tolist() == [tokenizer.special_ids["cls"], tokenizer.special_ids["sep"]]
    assert (encoded.sentence_ids.tolist(), encoded.sentence_count, encoded.truncated) == ([-1, -1], 0, 0)


def test_truncation_keeps_sep_counts_tokens_and_drops_the_sentence_that_lost_all():
    tokenizer = ReportTokenizer.train(["a b c d e f g h"] * 3, vocab_size=64, max_tokens=6)
    encoded = tokenizer.encode(["a b", "c d", "e f", "g"])
    assert encoded.sentence_ids.tolist() == [-1, 0, 0, 1, 1, -1]
    assert encoded.input_ids[-1] == tokenizer.special_ids["sep"]
    assert (encoded.sentence_count, encoded.truncated) == (2, 3)


def test_report_that_fits_exactly_is_not_truncated():
    tokenizer = ReportTokenizer.train(["a b c d"] * 3, vocab_size=64, max_tokens=6)
    encoded = tokenizer.encode(["a b", "c d"])
    assert (len(encoded.input_ids), encoded.truncated, encoded.sentence_count) == (6, 0, 2)


def test_control_tokens_typed_into_a_report_stay_text(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    for each in (tokenizer, copy):
        inner = each.encode(["[SEP] [CLS] [PAD] [MASK] heart"]).input_ids[1:-1].tolist()
        forbidden = {each.special_ids[role] for role in ("sep", "cls", "pad", "mask")}
        assert not forbidden & set(inner)


def test_sentence_of_marks_that_the_normalizer_removes_is_one_unknown_token(tokenizer):
    encoded = tokenizer.encode(["Heart.", "\u0301", "Lungs."])
    assert encoded.sentence_ids.tolist().count(1) == 1
    assert encoded.input_ids[encoded.sentence_ids == 1].tolist() == [tokenizer.special_ids["unk"]]
    assert encoded.sentence_count == 3


def test_blank_sentence_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"sentences \[1\] are blank"):
        tokenizer.encode(["Heart.", "  "])


def test_single_string_is_refused(tokenizer):
    with pytest.raises(TypeError, match="got one string"):
        tokenizer.encode("Heart. Lungs.")


def test_sentence_of_ten_thousand_words_is_truncated_and_counted(tokenizer):
    encoded = tokenizer.encode(["effusion " * 10_000])
    assert (len(encoded.input_ids), encoded.sentence_count) == (tokenizer.max_tokens, 1)
    assert encoded.truncated == 10_000 * (len(tokenizer.encode(["effusion"]).input_ids) - 2) - 30


def test_decoding_gives_the_lower_cased_text_back(tokenizer):
    assert tokenizer.decode(tokenizer.encode(["The heart is enlarged."]).input_ids) == "the heart is enlarged."


def test_order_of_the_texts_does_not_change_the_vocabulary(tokenizer):
    shuffled = random.Random(3).sample(TEXTS, len(TEXTS))
    assert ReportTokenizer.train(shuffled, vocab_size=200, max_tokens=32).fingerprint == tokenizer.fingerprint


def test_other_processes_learn_the_same_vocabulary(tokenizer):
    code = (
        "import sys, json; from monai_place.data.tokens import ReportTokenizer; "
        "print(ReportTokenizer.train(json.load(sys.stdin), vocab_size=200, max_tokens=32).fingerprint)"
    )
    for seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(TEXTS),
            env=os.environ | {"PYTHONHASHSEED": seed, "TOKENIZERS_PARALLELISM": "true"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == tokenizer.fingerprint


def test_fingerprint_tells_vocabularies_and_normalizers_apart(tokenizer):
    other = ReportTokenizer.train([*TEXTS, "Cardiomegaly cardiomegaly cardiomegaly."], vocab_size=200, max_tokens=32)
    cased = tokenizer._tokenizer.to_str().replace('"lowercase":true', '"lowercase":false')
    changed = ReportTokenizer(Tokenizer.from_str(cased), tokenizer._special_tokens, max_tokens=32)
    assert len({tokenizer.fingerprint, other.fingerprint, changed.fingerprint}) == 3


def test_fingerprint_is_stable_between_releases():
    # Weights carry it: a change of this value makes every released checkpoint refuse its own tokenizer.
    tokenizer = ReportTokenizer.train(["No effusion.", "Small effusion."] * 2, vocab_size=64, max_tokens=16)
    assert tokenizer.fingerprint == "a02d528ee97ffe4305969201bff3dcf2f598d92e4177cb82840add15e48c2a68"


def test_vocabulary_keeps_its_limit_on_a_large_alphabet():
    texts = [chr(0x4E00 + index) * 2 + " ab" for index in range(500)]
    tokenizer = ReportTokenizer.train(texts, vocab_size=100)
    assert tokenizer.vocab_size <= 100
    assert tokenizer.encode(["ab"]).input_ids[1] != tokenizer.special_ids["unk"]


def test_vocabulary_size_covers_every_id(tokenizer):
    ids = tokenizer._tokenizer.get_vocab().values()
    assert tokenizer.vocab_size == max(ids) + 1 <= 200
    assert sorted(ids) == list(range(tokenizer.vocab_size))


def test_special_tokens_have_their_usual_ids(tokenizer):
    assert tokenizer.special_ids == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert tokenizer.pad_id == 0


@pytest.mark.parametrize("texts", [[], ["", "  "]], ids=["no text", "blank texts"])
def test_training_without_words_is_refused(texts):
    with pytest.raises(ValueError, match="no word to learn"):
        ReportTokenizer.train(texts)


def test_too_small_sizes_are_refused():
    with pytest.raises(ValueError, match="vocab_size must be at least 16, got 8"):
        ReportTokenizer.train(TEXTS, vocab_size=8)
    with pytest.raises(ValueError, match=r"max_tokens must be at least 3 .*got 2"):
        ReportTokenizer.train(TEXTS, max_tokens=2)


def test_training_leaves_the_environment_as_it_was(monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    ReportTokenizer.train(TEXTS)
    assert "TOKENIZERS_PARALLELISM" not in os.environ
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    ReportTokenizer.train(TEXTS)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_threads_share_a_tokenizer(tokenizer):
    reports = [random_sentences(seed) for seed in range(64)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda report: tokenizer.encode(report).input_ids.tolist(), reports))
    assert found == [tokenizer.encode(report).input_ids.tolist() for report in reports]


def test_copy_in_a_spawned_process_encodes_the_same(tokenizer):
    sentences = ["Small effusion.", "[SEP] heart."]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        encoded = pool.apply(tokenizer.encode, (sentences,))
    assert encoded.input_ids.tolist() == tokenizer.encode(sentences).input_ids.tolist()


def test_forked_workers_raise_no_warning_of_the_library():
    code = (
        "import os, sys; from monai_place.data.tokens import ReportTokenizer\n"
        "t = ReportTokenizer.train(['No effusion.'] * 64)\n"
        "t.encode(['No effusion.'] * 64)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    t.encode(['No effusion.'] * 64); os._exit(0)\n"
        "sys.exit(os.waitpid(pid, 0)[1])\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == ""
