"""The pathological-level alignment (PCMA): value, oracle, gradient, symmetry, limits, precision, bad arguments.

Chunks and memory are in test_observation_chunks.py, what it can and cannot learn in test_observation_meaning.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from monai_place.losses import ObservationAlignmentLoss, observation_scores
from tests.losses.cases import Studies, assert_same, gradients, make_studies, unit_rows

MODES = ("report", "sentence", "both")
POLICIES = ("mask", "soften", "keep")
every_mode = pytest.mark.parametrize("mode", MODES)
every_policy = pytest.mark.parametrize("duplicates", POLICIES)


def slow_score(sentence: torch.Tensor, observations: torch.Tensor, pick: float) -> torch.Tensor:
    """How well one image's observations (K, D) fit one sentence (D,)."""
    similar = [sentence @ observation for observation in observations]
    weights = [(value / pick).exp() for value in similar]
    return sum(weight * value for weight, value in zip(weights, similar, strict=True)) / sum(weights)


def surprise(scores: list[torch.Tensor], own: int, temperature: float) -> torch.Tensor:
    """Negative log of the share that entry `own` has in the softmax of the scores."""
    shares = [(score / temperature).exp() for score in scores]
    return -(shares[own] / sum(shares)).log()


class SlowLoss:
    """PCMA sentence by sentence and image by image, as its documentation tells it."""

    def __init__(self, studies: Studies, *, duplicates: str, temperature: float, pick: float) -> None:
        self.studies, self.duplicates, self.temperature, self.pick = studies, duplicates, temperature, pick
        self.texts = {
            study: [place for place in range(studies.mask.shape[1]) if studies.mask[study, place]]
            for study in range(len(studies.mask))
            if studies.mask[study].any()
        }
        self.held = {study: {int(studies.keys[study, place]) for place in self.texts[study]} for study in self.texts}

    def score(self, study: int, place: int, image: int) -> torch.Tensor:
        return slow_score(self.studies.sentences[study, place], self.studies.observations[image], self.pick)

    def by_sentence(self) -> torch.Tensor:
        losses = []
        for study, places in self.texts.items():
            for place in places:
                key = int(self.studies.keys[study, place])
                losses.append(self.one_sentence(study, place, [i for i in self.texts if key in self.held[i]]))
        return sum(losses) / len(losses)

    def one_sentence(self, study: int, place: int, holders: list[int]) -> torch.Tensor:
        images = list(self.texts)
        if self.duplicates == "mask":
            images = [image for image in images if image == study or image not in holders]
        scores = [self.score(study, place, image) for image in images]
        if self.duplicates == "soften":
            return sum(surprise(scores, images.index(image), self.temperature) for image in holders) / len(holders)
        return surprise(scores, images.index(study), self.temperature)

    def by_report(self) -> torch.Tensor:
        table = {
            (study, image): sum(self.score(study, place, image) for place in places) / len(places)
            for study, places in self.texts.items()
            for image in self.texts
        }
        losses = []
        for own in self.texts:
            rivals = [
                other
                for other in self.texts
                if other == own or self.duplicates == "keep" or self.held[other] != self.held[own]
            ]
            place = rivals.index(own)
            losses.append(surprise([table[own, image] for image in rivals], place, self.temperature))
            losses.append(surprise([table[study, own] for study in rivals], place, self.temperature))
        return sum(losses) / len(losses)

    def value(self, mode: str) -> torch.Tensor:
        parts = {"report": [self.by_report], "sentence": [self.by_sentence], "both": [self.by_report, self.by_sentence]}
        return sum(part() for part in parts[mode]) / len(parts[mode])


def studies_with_duplicates() -> Studies:
    """Six studies: equal sentences in and across reports, reports of equal sets, an empty report."""
    studies = make_studies([3, 1, 0, 2, 4, 2], seed=3)
    keys = studies.keys.clone()
    keys[3, :2] = torch.tensor([5, 9])
    keys[5, :2] = torch.tensor([9, 5])  # the same set in another order
    keys[0, :3] = torch.tensor([7, 8, 9])
    keys[4] = torch.tensor([9, 9, 7, 8])  # the set of study 0, one of its sentences twice
    return Studies(studies.sentences, studies.mask, keys, studies.observations)


@pytest.fixture(scope="module")
def golden_studies() -> Studies:
    """Two studies of one sentence; two observations in two dimensions."""
    return Studies(
        sentences=torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]),
        mask=torch.ones(2, 1, dtype=torch.bool),
        keys=torch.tensor([[1], [2]]),
        observations=torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]),
    )


