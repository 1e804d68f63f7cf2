"""One pass of a tiny random model over a small phantom: every part of it against a slow way to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.inference import load
from monai_place.inference.collect import collect_studies, fit_location_prior
from monai_place.losses import ObservationAlignmentLoss
from tests.support.models import save_tiny_place


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


def test_labels_ids_and_texts_stay_with_their_image_when_a_file_before_it_is_bad(model, records, collected):
    changed = [dict(records[0], image="gone.png"), *records[1:5]]
    found = collect_studies(model.loaded, changed, classes=PHANTOM_CLASSES)
    assert found.ids == collected.ids[1:5]
    assert found.report_texts == collected.report_texts[1:5]
    assert torch.equal(found.labels, collected.labels[1:5])
    assert not torch.equal(found.labels, collected.labels[:4])


def test_a_prior_needs_masks(phantom):
    assert fit_location_prior([{"id": "a", "findings": [{"class": "nodule"}]}]) is None
    assert read_datalist(phantom).classes == list(PHANTOM_CLASSES)


def test_a_prior_knows_where_the_masks_of_its_records_lie(phantom):
    records = load_records(phantom, "training")
    first, second = [finding for record in records for finding in record["findings"] if finding.get("mask")][:2]
    other = {**first, "mask": second["mask"]}  # the same words, another place
    mask = np.asarray(Image.open(first["mask"])) > 0
    alone, apart, both = (
        fit_location_prior(chosen).predict(first, shape=mask.shape)
        for chosen in (
            [{"findings": [first]}],
            [{"findings": [other]}],
            [{"findings": [first]}, {"findings": None}, {"findings": [other, {"class": "edema"}]}],
        )
    )
    assert alone.numpy()[mask].mean() > 5 * alone.numpy()[~mask].mean()
    assert not torch.allclose(alone, apart)
    assert torch.allclose(both, (alone + apart) / 2)


def test_only_the_first_studies_are_grounded_where_a_limit_is_set(model, records, collected):
    limited = collect_studies(model.loaded, records, classes=PHANTOM_CLASSES, batch_size=7, grounding_limit=3)
    first = {record["id"] for record in records[:3]}
    expected = [(row.study, row.sentence) for row in collected.grounding if row.study in first]
    assert [(row.study, row.sentence) for row in limited.grounding] == expected
    assert limited.ids == collected.ids


def test_a_pass_leaves_no_hook_on_the_model(model, records):
    collect_studies(model.loaded, records[:2], classes=PHANTOM_CLASSES)
    with pytest.raises(ValueError, match="none of the 1 images"):
        collect_studies(model.loaded, [{"image": "gone.png"}])
    assert not model.loaded.model.image_projection._forward_pre_hooks


def test_a_sentence_about_a_finding_that_the_record_does_not_hold_has_no_row(model, records):
    grounded = next(record for record in records if any(finding.get("mask") for finding in record["findings"]))
    bare = {key: value for key, value in grounded.items() if key not in ("findings", "report", "label")}
    assert list(collect_studies(model.loaded, [bare], classes=PHANTOM_CLASSES).grounding) == []
