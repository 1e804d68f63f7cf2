"""The evaluation of a tiny random model on a small phantom: every number against a slow way to it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.inference.evaluate import evaluate_place, evaluate_studies
from monai_place.inference.probe import probe_features


@pytest.fixture(scope="module")
def numbers(collected):
    return evaluate_studies(collected, bootstrap=50)


def test_features_for_a_probe_are_the_pooled_ones_and_need_no_text(model, records, collected):
    bare = [{"image": record["image"], "label": record["label"]} for record in records]
    features, labels = probe_features(model.loaded, bare, classes=PHANTOM_CLASSES, batch_size=7)
    assert torch.allclose(features, collected.pooled, atol=1e-5)
    assert torch.equal(labels, collected.labels)
    with pytest.raises(ValueError, match="none of the 1 images"):
        probe_features(model.loaded, [{"image": "gone.png"}])


def test_zero_shot_auroc_is_sklearn_s(collected, numbers):
    for mode in ("global", "local"):
        for column, name in enumerate(PHANTOM_CLASSES):
            truth, scores = collected.labels[:, column], collected.scores[mode][:, column]
            if 0 < truth.sum() < len(truth):
                expected = roc_auc_score(truth, scores)
                found = numbers["zero_shot"][mode]["per_finding"][name]
                assert found["value"] == pytest.approx(expected, abs=1e-6)
                assert found["low"] <= found["value"] <= found["high"]


def test_recall_counts_the_studies_whose_own_report_is_among_the_first(collected, numbers):
    scores = (collected.images @ collected.reports.T).double()
    others = [[j for j in range(len(scores)) if j != i] for i in range(len(scores))]
    ranks = [1 + sum(float(scores[i, j]) >= float(scores[i, i]) for j in row) for i, row in enumerate(others)]
    found = numbers["retrieval"]["image_to_text"]
    assert found["recall_at_5"] == pytest.approx(np.mean(np.array(ranks) <= 5))
    assert found["median_rank"] == np.median(ranks)
    assert found["intervals"]["recall_at_5"]["value"] == pytest.approx(found["recall_at_5"])
    assert set(numbers["retrieval"]) == {"image_to_text", "text_to_image"}


def test_grounding_is_given_beside_the_prior_and_chance(numbers):
    grounding = numbers["grounding"]
    assert set(grounding["pointing"]) == {"model", "prior", "chance"}
    assert grounding["pointing"]["prior"]["value"] > grounding["pointing"]["chance"]["value"]
    assert set(grounding["miou"]) == {"model", "prior"}


def test_the_numbers_are_json_and_say_what_they_are_not(numbers):
    assert "Not a medical device" in json.loads(json.dumps(numbers, allow_nan=False))["note"]


def test_the_same_seed_gives_the_same_numbers(model, records, prior, numbers):
    options = {"classes": PHANTOM_CLASSES, "prior": prior, "batch_size": 7}
    again = evaluate_place(model.loaded, records, bootstrap=50, **options)
    assert again == numbers


def test_a_file_that_cannot_be_read_is_listed_and_the_others_count(model, records, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    changed = [dict(records[0], image=str(tmp_path / "bad.png")), *records[1:4]]
    found = evaluate_place(model.loaded, changed, classes=PHANTOM_CLASSES, bootstrap=5)
    assert found["studies"] == 3
    assert [entry["source"] for entry in found["failed"]] == ["bad.png"] or "bad.png" in found["failed"][0]["source"]
    assert str(tmp_path) not in json.dumps(found["failed"])


def test_records_with_images_alone_give_what_can_be_given(model, records):
    bare = [{"id": record["id"], "image": record["image"]} for record in records[:3]]
    found = evaluate_place(model.loaded, bare, classes=PHANTOM_CLASSES, bootstrap=5)
    assert (found["studies"], found["studies_with_text"]) == (3, 0)
    assert (found["retrieval"], found["grounding"], found["zero_shot"]["global"]) == ({}, {}, {})
    json.dumps(found, allow_nan=False)


def test_one_study_has_numbers_without_intervals_that_mean_anything(model, records):
    found = evaluate_place(model.loaded, records[:1], classes=PHANTOM_CLASSES, bootstrap=5)
    assert found["retrieval"]["image_to_text"]["recall_at_1"] == 1.0
    assert found["zero_shot"]["global"]["macro"]["value"] is None


def test_labels_of_other_classes_are_refused_with_both_numbers(model, records):
    with pytest.raises(ValueError, match="7 labels, there are 3 classes"):
        evaluate_place(model.loaded, records, bootstrap=5)


def test_no_records_and_no_readable_image_are_errors(model, tmp_path):
    with pytest.raises(ValueError, match="records is empty"):
        evaluate_place(model.loaded, [])
    with pytest.raises(ValueError, match=r"none of the 1 images .* gone\.png"):
        evaluate_place(model.loaded, [{"id": "a", "image": str(tmp_path / "gone.png")}])