def test_golden_scores(golden_studies: Studies) -> None:
    # The first image shows both, and a sentence that is like one of two observations picks it with e / (e + 1):
    # 0.731059. The second image shows the second sentence twice (1) and the first not at all (0).
    scores = observation_scores(golden_studies.sentences[:, 0], golden_studies.observations, pick_temperature=1.0)
    torch.testing.assert_close(scores, torch.tensor([[0.731059, 0.0], [0.731059, 1.0]]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "value"),
    [
        # Rows at temperature 1: log(1 + e^-0.731059) = 0.392987 and log(1 + e^-0.268941) = 0.567691, mean 0.480339.
        pytest.param("sentence", 0.480339, id="sentence"),
        # Columns: both reports score 0.731059 on the first image, log 2 = 0.693147; log(1 + e^-1) = 0.313262.
        pytest.param("report", (0.480339 + 0.503204) / 2, id="report"),
        pytest.param("both", (0.480339 + (0.480339 + 0.503204) / 2) / 2, id="both"),
    ],
)
def test_golden_value(golden_studies: Studies, mode: Any, value: float) -> None:
    loss = ObservationAlignmentLoss(mode, temperature=1.0, pick_temperature=1.0)(*golden_studies.arguments)
    assert loss.item() == pytest.approx(value, abs=2e-6)


@pytest.mark.parametrize(
    ("duplicates", "value"),
    [
        # Both images may be meant by both sentences: nothing is left to tell apart.
        pytest.param("mask", 0.0, id="mask"),
        # log(e^0.731059 + 1) = 1.124046 less the mean score 0.365529; log(e^0.731059 + e) = 1.567691 less 0.865529.
        pytest.param("soften", (0.758516 + 0.702161) / 2, id="soften"),
        pytest.param("keep", 0.480339, id="keep"),
    ],
)
def test_golden_value_of_a_sentence_that_both_reports_hold(
    golden_studies: Studies, duplicates: Any, value: float
) -> None:
    loss = ObservationAlignmentLoss("sentence", duplicates=duplicates, temperature=1.0, pick_temperature=1.0)
    keys = torch.ones_like(golden_studies.keys)
    result = loss(golden_studies.sentences, golden_studies.mask, keys, golden_studies.observations)
    assert result.item() == pytest.approx(value, abs=2e-6)


def test_scores_equal_the_slow_oracle() -> None:
    sentences, observations = unit_rows(4, 5, seed=0), unit_rows(3, 2, 5, seed=1)
    fast = observation_scores(sentences, observations, pick_temperature=0.2)
    slow = torch.stack(
        [torch.stack([slow_score(sentence, image, 0.2) for image in observations]) for sentence in sentences]
    )
    assert_same([fast], [slow])


@every_mode
@every_policy
def test_equals_the_slow_oracle_forward_and_gradient(mode: Any, duplicates: Any) -> None:
    studies = studies_with_duplicates()
    loss = ObservationAlignmentLoss(mode, duplicates=duplicates, temperature=0.2, pick_temperature=0.3)
    fast = loss(*studies.arguments)
    slow = SlowLoss(studies, duplicates=duplicates, temperature=0.2, pick=0.3).value(mode)
    assert_same([fast, *gradients(fast, *studies.leaves)], [slow, *gradients(slow, *studies.leaves)])


@every_mode
def test_gradient_equals_finite_differences(mode: Any) -> None:
    studies = make_studies([2, 1, 2], queries=2, width=3, distinct=3)
    loss = ObservationAlignmentLoss(mode, duplicates="soften", temperature=0.5, pick_temperature=0.5)
    sentences, observations = studies.leaves
    assert gradcheck(
        lambda text, seen: loss(text, studies.mask, studies.keys, seen), (sentences, observations), atol=1e-6
    )


@every_mode
@every_policy
def test_order_of_studies_sentences_and_observations_changes_nothing(mode: Any, duplicates: Any) -> None:
    studies = studies_with_duplicates()
    loss = ObservationAlignmentLoss(mode, duplicates=duplicates)
    expected = loss(*studies.arguments)
    assert_same([loss(*studies.take([4, 2, 0, 5, 1, 3]).arguments)], [expected])
    places = torch.tensor([2, 0, 3, 1])
    texts = (part[:, places] for part in studies.arguments[:3])
    assert_same([loss(*texts, studies.observations[:, [2, 0, 1]])], [expected])


@every_mode
@every_policy
def test_good_pairs_lose_less_than_shuffled_pairs(mode: Any, duplicates: Any) -> None:
    studies = make_studies([2] * 8, queries=2, width=16, distinct=10_000)
    loss = ObservationAlignmentLoss(mode, duplicates=duplicates)
    seen = torch.nn.functional.normalize(studies.sentences + 0.3 * studies.observations, dim=-1)
    texts = studies.arguments[:3]
    assert loss(*texts, seen) + 1 < loss(*texts, seen.roll(1, dims=0))


