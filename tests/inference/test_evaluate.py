"""The evaluation of a tiny random model on a small phantom: every number against a slow way to it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.inference.class_retrieval import retrieval_5x200
from monai_place.inference.evaluate import evaluate_place, evaluate_studies
from monai_place.inference.probe import probe_features
from monai_place.inference.prompts import load_prompts


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


def test_prompts_that_are_given_are_the_ones_that_are_compared(model, records, numbers):
    options = {"classes": PHANTOM_CLASSES, "batch_size": 7, "bootstrap": 50}
    same = evaluate_place(model.loaded, records, prompts=load_prompts("phantom"), **options)
    other = evaluate_place(model.loaded, records, prompts=load_prompts("nih14"), **options)
    assert same["zero_shot"] == numbers["zero_shot"]
    assert other["zero_shot"]["global"]["per_finding"].keys() == numbers["zero_shot"]["global"]["per_finding"].keys()
    assert other["zero_shot"] != numbers["zero_shot"]


def test_where_one_class_is_true_of_each_study_the_likeliest_one_counts(collected):
    truth = torch.arange(len(collected.ids)) % 7
    labels = torch.eye(7)[truth]
    labels[0] = torch.nan
    found = evaluate_studies(replace(collected, labels=labels), bootstrap=20)["zero_shot"]
    for mode in ("global", "local", "mean"):
        right = collected.scores[mode].softmax(1).argmax(1) == truth
        assert found[mode]["accuracy"]["value"] == pytest.approx(float(right[1:].float().mean()))


def test_findings_that_may_stand_together_have_no_accuracy(numbers):
    assert "accuracy" not in numbers["zero_shot"]["global"]


def test_recall_counts_the_studies_whose_own_report_is_among_the_first(collected, numbers):
    scores = (collected.images @ collected.reports.T).double()
    others = [[j for j in range(len(scores)) if j != i] for i in range(len(scores))]
    ranks = [1 + sum(float(scores[i, j]) >= float(scores[i, i]) for j in row) for i, row in enumerate(others)]
    found = numbers["retrieval"]["image_to_text"]
    assert found["recall_at_5"] == pytest.approx(np.mean(np.array(ranks) <= 5))
    assert found["median_rank"] == np.median(ranks)
    assert found["intervals"]["recall_at_5"]["value"] == pytest.approx(found["recall_at_5"])
    assert set(numbers["retrieval"]) == {"image_to_text", "text_to_image"}


def test_studies_with_the_same_report_are_counted(collected, numbers):
    texts = [" ".join(text.split()) for text in collected.report_texts]
    expected = sum(texts.count(text) > 1 for text in texts)
    assert {side["identical_reports"] for side in numbers["retrieval"].values()} == {expected}
    assert {side["recall_at_1"] for side in numbers["retrieval"].values()} != {None}


def test_retrieval_by_class_is_that_of_the_embeddings(model, records, collected, numbers):
    labels = [[int(number % 2 == place) for place in range(2)] for number in range(len(records))]
    relabelled = [dict(record, label=label) for record, label in zip(records, labels, strict=True)]
    options = {"classes": ["nodule", "edema"], "bootstrap": 5}
    found = evaluate_place(model.loaded, relabelled, per_class=4, batch_size=7, **options)["class_retrieval"]
    assert (found["tasks"], found["samplings"]) == (["nodule", "edema"], [0, 1, 2, 3, 4])
    assert list(found["sides"]) == ["image_to_text", "text_to_image", "image_to_image", "image_to_prompt"]
    expected = retrieval_5x200(
        collected.images,
        collected.reports,
        labels,
        collected.ids,
        patients=[record["patient_id"] for record in records],
        reports=collected.report_texts,
        per_class=4,
        **options,
    )
    for side in ("image_to_text", "text_to_image", "image_to_image"):
        assert found["sides"][side] == expected["sides"][side]


def test_too_few_studies_of_a_class_are_found_before_the_work(model, records):
    gone = [dict(record, image="gone.png") for record in records]
    with pytest.raises(ValueError, match="500 rows of each class are wanted, there are"):
        evaluate_place(model.loaded, gone, classes=PHANTOM_CLASSES, per_class=500)


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
