"""Scores of text against pycocoevalcap's own totals, torchmetrics, and slow versions written from the papers."""

from __future__ import annotations

import math
import shutil
from collections import Counter

import numpy as np
import pytest
from torchmetrics.functional.text import bleu_score

from monai_place.data.phantom.phrases import ABSENT, CLEAR_IMPRESSIONS, NEUTRAL
from monai_place.metrics import text_scores
from monai_place.metrics.text_scores import metric_words, score_texts

pytest.importorskip("pycocoevalcap")

SENTENCES = [*(text for texts in ABSENT.values() for text in texts), *CLEAR_IMPRESSIONS, *NEUTRAL]


def reports(seed, count=25):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(SENTENCES, generator.integers(2, 6), replace=False)) for _ in range(count)]


REFERENCES, WRITTEN = reports(0), reports(1)
WRITTEN[3] = REFERENCES[3]
WRITTEN[4] = "Nothing alike."
SCORES = score_texts(REFERENCES, WRITTEN)
ONCE = np.ones((1, 25))
TOTALS = dict(zip(SCORES.names, SCORES.statistic(ONCE)[0], strict=True))
WORDS = [(metric_words(a).split(), metric_words(b).split()) for a, b in zip(REFERENCES, WRITTEN, strict=True)]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_equals_torchmetrics_and_pycocoevalcap(order):
    given = [metric_words(text) for text in WRITTEN]
    told = [[metric_words(text)] for text in REFERENCES]
    assert TOTALS[f"bleu_{order}"] == pytest.approx(float(bleu_score(given, told, n_gram=order)), rel=1e-5)
    from pycocoevalcap.bleu.bleu import Bleu

    theirs, _ = Bleu(4).compute_score(dict(enumerate(told)), {n: [text] for n, text in enumerate(given)}, verbose=0)
    assert TOTALS[f"bleu_{order}"] == pytest.approx(theirs[order - 1], rel=1e-9)


def test_rouge_l_is_that_of_the_longest_common_subsequence():
    for (told, given), score in zip(WORDS, SCORES.per_report["rouge_l"], strict=True):
        table = np.zeros((len(told) + 1, len(given) + 1))
        for i, a in enumerate(told):
            for j, b in enumerate(given):
                table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
        common = table[-1, -1]
        precision, recall = common / len(given), common / len(told)
        expected = 0.0 if not common else (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)
        assert score == pytest.approx(expected)


def test_cider_is_that_of_the_paper():
    def grams(words, n):
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    for number, (told, given) in enumerate(WORDS[:6]):
        total = 0.0
        for n in (1, 2, 3, 4):
            seen = Counter(gram for other, _ in WORDS for gram in set(grams(other, n)))

            def weigh(words, n=n, seen=seen):
                return {g: c * (math.log(len(WORDS)) - math.log(max(1, seen[g]))) for g, c in grams(words, n).items()}

            a, b = weigh(told), weigh(given)
            norms = [math.sqrt(sum(v * v for v in vector.values())) for vector in (a, b)]
            # CIDEr-D clips the written counts and punishes another length.
            overlap = sum(min(b[g], a.get(g, 0.0)) * a.get(g, 0.0) for g in b)
            if all(norms):
                total += overlap / norms[0] / norms[1] * math.exp(-((len(given) - len(told)) ** 2) / (2 * 6.0**2))
        assert SCORES.per_report["cider"][number] == pytest.approx(10 * total / 4, rel=1e-6, abs=1e-9)


def test_right_text_scores_full_and_empty_text_nothing():
    perfect = score_texts(REFERENCES, REFERENCES).statistic(ONCE)[0]
    assert perfect[:5] == pytest.approx(1.0)
    assert (score_texts(REFERENCES, [""] * 25).statistic(ONCE)[0] < 1e-6).all()
    assert (score_texts([""] * 2, [""] * 2).statistic(np.ones((1, 2)))[0] < 1e-6).all()
    assert (perfect > SCORES.statistic(ONCE)[0]).all()


def test_a_resample_counts_a_report_as_often_as_it_was_drawn():
    counts = np.zeros((1, 25))
    counts[0, [2, 5]] = 2, 1
    drawn = score_texts([REFERENCES[n] for n in (2, 2, 5)], [WRITTEN[n] for n in (2, 2, 5)])
    assert SCORES.statistic(counts)[0, :5] == pytest.approx(drawn.statistic(np.ones((1, 3)))[0, :5])


def test_intervals_hold_the_value_and_follow_the_seed():
    found = SCORES.intervals(resamples=50, seed=1)
    assert list(found) == ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]
    assert found["bleu_1"].low <= found["bleu_1"].value <= found["bleu_1"].high
    assert found == SCORES.intervals(resamples=50, seed=1)
    assert SCORES.left_out == {"meteor": "not asked for"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("IMPRESSION: 1. Nodule, 2.5 cm.\n2. Normal.", "nodule 2.5 cm normal", id="headings and numbers"),
        pytest.param("Follow-up CT; T1-weighted", "follow up ct t1 weighted", id="hyphens"),
        pytest.param("Erguss rechts: ÖDEM_fraglich", "erguss rechts ödem fraglich", id="other letters"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_words_of_a_report(text, words):
    assert metric_words(text) == words


@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR's program needs Java")
@pytest.mark.slow
def test_meteor_is_that_of_its_program():
    told = ["No pleural effusion or pneumothorax.", "Small nodule in the left upper lobe."]
    given = ["No effusion or pneumothorax.", "Large nodule in the upper left lobe."]
    scores = score_texts(told, given, meteor=True)
    # Of meteor-1.5.jar with the options of pycocoevalcap (-l en -norm), called by hand on these words.
    assert scores.per_report["meteor"] == pytest.approx([0.36221396, 0.36789962], abs=1e-6)
    assert not scores.left_out


def test_meteor_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(text_scores.shutil, "which", lambda _: None)
    scores = score_texts(REFERENCES[:2], WRITTEN[:2], meteor=True)
    assert "meteor" not in scores.per_report
    assert "installed" in scores.left_out["meteor"]


def test_lists_of_different_lengths_and_a_missing_package_are_told(monkeypatch):
    with pytest.raises(ValueError, match="one length, at least 1, got 2, 1"):
        score_texts(["a", "b"], ["a"])
    monkeypatch.setattr(text_scores, "optional_import", lambda *_, **__: (None, False))
    with pytest.raises(ImportError, match=r"monai-place\[generation\]"):
        score_texts(["a"], ["a"])
