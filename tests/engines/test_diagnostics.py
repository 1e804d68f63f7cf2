"""The numbers that every validation watches, against direct computation over all studies at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from monai_place.engines import PretrainingDiagnostics
from monai_place.losses import PLACELoss
from monai_place.networks import PLACEModel
from tests.networks.models import make_batch, small_model

COUNTS = ([2, 3, 1, 2], [1, 2, 2, 3])


@pytest.fixture(scope="module")
def watched() -> dict[str, Any]:
    """Return a model in eval mode, two batches, their outputs, the loss and the numbers of the diagnostics."""
    model = small_model(seed=3, correlation_level=-1, correlation_mask_ratio=0.5).eval()
    batches = [make_batch(counts, seed=seed) for seed, counts in enumerate(COUNTS)]
    loss = PLACELoss(mode="both")
    diagnostics = PretrainingDiagnostics(loss)
    with torch.no_grad():
        outputs = [model(batch) for batch in batches]
        for batch, output in zip(batches, outputs, strict=True):
            diagnostics.update(model, batch, output)
    return {"model": model, "batches": batches, "outputs": outputs, "loss": loss, "numbers": diagnostics.compute()}


def test_swapped_loss_gives_each_report_its_neighbors_image(watched: dict[str, Any]) -> None:
    expected = []
    for output in watched["outputs"]:
        report, images = output.report, output.image.observations
        order = [len(images) - 1, *range(len(images) - 1)]
        expected.append(
            watched["loss"].pcma(report.sentence_embeddings, report.sentence_mask, output.sentence_keys, images[order])
        )
    assert watched["numbers"]["pcma_swapped"] == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)
    gap = watched["numbers"]["pcma_swapped"] - watched["numbers"]["pcma_right"]
    assert watched["numbers"]["pcma_gap"] == pytest.approx(gap)


def test_slot_cosine_is_the_mean_over_pairs_of_different_images(watched: dict[str, Any]) -> None:
    observations = torch.cat([output.image.observations for output in watched["outputs"]]).double()
    pairs = [
        float(observations[a, k] @ observations[b, k])
        for k in range(observations.shape[1])
        for a in range(len(observations))
        for b in range(len(observations))
        if a != b
    ]
    assert watched["numbers"]["slot_cosine"] == pytest.approx(float(np.mean(pairs)), abs=1e-6)


def test_slot_perplexity_is_that_of_the_slots_that_sentences_like_best(watched: dict[str, Any]) -> None:
    picked = [
        int((output.image.observations[study] @ sentence).argmax())
        for output in watched["outputs"]
        for study in range(len(output.image.observations))
        for sentence in output.report.sentence_embeddings[study][output.report.sentence_mask[study]]
    ]
    share = np.bincount(picked) / len(picked)
    entropy = -sum(p * math.log(p) for p in share if p > 0)
    assert watched["numbers"]["slot_perplexity"] == pytest.approx(math.exp(entropy), rel=1e-6)


@pytest.mark.parametrize("shuffled", [False, True], ids=["right report", "neighbor's report"])
def test_explained_variance_takes_the_mean_matrix_over_all_batches_out(watched: dict[str, Any], shuffled: bool) -> None:
    model: PLACEModel = watched["model"]
    predictions, targets = [], []
    with torch.no_grad():
        for batch, output in zip(watched["batches"], watched["outputs"], strict=True):
            order = [len(batch["image"]) - 1, *range(len(batch["image"]) - 1)] if shuffled else slice(None)
            report = output.report
            tokens = model.correlation_tokens(batch["image"])
            predictions.append(
                model.correlation_head(tokens, report.token_states[order], report.attention_mask[order]).numpy()
            )
            targets.append(output.correlation.target.numpy())
    prediction, target = np.concatenate(predictions).astype(float), np.concatenate(targets).astype(float)
    residual = target - target.mean(axis=0)
    off = ~np.eye(target.shape[1], dtype=bool)
    expected = 1 - ((prediction - residual)[:, off] ** 2).sum() / (residual[:, off] ** 2).sum()
    name = "cce_explained_shuffled" if shuffled else "cce_explained"
    assert watched["numbers"][name] == pytest.approx(expected, abs=1e-5)


def test_recall_counts_all_studies_of_all_batches(watched: dict[str, Any]) -> None:
    images = torch.cat([output.image.global_embedding for output in watched["outputs"]])
    reports = torch.cat([output.report.global_embedding for output in watched["outputs"]])
    scores = images @ reports.t()
    hits = [
        sum(float(scores[i, j]) >= float(scores[i, i]) for j in range(len(images))) <= 5 for i in range(len(images))
    ]
    assert watched["numbers"]["recall_at_5_image_to_text"] == pytest.approx(np.mean(hits))


def test_nothing_seen_gives_no_numbers_and_reset_forgets(watched: dict[str, Any]) -> None:
    diagnostics = PretrainingDiagnostics(watched["loss"])
    assert diagnostics.compute() == {}
    diagnostics.update(watched["model"], watched["batches"][0], watched["outputs"][0])
    diagnostics.reset()
    assert diagnostics.compute() == {}


def test_model_without_correlation_head_has_no_number_of_it() -> None:
    model, diagnostics = small_model(correlation_depth=0).eval(), PretrainingDiagnostics(PLACELoss())
    batch = make_batch([2, 1])
    with torch.no_grad():
        diagnostics.update(model, batch, model(batch))
    assert not [name for name in diagnostics.compute() if name.startswith("cce")]


def test_diverged_model_gives_nan_and_no_error() -> None:
    model, diagnostics = small_model().eval(), PretrainingDiagnostics(PLACELoss())
    batch = make_batch([2, 1, 3])
    with torch.no_grad():
        model.image_projection[0].weight.fill_(math.nan)
        model.extractor.queries.fill_(math.nan)
        diagnostics.update(model, batch, model(batch))
    numbers = diagnostics.compute()
    assert math.isnan(numbers["recall_at_5_image_to_text"])
    assert math.isnan(numbers["slot_cosine"])
