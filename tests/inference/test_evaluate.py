"""The evaluation of a tiny random model on a small phantom: every number against a slow way to it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.phantom import PHANTOM_CLASSES, write_phantom
from monai_place.data.tokens import ReportTokenizer
from monai_place.inference import load
from monai_place.inference.collect import collect_studies, fit_location_prior
from monai_place.inference.evaluate import evaluate_place, evaluate_studies
from monai_place.inference.probe import probe_features
from monai_place.losses import ObservationAlignmentLoss
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import save_model_folder
from tests.support.models import CLASSES, save_tiny_place, tiny_place


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("phantom"), studies=30, size=80, seed=3, fractions=(0.4, 0.0, 0.6))


@pytest.fixture(scope="module")
def records(phantom):
    return load_records(phantom, "test")


@pytest.fixture(scope="module")
def model(tmp_path_factory, records):
    tokenizer = ReportTokenizer.train([record["report"] for record in records], vocab_size=400, max_tokens=200)
    network = tiny_place(vocab_size=tokenizer.vocab_size, max_tokens=200)
    folder = tmp_path_factory.mktemp("evaluate")
    spec = PreprocessSpec(image_size=64)
    save_model_folder(folder, network, preprocess=spec, tokenizer=tokenizer, classes=CLASSES)
    return load(folder, device="cpu")


@pytest.fixture(scope="module")
def prior(phantom):
    return fit_location_prior(load_records(phantom, "training"))


@pytest.fixture(scope="module")
def collected(model, records, prior):
    return collect_studies(model.loaded, records, classes=PHANTOM_CLASSES, prior=prior, batch_size=7)


@pytest.fixture(scope="module")
def numbers(collected):
    return evaluate_studies(collected, bootstrap=50)


def test_studies_keep_their_order_and_features_do_not_depend_on_the_batch(model, records, collected):
    assert collected.ids == tuple(record["id"] for record in records)
    assert torch.allclose(
        collected.images, model.embed_image([record["image"] for record in records]).embeddings, atol=1e-5
    )
    reports = model.embed_text([record["report"] for record in records]).reports
    assert torch.allclose(collected.reports, reports, atol=1e-5)


def test_scores_are_those_of_the_predictor(model, records, collected):
    for mode in ("global", "local", "mean"):
        result = model.classify([record["image"] for record in records[:3]], PHANTOM_CLASSES, mode=mode)
        expected = torch.tensor([list(entry.scores.values()) for entry in result.results])
        assert torch.allclose(collected.scores[mode][:3], expected, atol=1e-4)


def test_pooled_features_are_what_the_image_projection_reads(model, collected):
    with torch.no_grad():
        projected = torch.nn.functional.normalize(model.loaded.model.image_projection(collected.pooled), dim=-1)
    assert torch.allclose(projected, collected.images, atol=1e-5)


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


def test_grounding_points_where_the_predictor_points(model, records, collected):
    by_study = {record["id"]: record for record in records}
    assert collected.grounding
    for row in collected.grounding[:6]:
        record = by_study[row.study]
        sentence = record["sentences"][row.sentence]
        finding = record["findings"][sentence["finding"]]
        assert finding["class"] == row.finding
        assert sentence["polarity"] != "negative"
        mask = np.asarray(Image.open(finding["mask"])) > 0
        assert row.model["area"] == pytest.approx(mask.mean())
        assert 0 <= row.model["pointing"] <= 1
        assert set(row.prior) == set(row.model)


def test_every_sentence_about_a_finding_with_a_mask_has_a_row(records, collected):
    expected = {
        (record["id"], number)
        for record in records
        for number, sentence in enumerate(record["sentences"])
        if sentence["finding"] is not None and sentence["polarity"] != "negative"
    }
    found = {(row.study, row.sentence) for row in collected.grounding}
    assert found == expected
    assert collected.reports_cut == 0


def test_a_sentence_that_denies_a_finding_has_no_place(model, records):
    record = next(record for record in records if record["findings"])
    denied = [{**sentence, "polarity": "negative"} for sentence in record["sentences"]]
    changed = [{**record, "sentences": denied}]
    assert not collect_studies(model.loaded, changed, classes=PHANTOM_CLASSES).grounding


def test_sentences_beyond_what_the_model_reads_have_no_row_and_the_cut_is_counted(tmp_path, records, collected):
    save_tiny_place(tmp_path)  # reads 48 tokens
    short = collect_studies(load(tmp_path, device="cpu").loaded, records, classes=PHANTOM_CLASSES)
    assert short.reports_cut == len(records)
    assert 0 < len(short.grounding) < len(collected.grounding)


def test_a_sentence_in_another_split_than_the_report_s_is_read_anew(model, records, collected):
    changed = [{**record, "report": record["report"].replace(". ", ", ")} for record in records[:8]]
    again = collect_studies(model.loaded, changed, classes=PHANTOM_CLASSES)
    alike = [row for row in collected.grounding if row.study in again.ids]
    assert [(row.study, row.sentence) for row in again.grounding] == [(row.study, row.sentence) for row in alike]
    for row, other in zip(again.grounding, alike, strict=True):
        assert row.model == pytest.approx(other.model, abs=1e-4, nan_ok=True)


def test_grounding_is_given_beside_the_prior_and_chance(numbers):
    grounding = numbers["grounding"]
    assert set(grounding["pointing"]) == {"model", "prior", "chance"}
    assert grounding["pointing"]["prior"]["value"] > grounding["pointing"]["chance"]["value"]
    assert set(grounding["miou"]) == {"model", "prior"}


def test_a_model_whose_evidence_is_the_mask_points_right_everywhere(model, records, monkeypatch):
    """An oracle in the place of the map: what remains is the product's geometry and scoring."""
    from monai_place.inference import collect as module

    regions = iter([])

    def oracle(patch_map, geometry):
        return torch.from_numpy(next(regions).astype(np.float32))[None]

    original = module._region

    def noted(finding):
        nonlocal regions
        region = original(finding)
        regions = iter([region])
        return region

    monkeypatch.setattr(module, "_region", noted)
    monkeypatch.setattr(module, "map_on_picture", oracle)
    collected = collect_studies(model.loaded, records[:5], classes=PHANTOM_CLASSES)
    assert {(row.model["pointing"], row.model["miou"]) for row in collected.grounding} == {(1.0, 1.0)}


