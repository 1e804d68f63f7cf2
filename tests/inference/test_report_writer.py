from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import CenterSpatialCropd

from monai_place.inference.generator_loading import LoadedGenerator, load_generator
from monai_place.inference.report_writer import ReportWriter, load_report_generator
from monai_place.networks import GenerationSettings
from monai_place.transforms import ImageReading
from tests.support.generators import save_tiny_generator

LONG = GenerationSettings(min_tokens=12, no_repeat_ngram=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_generator(tmp_path_factory.mktemp("writer") / "generator", seed=5)


@pytest.fixture(scope="module")
def writer(folder):
    return load_report_generator(folder, device="cpu")


@pytest.fixture(scope="module")
def cropped(folder, tmp_path_factory):
    """Return a writer whose preprocessing cuts the longer side."""
    import json

    content = json.loads((folder / "generator.json").read_text())
    content["preprocess"]["resize_rule"] = "crop"
    (folder / "generator.json").write_text(json.dumps(content))
    return load_report_generator(folder, device="cpu")


def test_a_list_of_images_gives_what_each_alone_gives(writer, pictures):
    together = writer.generate(pictures, settings=LONG)
    alone = [writer.generate(picture, settings=LONG).results[0] for picture in pictures]
    assert [report.text for report in together.results] == [report.text for report in alone]
    assert [report.index for report in together.results] == list(range(5))
    for one, other in zip(together.results, alone, strict=True):
        for sentence, same in zip(one.sentences, other.sentences, strict=True):
            np.testing.assert_allclose(sentence.evidence, same.evidence, rtol=1e-4, atol=1e-7)


def test_pictures_made_in_another_way_than_in_training_are_told(folder, caplog):
    load_report_generator(folder, device="cpu")
    assert not caplog.records
    load_report_generator(folder, device="cpu", reading=ImageReading(None, [CenterSpatialCropd("image", (40, 48))]))
    assert "the model was trained on pictures by" in caplog.text


@pytest.mark.parametrize("evidence", ["attention", "grounding"])
def test_every_sentence_carries_a_map_of_the_pictures_own_size(writer, pictures, evidence):
    shapes = [(64, 64), (50, 80), (90, 40), (64, 63), (33, 120)]
    for report, shape in zip(writer.generate(pictures, settings=LONG, evidence=evidence).results, shapes, strict=True):
        assert report.sentences
        for sentence in report.sentences:
            assert sentence.evidence.shape == shape
            assert sentence.evidence.dtype == np.float32
            row, column = sentence.peak
            assert sentence.evidence[row, column] == np.nanmax(sentence.evidence)
            assert np.isnan(sentence.score) == (evidence == "attention")


def test_attention_is_the_product_of_the_decoders_and_the_observations(writer):
    image = torch.rand(64, 64, generator=torch.Generator().manual_seed(2))
    report = writer.generate(image, settings=LONG).results[0]
    loaded = writer.loaded
    spec = loaded.preprocess
    features = loaded.model.encode_image(((image - spec.mean) / spec.std)[None, None])
    memory = loaded.model.image_memory({"patch_tokens": features.patch_tokens, "observations": features.observations})
    prompt = loaded.report_format.encode_prompt(loaded.tokenizer).tolist()
    written = loaded.model.generate({"image": ((image - spec.mean) / spec.std)[None, None]}, LONG)[0].tolist()
    _, observations = loaded.model.cross_attention(memory, [*prompt, *written])
    if len(report.sentences) == 1:
        share = observations[len(prompt) :].mean(0) @ features.attention[0]
        expected = (share / share.sum()).unflatten(0, (4, 4))
        found = torch.nn.functional.interpolate(
            torch.from_numpy(report.sentences[0].evidence)[None, None], (4, 4), mode="area"
        )[0, 0]
        assert np.corrcoef(found.flatten(), expected.detach().flatten())[0, 1] > 0.9


def test_what_was_cut_away_has_no_answer(cropped, pictures):
    sentence = cropped.generate(pictures[4], settings=LONG).results[0].sentences[0]
    assert np.isnan(sentence.evidence[:, 0]).all()
    assert np.isfinite(sentence.evidence[:, 60]).all()


def test_a_bad_file_is_listed_and_the_others_go_on(writer, pictures, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    seen = []
    found = writer.generate([pictures[0], bad, pictures[1]], progress=lambda done, total: seen.append((done, total)))
    assert [report.index for report in found.results] == [0, 2]
    assert [(entry.index, "bad.png" in entry.reason) for entry in found.failed] == [(1, True)]
    assert seen[-1] == (3, 3)


def test_indications_change_what_is_written_and_none_is_the_empty_prompt(writer, pictures):
    plain = writer.generate(pictures[:2], evidence=None, settings=LONG).results
    mixed = writer.generate(pictures[:2], indications=[None, "Small nodule."], evidence=None, settings=LONG).results
    assert mixed[0].text == plain[0].text
    assert mixed[1].text != plain[1].text
    assert all(sentence.evidence is None and sentence.peak is None for report in plain for sentence in report.sentences)
    with pytest.raises(ValueError, match="one an image, 2, got 1"):
        writer.generate(pictures[:2], indications=["Cough."])


def test_no_images_give_no_reports_and_unknown_evidence_is_named(writer):
    assert writer.generate([]).results == ()
    with pytest.raises(ValueError, match="evidence must be None or one of"):
        writer.generate([], evidence="saliency")


def test_decoder_without_observations_shows_the_patches_themselves(tmp_path, pictures):
    folder = save_tiny_generator(tmp_path / "patches", image_tokens="patches")
    report = load_report_generator(folder, device="cpu").generate(pictures[0], settings=LONG).results[0]
    assert float(report.sentences[0].evidence.sum()) > 0


def test_writer_takes_what_is_loaded(folder):
    loaded = load_generator(folder)
    assert isinstance(ReportWriter(loaded).loaded, LoadedGenerator)