@every_mode
def test_study_with_an_empty_report_is_neither_a_positive_nor_a_negative(mode: Any) -> None:
    studies = studies_with_duplicates()
    loss = ObservationAlignmentLoss(mode)
    value = loss(*studies.arguments)
    assert_same([value], [loss(*studies.take([0, 1, 3, 4, 5]).arguments)])
    text, seen = gradients(value, *studies.leaves)
    assert text[2].abs().max() == 0
    assert seen[2].abs().max() == 0


@every_mode
@every_policy
def test_batch_of_empty_reports_costs_nothing_and_still_gives_a_gradient(mode: Any, duplicates: Any) -> None:
    studies = make_studies([0, 0, 0])
    loss = ObservationAlignmentLoss(mode, duplicates=duplicates)(*studies.arguments)
    assert loss.item() == 0
    for gradient in gradients(loss, *studies.leaves):
        assert gradient.abs().max() == 0


@every_mode
@pytest.mark.parametrize("temperature", [0.001, 100.0])
@pytest.mark.parametrize("duplicates", ["mask", "soften"])
@pytest.mark.parametrize(
    "studies",
    [
        pytest.param(make_studies([3]), id="batch of one"),
        pytest.param(make_studies([1, 1, 1, 1]), id="reports of one sentence"),
        pytest.param(make_studies([2, 0, 1, 0]), id="empty reports"),
        pytest.param(make_studies([2, 2]).take([0, 0, 0, 0]), id="identical rows"),
        pytest.param(make_studies([2, 2, 2], distinct=1), id="one sentence for all"),
    ],
)
def test_limits_stay_finite(mode: Any, duplicates: Any, temperature: float, studies: Studies) -> None:
    # In float32, which is what training uses.
    loss = ObservationAlignmentLoss(
        mode, duplicates=duplicates, temperature=temperature, pick_temperature=temperature, chunk_sentences=2
    )
    sentences, observations = (leaf.detach().float().requires_grad_() for leaf in studies.leaves)
    value = loss(sentences, studies.mask, studies.keys, observations)
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(value, sentences, observations))


@every_mode
@pytest.mark.parametrize("zero", ["sentences", "observations", "both"])
def test_zero_vectors_stay_finite(mode: Any, zero: str) -> None:
    studies = make_studies([2, 1, 3])
    sentences, observations = (leaf.detach().float() for leaf in studies.leaves)
    sentences = (sentences * (zero == "observations")).requires_grad_()
    observations = (observations * (zero == "sentences")).requires_grad_()
    value = ObservationAlignmentLoss(mode)(sentences, studies.mask, studies.keys, observations)
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(value, sentences, observations))


@every_mode
def test_autocast_does_not_lower_the_precision(mode: Any) -> None:
    studies = make_studies([2, 3, 1, 4])
    arguments = (studies.sentences.float(), studies.mask, studies.keys, studies.observations.float())
    loss = ObservationAlignmentLoss(mode, chunk_sentences=3)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(*arguments)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, loss(*arguments))


@every_mode
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_input_is_close_to_float32(mode: Any, kind: torch.dtype) -> None:
    studies = make_studies([2, 3, 1, 4])
    loss = ObservationAlignmentLoss(mode)
    half = loss(studies.sentences.to(kind), studies.mask, studies.keys, studies.observations.to(kind))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), loss(*studies.arguments), rtol=0.03, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            {"mode": "token"}, r"mode is 'token', expected one of \('report', 'sentence', 'both'\)", id="mode"
        ),
        pytest.param({"duplicates": "drop"}, "duplicates is 'drop', expected one of .*'soften'", id="duplicates"),
        pytest.param({"temperature": 0.0}, r"temperatures \(0.0, .* must be positive", id="zero temperature"),
        pytest.param({"pick_temperature": -1.0}, r"temperatures \(.*-1.0.*must be positive", id="negative temperature"),
        pytest.param({"chunk_sentences": 0}, "chunk_sentences 0 must be positive", id="empty chunk"),
    ],
)
def test_bad_choice_raises(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ObservationAlignmentLoss(**arguments)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        pytest.param([(3, 4, 8), (3, 5), (3, 5), (3, 2, 8)], r"sentence_mask \(3, 5\)", id="mask"),
        pytest.param([(3, 4, 8), (3, 4), (3, 5), (3, 2, 8)], r"sentence_keys \(3, 5\)", id="keys"),
        pytest.param([(3, 4, 8), (3, 4), (3, 4), (2, 2, 8)], r"observations \(2, 2, 8\)", id="batch"),
        pytest.param([(3, 4, 8), (3, 4), (3, 4), (3, 2, 9)], r"must be .* and \(B, K, D\)", id="features"),
        pytest.param([(3, 4, 8), (3, 4), (3, 4), (3, 8)], r"must be .* and \(B, K, D\)", id="axes"),
    ],
)
def test_bad_shape_raises(shapes: list[tuple[int, ...]], message: str) -> None:
    sentences, mask, keys, observations = (torch.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match=message):
        ObservationAlignmentLoss()(sentences, mask.bool(), keys.long(), observations)
