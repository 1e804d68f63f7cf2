"""Retrieval by class on draws: each number against sorting by hand, what is left out, and what is counted."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from monai_place.data.class_draws import draw_per_class, single_classes
from monai_place.inference.class_retrieval import class_prompts, drawn_classes, retrieval_5x200
from monai_place.metrics.bootstrap import bootstrap_mean

CLASSES = ["edema", "No Finding", "nodule", "mass"]
TASKS = ["edema", "nodule", "mass"]
KS = (1, 3)


def unit(rows, width=4, seed=0):
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


@pytest.fixture(scope="module")
def data():
    """Return 60 studies of 30 patients; the last ten have an unknown label, the ten before them two positive ones."""
    kinds = [number % 3 for number in range(60)]
    labels = torch.zeros(60, 4)
    for row, kind in enumerate(kinds):
        labels[row, CLASSES.index(TASKS[kind])] = 1
    labels[40:50, [0, 2]] = 1
    labels[50:, 3] = math.nan
    texts = unit(60, seed=1)
    texts[5] = math.nan
    return {
        "image_embeddings": unit(60),
        "text_embeddings": texts,
        "labels": labels,
        "ids": [f"s{number}" for number in range(60)],
        "classes": CLASSES,
        "reports": [f"report {number // 4}" for number in range(60)],
        "patients": [f"p{number // 2}" for number in range(60)],
        "prompts": {name: unit(2, seed=7 + index) for index, name in enumerate(TASKS)},
    }


@pytest.fixture(scope="module")
def found(data):
    return retrieval_5x200(**data, per_class=8, seeds=(0, 1), ks=KS, bootstrap=40)


def drawn_by_hand(data, seed):
    members = single_classes(data["labels"].tolist(), CLASSES)
    members[5] = None
    rows = draw_per_class(members, TASKS, 8, seed=seed)
    return rows, [members[row] for row in rows]


def by_hand(scores, is_right, is_answer, k):
    """Return precision and hit of one query; no two scores are equal here."""
    order = [place for place in np.argsort(-scores) if is_answer[place]][:k]
    right = [is_right[place] for place in order]
    return sum(right) / len(right), float(any(right))


def slow(data, seed, side, k):
    rows, kinds = drawn_by_hand(data, seed)
    images, texts = data["image_embeddings"][rows].double(), data["text_embeddings"][rows].double()
    queries = texts if side == "text_to_image" else images
    gallery, held = {"image_to_text": texts, "text_to_image": images, "image_to_image": images}.get(side), kinds
    if side == "image_to_prompt":
        gallery = torch.cat([data["prompts"][name] for name in TASKS]).double()
        held = [name for name in TASKS for _ in range(2)]
    values = []
    for number, kind in enumerate(kinds):
        patient = data["patients"][rows[number]]
        answers = [side != "image_to_image" or data["patients"][row] != patient for row in rows]
        answers = answers if side != "image_to_prompt" else [True] * len(held)
        scores = (gallery @ queries[number]).numpy()
        values.append(by_hand(scores, [name == kind for name in held], answers, k))
    return np.asarray(values)


@pytest.mark.parametrize("side", ["image_to_text", "text_to_image", "image_to_image", "image_to_prompt"])
@pytest.mark.parametrize("k", KS)
def test_precision_and_hits_equal_sorting_by_hand_and_come_with_interval_and_spread(data, found, side, k):
    each = [slow(data, seed, side, k) for seed in (0, 1)]
    owners = [data["ids"][row] for seed in (0, 1) for row in drawn_by_hand(data, seed)[0]]
    for column, name in enumerate(("precision", "hit")):
        value = found["sides"][side][f"{name}_at_{k}"]
        means = [float(part[:, column].mean()) for part in each]
        assert value["samplings"] == pytest.approx(means)
        assert value["value"] == pytest.approx(np.mean(means))
        assert value["std"] == pytest.approx(np.std(means, ddof=1))
        expected = bootstrap_mean(np.concatenate(each)[:, column], groups=owners, resamples=40)
        assert (value["low"], value["high"]) == pytest.approx((expected.low, expected.high))


def test_classes_are_given_one_by_one_and_their_mean_is_the_value(found):
    side = found["sides"]["image_to_text"]
    assert list(side["by_class"]) == TASKS
    values = [side["by_class"][name]["precision_at_3"] for name in TASKS]
    assert np.mean(values) == pytest.approx(side["precision_at_3"]["value"])


def test_recall_takes_an_identical_report_for_the_own_one_and_counts_them(data, found):
    rows, _ = drawn_by_hand(data, 0)
    texts = [data["reports"][row] for row in rows]
    scores = (data["image_embeddings"][rows] @ data["text_embeddings"][rows].T).numpy()
    hits = [
        any(texts[place] == text for place in np.argsort(-row)[:3]) for row, text in zip(scores, texts, strict=True)
    ]
    assert found["sides"]["image_to_text"]["recall_at_3"]["samplings"][0] == pytest.approx(np.mean(hits))
    assert found["identical_reports"][0] == sum(texts.count(text) > 1 for text in texts)
    assert 0 < found["of_another_class"][0] <= found["identical_reports"][0]
    assert "recall_at_1" not in found["sides"]["image_to_image"]


def test_the_answer_says_what_was_drawn_from_what(found):
    assert found["tasks"] == TASKS
    assert found["samplings"] == [0, 1]
    assert found["candidates"] == {"edema": 14, "nodule": 13, "mass": 12}  # of 40, and s5 has no report
    assert found["without_report"] == 1
    assert found["chance"] == pytest.approx(1 / 3)
    assert {(side["queries"], side["gallery"]) for side in found["sides"].values()} == {(24, 24), (24, 6)}
    json.dumps(found, allow_nan=False)


def test_embeddings_that_hold_the_class_are_perfect_and_collapsed_ones_are_last():
    kinds = torch.arange(30) % 3
    labels = torch.nn.functional.one_hot(kinds, 3).float()
    options = {"classes": TASKS, "per_class": 10, "seeds": (0,), "bootstrap": 10}
    ids = [str(number) for number in range(30)]
    good = retrieval_5x200(labels, labels, labels, ids, **options)["sides"]
    assert {side[f"precision_at_{k}"]["value"] for side in good.values() for k in (1, 5)} == {1.0}
    same = torch.ones(30, 3) / math.sqrt(3)
    bad = retrieval_5x200(same, same, labels, ids, **options)["sides"]
    assert {side[f"{name}_at_10"]["value"] for side in bad.values() for name in ("precision", "hit")} == {0.0}
    assert good["image_to_text"]["precision_at_1"]["std"] is None  # one draw has no spread


def test_without_reports_images_and_prompts_are_left(data):
    bare = {name: value for name, value in data.items() if name != "reports"} | {"text_embeddings": None}
    found = retrieval_5x200(**bare, per_class=4, seeds=(0,), bootstrap=5)
    assert list(found["sides"]) == ["image_to_image", "image_to_prompt"]
    assert "identical_reports" not in found
    assert found["candidates"]["mass"] == 13


def test_a_class_with_too_few_studies_is_named(data):
    with pytest.raises(ValueError, match="15 rows of each class are wanted, there are 14 with 'edema' alone, 13 with"):
        retrieval_5x200(**data, per_class=15)


@pytest.mark.parametrize("name", ["image_embeddings", "text_embeddings", "labels", "reports", "patients"])
def test_an_argument_of_another_length_is_named(data, name):
    with pytest.raises(ValueError, match=f"{name} must have one row a study, 60, got 59"):
        retrieval_5x200(**data | {name: data[name][:59]})


def test_the_five_tasks_of_the_competition_are_drawn_where_they_are_there():
    names = ["Fracture", "Edema", "Cardiomegaly", "Consolidation", "Pleural Effusion", "Atelectasis"]
    assert drawn_classes(names) == ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]
    assert drawn_classes(names[:3]) == names[:3]


def test_prompts_of_a_class_are_those_that_say_it_is_there(loaded):
    prompts = class_prompts(loaded.model, loaded.tokenizer, ["edema", "nodule"])
    assert list(prompts) == ["edema", "nodule"]
    assert all(torch.allclose(rows.norm(dim=1), torch.ones(len(rows)), atol=1e-5) for rows in prompts.values())
