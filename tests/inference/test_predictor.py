"""The predictor: files in, answers out; a dot lands on its pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import monai_place
from monai_place.data.phantom import write_phantom
from monai_place.data.radiograph import RadiographError, read_radiograph
from monai_place.inference import EmbeddingIndex, PLACEPredictor, load, load_place
from monai_place.inference.images import prepare_image
from monai_place.inference.predictor import map_on_picture
from monai_place.losses import observation_scores
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms.geometry import fit_geometry, fit_image
from tests.support.models import CLASSES, save_tiny_place


def test_the_package_hands_out_load_and_the_predictor():
    assert monai_place.load is load
    assert monai_place.PLACEPredictor is PLACEPredictor


def test_embeddings_do_not_depend_on_the_batch_and_keep_the_order(predictor, pictures):
    together = predictor.embed_image(pictures)
    predictor.batch_size = 2
    again = predictor.embed_image(pictures)
    assert together.sources == tuple(file.name for file in pictures)
    assert torch.allclose(together.embeddings, again.embeddings, atol=1e-6)
    assert torch.allclose(together.embeddings.norm(dim=1), torch.ones(5), atol=1e-5)
    single = predictor.embed_image(pictures[3])
    assert torch.allclose(single.embeddings, together.embeddings[3:4], atol=1e-6)


def test_a_study_in_every_format_has_nearly_one_answer(predictor, tmp_path):
    suffixes = {"png": "png", "dicom": "dcm", "nifti": "nii.gz"}
    for image_format in suffixes:
        write_phantom(tmp_path / image_format, studies=4, size=96, seed=1, image_format=image_format)
    files = [
        sorted((tmp_path / image_format / "images").glob(f"*.{suffix}")) for image_format, suffix in suffixes.items()
    ]
    assert [len(part) for part in files] == [4, 4, 4]
    result = predictor.classify([file for part in files for file in part])
    assert not result.failed
    scores = torch.tensor([list(entry.scores.values()) for entry in result.results]).unflatten(0, (3, 4))
    # 12 bit and 8 bit grey values, windows and inverted pictures differ by a few grey levels and no more.
    assert torch.allclose(scores[0], scores[1], atol=0.05)
    assert torch.allclose(scores[0], scores[2], atol=0.05)


def test_a_file_and_its_pixels_have_one_embedding(predictor, pictures):
    pixels, _ = read_radiograph(pictures[1])
    found = predictor.embed_image([pictures[1], pixels, torch.from_numpy(pixels)]).embeddings
    assert torch.allclose(found[1:], found[:1], atol=1e-6)


def test_a_list_of_bad_files_gives_no_embeddings_and_all_the_reasons(predictor, tmp_path):
    result = predictor.embed_image([tmp_path / "a.png", tmp_path / "b.png"])
    assert result.embeddings.shape == (0, 24)
    assert [failure.source for failure in result.failed] == ["a.png", "b.png"]


def test_a_bad_file_is_no_row_of_a_classification(predictor, pictures, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    result = predictor.classify([pictures[0], tmp_path / "bad.png", pictures[1]])
    assert [entry.index for entry in result.results] == [0, 2]
    assert [failure.index for failure in result.failed] == [1]
    assert result.findings == CLASSES
    expected = predictor.classifier()(
        torch.stack([prepare_image(file, predictor.loaded.preprocess).tensor for file in pictures[:2]])
    )
    found = torch.tensor([list(entry.probabilities.values()) for entry in result.results])
    assert torch.allclose(found, expected.detach(), atol=1e-6)


def test_findings_are_asked_for_by_name_and_modes_differ(predictor, pictures):
    by_mode = {mode: predictor.classify(pictures[0], ["emphysema"], mode=mode) for mode in ("global", "local", "mean")}
    scores = {mode: result.results[0].scores["emphysema"] for mode, result in by_mode.items()}
    assert scores["mean"] == pytest.approx((scores["global"] + scores["local"]) / 2, abs=1e-5)
    assert scores["global"] != pytest.approx(scores["local"])


def test_the_classifier_shares_the_model_s_weights_and_is_made_once(predictor):
    made = predictor.classifier()
    assert made.image_encoder is predictor.loaded.model.image_encoder
    assert predictor.classifier() is made
    assert predictor.classifier(["edema"]) is not made


def test_a_model_without_classes_wants_to_be_told_the_findings(predictor, pictures):
    from dataclasses import replace

    bare = PLACEPredictor(replace(predictor.loaded, classes=()))
    with pytest.raises(ValueError, match="name the findings"):
        bare.classify(pictures[0])
    assert bare.classify(pictures[0], ["nodule"]).findings == ("nodule",)


def test_an_unknown_mode_is_refused_with_the_choices(predictor, pictures):
    with pytest.raises(ValueError, match=r"'best', expected one of \('global', 'local', 'mean'\)"):
        predictor.classify(pictures[0], mode="best")


def test_text_is_split_into_sentences_and_an_empty_report_is_nan(predictor):
    found = predictor.embed_text(["FINDINGS: No nodule. The heart is not enlarged.", " ", "Nodule."])
    assert found.texts == (("No nodule.", "The heart is not enlarged."), (), ("Nodule.",))
    assert [len(part) for part in found.sentences] == [2, 0, 1]
    assert found.reports.isnan().all(dim=1).tolist() == [False, True, False]
    assert torch.allclose(found.sentences[0].norm(dim=1), torch.ones(2), atol=1e-5)


def test_retrieval_finds_the_image_itself_and_the_report_itself(predictor, pictures):
    images = predictor.embed_image(pictures)
    index = EmbeddingIndex(images.embeddings, images.sources)
    assert predictor.retrieve(index, image=pictures[2], k=2).ids[0][0] == "2.png"
    texts = ["No nodule.", "There is cardiomegaly.", "The lungs are clear."]
    reports = EmbeddingIndex(predictor.embed_text(texts).reports, texts)
    assert predictor.retrieve(reports, text="There is cardiomegaly.", k=1).ids == (("There is cardiomegaly.",),)


def test_a_query_is_an_image_or_a_text_and_not_blank(predictor, pictures):
    index = EmbeddingIndex(torch.ones(1, 24), ["a"])
    for arguments in ({}, {"image": pictures[0], "text": "Nodule."}):
        with pytest.raises(ValueError, match="an image or a text"):
            predictor.retrieve(index, **arguments)
    with pytest.raises(ValueError, match="no sentence"):
        predictor.retrieve(index, text=" ")


@pytest.mark.parametrize("rule", ["pad", "crop", "stretch"])
def test_evidence_has_the_image_s_own_size_and_is_nan_only_where_it_was_cut(tmp_path, pictures, rule):
    save_tiny_place(tmp_path, resize_rule=rule)
    predictor = load(tmp_path, device="cpu")
    for file in pictures:
        height, width = read_radiograph(file)[0].shape
        evidence = predictor.ground(file, "There is cardiomegaly.").evidence
        assert evidence.shape == (height, width)
        assert evidence.dtype == np.float32
        seen = np.ones((height, width), bool)
        if rule == "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            seen[:] = False
            seen[top : top + side, left : left + side] = True
        assert np.array_equal(np.isfinite(evidence), seen)


def test_the_score_is_that_of_the_loss_and_the_evidence_sums_up_to_it(predictor, pictures):
    sentences = ["There is cardiomegaly.", "No nodule."]
    grounded = predictor.ground(pictures[0], sentences)  # 64 x 64: one pixel of the square for one of the picture
    prepared = prepare_image(pictures[0], predictor.loaded.preprocess)
    with torch.no_grad():
        observations = predictor.loaded.model.encode_image(prepared.tensor[None]).observations
    for entry, text in zip(grounded, sentences, strict=True):
        embedded = predictor.embed_text(text).sentences[0]
        assert entry.score == pytest.approx(observation_scores(embedded, observations).item(), abs=1e-5)
        assert entry.evidence.sum() / 16**2 == pytest.approx(entry.score, rel=0.05, abs=1e-3)
    assert predictor.ground(pictures[0], sentences[0]).score == pytest.approx(grounded[0].score, abs=1e-6)


def test_grounding_a_bad_file_or_a_blank_sentence_is_an_error(predictor, pictures, tmp_path):
    with pytest.raises(RadiographError, match=r"missing\.png"):
        predictor.ground(tmp_path / "missing.png", "Nodule.")
    with pytest.raises(ValueError, match="blank"):
        predictor.ground(pictures[0], " ")


def dot_places(shape):
    height, width = shape
    margin = 4
    rows, columns = (margin, height - 1 - margin), (margin, width - 1 - margin)
    return [(row, column) for row in rows for column in columns] + [(height // 2, width // 3)]


@pytest.mark.parametrize("shape", [(200, 120), (90, 150), (64, 64), (300, 301)])
@pytest.mark.parametrize("rule", ["pad", "stretch", "crop"])
def test_a_bright_dot_lands_on_its_pixel(shape, rule):
    """The map marks the patch that the dot falls into; patches of 4 pixels of the square."""
    size, patch = 128, 4
    geometry = fit_geometry(*shape, size, rule)
    for row, column in dot_places(shape):
        image = torch.zeros(1, *shape)
        image[0, row - 1 : row + 2, column - 1 : column + 2] = 1.0
        square = fit_image(image, geometry)[0]
        patches = square.unfold(0, patch, patch).unfold(1, patch, patch).sum(dim=(2, 3))  # a stub of attention
        evidence = map_on_picture(patches[None], geometry)[0]
        if rule == "crop" and patches.sum() == 0:
            assert evidence[row, column].isnan()
            continue
        # At the border the largest value is a plateau of half a patch: its center counts.
        found = (evidence == evidence.nan_to_num(-1).max()).nonzero().double().mean(dim=0).tolist()
        reach = [patch / scale / 2 + 1.5 for scale in geometry.scale]  # half a patch, and the dot itself
        assert abs(found[0] - row) <= reach[0]
        assert abs(found[1] - column) <= reach[1]


@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (64, 64)])
def test_a_map_of_single_pixels_comes_back_exactly(shape):
    geometry = fit_geometry(*shape, 64, "pad")
    picture = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(map_on_picture(fit_image(picture, geometry), geometry), picture, atol=1e-6)


def test_a_dot_in_a_file_is_found_by_a_model_whose_attention_marks_it(tmp_path, model_folder):
    """The whole way: file, geometry, patches, and back; every part but the attention is the product's."""
    loaded = load_place(model_folder)

    class Marking(torch.nn.Module):
        def forward(self, tokens, values):
            one = torch.nn.functional.one_hot(torch.tensor(0), 24).float()
            bright = values.squeeze(-1) - values.min()  # (B, N)
            attention = bright / bright.sum(dim=1, keepdim=True)
            observations = one.expand(len(values), 1, -1)
            return observations, attention[:, None], one.expand(*bright.shape, -1)

    def encode(image, levels):
        patches = torch.nn.functional.avg_pool2d(image, 16).flatten(2).transpose(1, 2)  # (B, 16, 1)
        return torch.cat([torch.zeros(len(image), 1, 48), patches.expand(-1, -1, 48)], dim=1), [patches for _ in levels]

    loaded.model.image_encoder.forward_levels = encode
    loaded.model.extractor = Marking()
    pixels = np.zeros((100, 180), np.uint8)
    pixels[80:84, 20:24] = 255
    Image.fromarray(pixels).save(tmp_path / "dot.png")
    grounded = PLACEPredictor(loaded).ground(tmp_path / "dot.png", "Nodule.")
    sign = 1 if grounded.score > 0 else -1  # the sentence is random: it may speak against the dot
    evidence = sign * grounded.evidence
    row, column = np.unravel_index(evidence.argmax(), evidence.shape)
    half_a_patch = 16 * 180 / 64 / 2
    assert abs(row - 81.5) <= half_a_patch
    assert abs(column - 21.5) <= half_a_patch


def test_the_preprocessing_of_the_weights_is_used(tmp_path, pictures):
    save_tiny_place(tmp_path / "pad")
    save_tiny_place(tmp_path / "crop", resize_rule="crop")
    pad, crop = (load(tmp_path / rule, device="cpu") for rule in ("pad", "crop"))
    assert crop.loaded.preprocess == PreprocessSpec(image_size=64, resize_rule="crop")
    found = [predictor.embed_image(pictures[1]).embeddings for predictor in (pad, crop)]
    assert not torch.allclose(*found)
