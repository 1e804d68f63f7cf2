from __future__ import annotations

import math

import pytest
import torch

from monai_place.metrics.retrieval import (
    image_text_retrieval,
    precision_by_class,
    retrieval_ranks,
    retrieval_result,
)


def embeddings(rows: int, seed: int, *, coarse: bool = False) -> torch.Tensor:
    drawn = torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed))
    if coarse:  # few different values, so that many scores are equal
        drawn = drawn.sign()
    return torch.nn.functional.normalize(drawn, dim=-1)


def score_table(queries, gallery):
    rows = [
        [math.fsum(a * b for a, b in zip(q, g, strict=True)) for g in gallery.double().tolist()]
        for q in queries.double().tolist()
    ]
    return [[round(score, 9) for score in row] for row in rows]


def rank_oracle(queries, gallery, query_keys, gallery_keys):
    """Sort each row, the wrong answers first among equal scores, and look for the first right one."""
    ranks = []
    for key, row in zip(query_keys, score_table(queries, gallery), strict=True):
        right = [other == key for other in gallery_keys]
        order = sorted(range(len(row)), key=lambda index: (-row[index], right[index]))
        ranks.append(next((place for place, index in enumerate(order, 1) if right[index]), len(row) + 1))
    return ranks


def precision_oracle(queries, gallery, query_labels, gallery_labels, k):
    """Sort each row by hand: wrong before unknown before right among equal scores."""
    result = []
    for c in range(query_labels.shape[1]):
        shares = []
        for row, label in zip(score_table(queries, gallery), query_labels[:, c].tolist(), strict=True):
            if label != 1:
                continue
            truth = gallery_labels[:, c].tolist()
            standing = {0.0: 0, 1.0: 2}
            order = sorted(range(len(row)), key=lambda index: (-row[index], standing.get(truth[index], 1)))
            known = [truth[index] for index in order[:k] if truth[index] == truth[index]]
            if known:
                shares.append(sum(known) / len(known))
        result.append(sum(shares) / len(shares) if shares else math.nan)
    return result


@pytest.mark.parametrize("coarse", [False, True], ids=["distinct scores", "many ties"])
@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_ranks_equal_the_sorting_oracle(coarse, chunk_size):
    queries, gallery = embeddings(23, 0, coarse=coarse), embeddings(31, 1, coarse=coarse)
    query_keys = [index % 9 for index in range(23)]
    gallery_keys = [index % 7 for index in range(31)]  # keys 7 and 8 have no right answer
    ranks = retrieval_ranks(queries, gallery, query_keys=query_keys, gallery_keys=gallery_keys, chunk_size=chunk_size)
    assert ranks.tolist() == rank_oracle(queries, gallery, query_keys, gallery_keys)


@pytest.mark.parametrize("coarse", [False, True], ids=["distinct scores", "many ties"])
@pytest.mark.parametrize("chunk_size", [5, 1000])
def test_precision_equals_the_sorting_oracle(coarse, chunk_size):
    generator = torch.Generator().manual_seed(3)
    queries, gallery = embeddings(17, 4, coarse=coarse), embeddings(29, 5, coarse=coarse)
    asked, held = (torch.randint(0, 3, (rows, 4), generator=generator).double() for rows in (17, 29))
    asked[asked == 2], held[held == 2] = math.nan, math.nan
    asked[:, 3] = 0  # a class that nobody asks for
    found = precision_by_class(queries, gallery, asked, held, ks=(1, 5, 10, 40), chunk_size=chunk_size)
    for k in (1, 5, 10, 40):
        expected = precision_oracle(queries, gallery, asked, held, k)
        assert [found[str(c)][k] for c in range(4)] == pytest.approx(expected, nan_ok=True)


def test_recall_and_median_rank_by_hand():
    # Scores of query 0: 1, .9, .5 -> its own answer is first; of query 1: its own answer (0.2) is last.
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    texts = torch.tensor([[1.0, 0.0], [0.9, 0.2], [0.5, 0.8]])
    result = image_text_retrieval(images, texts, ks=(1, 2))["image_to_text"]
    # Query 2 scores .6, .7, .94: first. Query 1 scores 0, .2, .8: its answer .2 is second.
    assert result.recall == {1: pytest.approx(2 / 3), 2: 1.0}
    assert result.median_rank == 1.0
    assert (result.queries, result.gallery) == (3, 3)


def test_directions_are_each_others_mirror():
    images, texts = embeddings(20, 0), embeddings(20, 1)
    there = image_text_retrieval(images, texts)
    back = image_text_retrieval(texts, images)
    assert there["image_to_text"] == back["text_to_image"]
    assert there["text_to_image"] == back["image_to_text"]


def test_order_of_the_studies_does_not_matter():
    images, texts = embeddings(20, 0, coarse=True), embeddings(20, 1, coarse=True)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 3
    before = image_text_retrieval(images, texts, labels=labels)
    after = image_text_retrieval(images[order], texts[order], labels=labels[order])
    for name in before:
        assert before[name].recall == after[name].recall
        assert before[name].precision == pytest.approx(after[name].precision)


