"""The index: exact search against a slow one, and files that are whole."""

from __future__ import annotations

import pytest
import torch

from monai_place.inference import EmbeddingIndex
from monai_place.weights import WeightsError


def random_index(number=200, width=8, seed=0):
    rows = torch.randn(number, width, generator=torch.Generator().manual_seed(seed))
    return EmbeddingIndex(rows, [f"study {i}" for i in range(number)])


@pytest.mark.parametrize("chunk", [1, 7, 200, 1000])
@pytest.mark.parametrize("k", [1, 5, 200, 500])
def test_search_equals_sorting_all_scores(chunk, k):
    index = random_index()
    queries = torch.randn(9, 8, generator=torch.Generator().manual_seed(1))
    unit = torch.nn.functional.normalize(queries, dim=1)
    found = index.search(queries, k=k, chunk=chunk)
    for row, ids, scores in zip(unit, found.ids, found.scores, strict=True):
        cosines = [(float(row @ entry), name) for entry, name in zip(index.embeddings, index.ids, strict=True)]
        expected = sorted(cosines, key=lambda pair: -pair[0])[:k]
        assert list(ids) == [name for _, name in expected]
        assert scores.tolist() == pytest.approx([score for score, _ in expected], abs=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_of_equal_entries_the_earlier_comes_first_whatever_the_chunk(chunk):
    index = EmbeddingIndex(torch.ones(6, 3), list("abcdef"))
    assert index.search(torch.ones(1, 3), k=4, chunk=chunk).ids == (tuple("abcd"),)


def test_a_saved_index_is_the_same_and_is_appended_to(tmp_path):
    index = random_index()
    index.save(tmp_path / "index")
    again = EmbeddingIndex.load(tmp_path / "index")
    again.verify()
    assert again.ids == index.ids
    assert torch.equal(again.embeddings, index.embeddings)
    longer = again.append(torch.ones(1, 8), ["new"])
    assert (len(longer), longer.ids[-1], len(again)) == (201, "new", 200)
    longer.save(tmp_path / "index")
    assert len(EmbeddingIndex.load(tmp_path / "index")) == 201
    assert len(list((tmp_path / "index").glob("*.safetensors"))) == 1


def test_saving_the_same_index_again_keeps_its_file(tmp_path):
    random_index().save(tmp_path)
    random_index().save(tmp_path)
    assert len(EmbeddingIndex.load(tmp_path)) == 200


def test_an_index_in_several_segments_is_searched_as_one(tmp_path):
    index, queries = random_index(), torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    for begin, end in ((0, 90), (90, 91), (91, 200)):
        part = EmbeddingIndex(index.embeddings[begin:end], index.ids[begin:end], kind="reports", model="f" * 64)
        part.append_to(tmp_path)
    mapped = EmbeddingIndex.load(tmp_path)
    assert (len(mapped), mapped.kind, mapped.model) == (200, "reports", "f" * 64)
    assert mapped.ids == index.ids
    assert torch.equal(mapped.embeddings, index.embeddings)
    found, expected = mapped.search(queries, k=150, chunk=64), index.search(queries, k=150)
    assert found.ids == expected.ids
    assert torch.equal(found.scores, expected.scores)
    places = mapped.search_places(queries, k=150).places
    assert tuple(tuple(index.ids[place] for place in row) for row in places.tolist()) == expected.ids


def test_a_search_with_another_model_is_refused_with_both_fingerprints():
    index = EmbeddingIndex(torch.ones(1, 3), ["a"], model="a" * 64)
    index.require_model("a" * 64)
    random_index().require_model("b" * 64)  # who made it is not known
    with pytest.raises(ValueError, match="made by another model: fingerprint aaaaaaaaaaaa, this model's is bbbb"):
        index.require_model("b" * 64)


def test_a_save_that_stops_before_the_head_leaves_the_old_index(tmp_path, monkeypatch):
    random_index().save(tmp_path)

    def stop(*_, **__):
        raise OSError("the disk is full")

    monkeypatch.setattr("monai_place.inference.index_folder.write_json_atomic", stop)
    with pytest.raises(OSError, match="full"):
        random_index(10, seed=1).save(tmp_path)
    assert len(EmbeddingIndex.load(tmp_path)) == 200


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of \('images', 'reports'\), got 'cats'"):
        EmbeddingIndex(torch.ones(1, 3), ["a"], kind="cats")


@pytest.mark.parametrize(
    ("rows", "ids", "message"),
    [
        (torch.ones(2, 3), ["a"], "for 1 ids"),
        (torch.ones(2, 3), ["a", "a"], "stand twice"),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), ["a", "b"], "1 embedding rows are zero or not finite, such as row 1"),
        (torch.tensor([[1.0, float("nan")]]), ["a"], "such as row 0"),
        (torch.ones(3), ["a", "b", "c"], "must be"),
    ],
)
def test_entries_that_cannot_be_searched_are_refused(rows, ids, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingIndex(rows, ids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queries": torch.ones(1, 4)}, r"queries \(1, 4\) must be \(Q, 8\)"),
        ({"queries": torch.zeros(1, 8)}, "query rows are zero"),
        ({"queries": torch.ones(1, 8), "k": 0}, "k is 0"),
        ({"queries": torch.ones(1, 8), "chunk": 0}, "chunk 0"),
    ],
)
def test_queries_that_cannot_be_answered_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        random_index().search(**arguments)


def test_an_id_that_is_there_cannot_be_appended():
    with pytest.raises(ValueError, match="stand twice"):
        random_index().append(torch.ones(1, 8), ["study 3"])
    with pytest.raises(ValueError, match=r"must be \(M, 8\)"):
        random_index().append(torch.ones(1, 7), ["new"])


def test_a_folder_without_index_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no index"):
        EmbeddingIndex.load(tmp_path)


def test_damaged_embeddings_are_refused(tmp_path):
    random_index().save(tmp_path)
    file = next(tmp_path.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WeightsError, match="safetensors"):
        EmbeddingIndex.load(tmp_path)
