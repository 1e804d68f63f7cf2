from __future__ import annotations

import pytest
import torch

from monai_place.inference.text import embed_reports, embed_sentence_lists, embed_sentences
from tests.support.models import tiny_tokenizer

REPORTS = [
    "FINDINGS: There is cardiomegaly. No pleural effusion. IMPRESSION: A nodule.",
    " ",
    "Small left pleural effusion.",
    "The heart is not enlarged. No nodule is seen. The lungs are clear.",
]


@pytest.fixture(scope="module")
def model(loaded):
    return loaded.model


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def test_headings_are_taken_out_and_sentences_are_found(model, tokenizer):
    found = embed_reports(model, tokenizer, REPORTS)
    assert found.texts[0] == ("There is cardiomegaly.", "No pleural effusion.", "A nodule.")
    assert [len(sentences) for sentences in found.sentences] == [3, 0, 1, 3]


def test_every_embedding_has_unit_norm_and_a_report_without_a_sentence_has_none(model, tokenizer):
    found = embed_reports(model, tokenizer, REPORTS)
    norms = found.reports.norm(dim=1)
    torch.testing.assert_close(norms[[0, 2, 3]], torch.ones(3))
    assert found.reports[1].isnan().all()
    torch.testing.assert_close(torch.cat(found.sentences).norm(dim=1), torch.ones(7))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_batch_makes_no_difference(model, tokenizer, batch_size):
    together, apart = (embed_reports(model, tokenizer, REPORTS, batch_size=size) for size in (32, batch_size))
    torch.testing.assert_close(together.reports, apart.reports, equal_nan=True, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cat(together.sentences), torch.cat(apart.sentences), rtol=0, atol=1e-5)
    assert together.texts == apart.texts


def test_a_sentence_alone_is_a_report_of_its_own(model, tokenizer):
    sentences = ["No nodule is seen.", "There is cardiomegaly."]
    reports, embedded = embed_sentences(model, tokenizer, sentences)
    as_reports = embed_reports(model, tokenizer, sentences)
    torch.testing.assert_close(reports, as_reports.reports)
    torch.testing.assert_close(embedded, torch.cat(as_reports.sentences))


def test_a_sentence_is_read_in_the_context_of_its_report(model, tokenizer):
    together = embed_sentence_lists(model, tokenizer, [["No nodule is seen.", "There is cardiomegaly."]])
    _, alone = embed_sentences(model, tokenizer, ["No nodule is seen."])
    assert not torch.allclose(together.sentences[0][0], alone[0], atol=1e-3)


def test_what_truncation_cuts_away_is_not_among_the_sentences(model, tokenizer):
    report = ["The heart is not enlarged."] * 30  # the model reads 48 tokens
    found = embed_sentence_lists(model, tokenizer, [report])
    assert 0 < len(found.texts[0]) < 30
    assert len(found.sentences[0]) == len(found.texts[0])


def test_nothing_to_read_gives_empty_tables_of_the_right_width(model, tokenizer):
    width = model.config.joint_dim
    assert embed_reports(model, tokenizer, []).reports.shape == (0, width)
    assert [part.shape for part in embed_sentences(model, tokenizer, [])] == [(0, width), (0, width)]


def test_no_gradient_is_kept(model, tokenizer):
    assert not embed_reports(model, tokenizer, REPORTS).reports.requires_grad


@pytest.mark.parametrize("embed", [embed_reports, embed_sentences])
def test_one_text_in_place_of_a_list_is_refused(model, tokenizer, embed):
    with pytest.raises(TypeError, match="must be a list of texts, got one text"):
        embed(model, tokenizer, "No nodule.")


def test_blank_sentences_are_refused_by_their_places(model, tokenizer):
    with pytest.raises(ValueError, match=r"sentences \[1, 2\] are blank"):
        embed_sentences(model, tokenizer, ["No nodule.", "", " \n"])