def test_the_swap_diagnostic_is_the_loss_of_swapped_images(model, records):
    from monai_place.data.reports import report_sentences
    from monai_place.transforms.collate import collate_studies

    loaded, chosen = model.loaded, records[:6]
    collected = collect_studies(loaded, chosen, classes=PHANTOM_CLASSES, batch_size=6)
    encoded = [loaded.tokenizer.encode(report_sentences(record["report"])) for record in chosen]
    items = [{"input_ids": entry.input_ids, "sentence_ids": entry.sentence_ids} for entry in encoded]
    batch = collate_studies(items, pad_id=loaded.tokenizer.pad_id)
    from monai_place.inference.images import prepare_image

    images = torch.stack([prepare_image(record["image"], loaded.preprocess).tensor for record in chosen])
    with torch.no_grad():
        output = loaded.model({**batch, "image": images})
        loss = ObservationAlignmentLoss()
        report = (output.report.sentence_embeddings, output.report.sentence_mask, output.sentence_keys)
        right = float(loss(*report, output.image.observations))
        swapped = float(loss(*report, output.image.observations.roll(1, 0)))
    assert collected.diagnostics["pcma_right"] == pytest.approx(right, abs=1e-4)
    assert collected.diagnostics["pcma_gap"] == pytest.approx(swapped - right, abs=1e-4)
    for name in ("slot_perplexity", "slot_cosine", "cce_explained", "cce_explained_shuffled"):
        assert np.isfinite(collected.diagnostics[name])


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


def test_labels_ids_and_texts_stay_with_their_image_when_a_file_before_it_is_bad(model, records, collected):
    changed = [dict(records[0], image="gone.png"), *records[1:5]]
    found = collect_studies(model.loaded, changed, classes=PHANTOM_CLASSES)
    assert found.ids == collected.ids[1:5]
    assert found.report_texts == collected.report_texts[1:5]
    assert torch.equal(found.labels, collected.labels[1:5])
    assert not torch.equal(found.labels, collected.labels[:4])


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


def test_a_prior_needs_masks(phantom):
    assert fit_location_prior([{"id": "a", "findings": [{"class": "nodule"}]}]) is None
    assert read_datalist(phantom).classes == list(PHANTOM_CLASSES)