def test_collapsed_encoder_is_last_and_not_first():
    same = torch.ones(12, 4) / 2
    result = image_text_retrieval(same, same)["image_to_text"]
    assert result.recall == {1: 0.0, 5: 0.0, 10: 0.0}
    assert result.median_rank == 12.0


def test_collapsed_encoder_has_the_worst_precision_that_its_ties_allow():
    same = torch.ones(10, 4) / 2
    labels = torch.tensor([0] * 6 + [1] * 4)
    found = image_text_retrieval(same, same, labels=labels, ks=(1, 5, 10))["image_to_text"].precision_of
    assert found["0"] == pytest.approx({1: 0.0, 5: 1 / 5, 10: 0.6})
    assert found["1"] == pytest.approx({1: 0.0, 5: 0.0, 10: 0.4})


def test_equal_reports_are_right_answers_only_as_an_option():
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    texts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert image_text_retrieval(images, texts, ks=(1,))["image_to_text"].recall[1] == pytest.approx(1 / 3)
    counted = image_text_retrieval(images, texts, reports=["normal", "normal", "edema"], ks=(1,))
    assert counted["image_to_text"].recall[1] == counted["text_to_image"].recall[1] == 1.0


def test_rows_that_differ_in_their_last_digits_are_ties():
    generator = torch.Generator().manual_seed(0)
    row = torch.nn.functional.normalize(torch.randn(1, 257, generator=generator), dim=-1)
    gallery = row + 1e-8 * torch.randn(30, 257, generator=generator)
    ranks = retrieval_ranks(gallery, gallery, query_keys=range(30), gallery_keys=range(30), chunk_size=7)
    assert ranks.tolist() == [30] * 30
    labels = torch.arange(30) % 2
    assert precision_by_class(gallery, gallery, labels, labels, ks=(15,)) == {"0": {15: 0.0}, "1": {15: 0.0}}


def test_no_study_has_no_number():
    empty = torch.zeros(0, 4)
    for result in image_text_retrieval(empty, empty, labels=torch.zeros(0, 2)).values():
        assert result.queries == 0
        assert math.isnan(result.median_rank)
        assert result.to_dict()["recall_at_1"] is None
        assert result.to_dict()["precision_at_5"] is None


def test_single_study_is_found():
    result = image_text_retrieval(torch.ones(1, 2), torch.ones(1, 2), labels=[0])["text_to_image"]
    assert (result.median_rank, result.recall[1], result.precision) == (1.0, 1.0, {1: 1.0, 5: 1.0, 10: 1.0})


def test_query_without_a_right_answer_ranks_behind_the_gallery():
    ranks = retrieval_ranks(torch.eye(2), torch.eye(2), query_keys=["a", "x"], gallery_keys=["a", "b"])
    assert ranks.tolist() == [1, 3]


def test_macro_precision_is_the_mean_over_classes_that_have_queries():
    result = retrieval_result(
        torch.tensor([1, 2]), gallery=2, ks=(1,), precision_of={"a": {1: 0.5}, "b": {1: math.nan}}
    )
    assert result.precision == {1: 0.5}


def test_dictionary_is_flat_and_holds_json_values():
    labels = torch.tensor([[1.0, 0.0], [0.0, math.nan]])
    values = image_text_retrieval(torch.eye(2), torch.eye(2), labels=labels, classes=["edema", "mass"], ks=(1,))
    assert values["image_to_text"].to_dict() == {
        "queries": 2,
        "gallery": 2,
        "recall_at_1": 1.0,
        "median_rank": 1.0,
        "precision_at_1": 1.0,
        "by_class": {"edema": {"precision_at_1": 1.0}, "mass": {"precision_at_1": None}},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"text_embeddings": torch.ones(3, 2)}, "must share one shape", id="shapes"),
        pytest.param({"image_embeddings": torch.full((2, 2), math.nan)}, "must be finite, got 2 rows", id="NaN"),
        pytest.param({"reports": ["a"]}, "query_keys must have one key a row, 2, got 1", id="reports"),
        pytest.param({"ks": (0,)}, "ks must hold numbers of at least 1", id="k of zero"),
        pytest.param({"ks": ()}, "ks must hold numbers of at least 1", id="no k"),
        pytest.param({"chunk_size": 0}, "chunk_size must be at least 1, got 0", id="chunk"),
        pytest.param({"labels": torch.zeros(3)}, r"labels must be \(2,\) or \(2, C\), got \(3,\)", id="labels"),
    ],
)
def test_ill_argument_is_named(change, message):
    arguments = {"image_embeddings": torch.eye(2), "text_embeddings": torch.eye(2)} | change
    with pytest.raises(ValueError, match=message):
        image_text_retrieval(arguments.pop("image_embeddings"), arguments.pop("text_embeddings"), **arguments)
