"""Counts of right answers among the first k against sorting by hand, with ties, unknown labels and groups left out."""

from __future__ import annotations

import math

import pytest
import torch

from monai_place.metrics.first_answers import key_numbers, label_first_answers


def oracle(scores, labels, k, own):
    """Sort the answers of one query: best first, of equal ones wrong before unknown before right."""
    standing = {0.0: 0, 1.0: 2}
    answers = [index for index in range(len(scores)) if not own[index]]
    order = sorted(answers, key=lambda index: (-scores[index], standing.get(labels[index], 1)))[:k]
    return sum(labels[index] == 1 for index in order), sum(labels[index] == 0 for index in order)


@pytest.mark.parametrize("grouped", [False, True], ids=["all answers", "own group left out"])
@pytest.mark.parametrize("chunk_size", [1, 4, 100])
def test_counts_equal_sorting_by_hand(chunk_size, grouped):
    generator = torch.Generator().manual_seed(0)
    queries, gallery = (torch.randint(-1, 2, (rows, 3), generator=generator).double() for rows in (12, 31))
    held = torch.randint(0, 3, (31, 2), generator=generator).double()
    held[held == 2] = math.nan
    groups = ([index % 5 for index in range(12)], [index % 4 for index in range(31)])  # group 4 owns nothing
    ks = (1, 4, 25, 60)
    seen = []
    options = {"groups": groups} if grouped else {}
    for found in label_first_answers(queries, gallery, held, ks=ks, chunk_size=chunk_size, **options):
        seen += range(12)[found.rows]
        for query in range(12)[found.rows]:
            own = [grouped and groups[0][query] == group for group in groups[1]]
            scores = (gallery @ queries[query]).tolist()
            for number, k in enumerate(ks):
                for c in range(2):
                    place = (number, query - found.rows.start, c)
                    counts = int(found.right[place]), int(found.wrong[place])
                    assert counts == oracle(scores, held[:, c].tolist(), k, own), (query, k, c)
    assert seen == list(range(12))


def test_a_query_whose_group_owns_the_gallery_has_no_answer():
    held = torch.ones(2, 1)
    found = next(label_first_answers(torch.eye(2), torch.eye(2), held, ks=(1,), chunk_size=2, groups=("aa", "aa")))
    assert found.right.tolist() == [[[0.0], [0.0]]]
    assert found.share.isnan().all()


def test_an_empty_gallery_has_no_answer():
    found = next(label_first_answers(torch.eye(2), torch.zeros(0, 2), torch.zeros(0, 1), ks=(3,), chunk_size=2))
    assert found.share.isnan().all()


def test_equal_keys_of_both_sides_share_a_number():
    first, second = key_numbers(["normal", ("a", 1)], ["edema", "normal", ("a", 1)])
    assert (first.tolist(), second.tolist()) == ([0, 1], [2, 0, 1])
