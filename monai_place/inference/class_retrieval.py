"""Retrieval by class on draws of so many studies each: 5x200, and smaller ones. Not a medical device.

For each of some classes, studies in which it alone is positive are drawn (`monai_place.data.class_draws`), five times
with committed seeds. Searched are the reports by image, the images by report, the images by image (images of the same
patient are no answer), and the prompts of the classes by image.

| number | is the share of queries, or mean over queries, of |
|---|---|
| `precision_at_k` | the share of the query's class among the first k answers |
| `hit_at_k` | queries with an answer of their class among the first k |
| `recall_at_k` | queries with their own report (or image), or one with the same words, among the first k |

Ties count against the query, see `monai_place.metrics.first_answers`. A number is the mean over the draws; its interval
is that of queries drawn anew (a study that several draws hold is drawn as one), with the galleries as they are, and
`std` is the spread over the draws.

Reference:
    Huang et al.: GLoRIA, ICCV 2021. Cheng et al.: PRIOR, ICCV 2023 (five samplings).

Shapes: `B` studies, `D` joint features, `C` classes, `T` classes that are drawn, `n` queries of all draws.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from monai_place.data.class_draws import SAMPLING_SEEDS, draw_per_class, single_classes
from monai_place.inference.prompts import prompts_for
from monai_place.inference.text import embed_sentences
from monai_place.metrics.bootstrap import bootstrap_intervals, weighted_mean
from monai_place.metrics.first_answers import label_first_answers
from monai_place.metrics.retrieval import KS, retrieval_ranks

__all__ = ["class_prompts", "drawn_classes", "retrieval_5x200"]

COMPETITION = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural effusion")
CHUNK = 1024

Floats = npt.NDArray[np.float64]


@dataclass
class _Side:
    """What one direction gave: a row a query, of all draws one after the other."""

    gallery: int
    queries: int
    names: list[str] = field(default_factory=list)
    rows: list[torch.Tensor] = field(default_factory=list)


def drawn_classes(classes: Sequence[str]) -> list[str]:
    """Return the classes to draw: CheXpert's five competition tasks where all are there, else all.

    Example:
        >>> drawn_classes(["No Finding", "nodule", "edema"])
        ['nodule', 'edema']
    """
    names = {name.casefold(): name for name in classes}
    if set(COMPETITION) <= set(names):
        return [names[name] for name in COMPETITION]
    return [name for name in classes if name.casefold() != "no finding"]


def class_prompts(model: Any, tokenizer: Any, tasks: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return the embedded positive prompts (P, D) of each class.

    Args:
        model: a `PLACEModel` in evaluation mode.
        tokenizer: that of the model.
        tasks: names of the classes.
    """
    found = prompts_for(tasks).findings
    return {
        name: embed_sentences(model, tokenizer, entry.positive)[0] for name, entry in zip(tasks, found, strict=True)
    }


def retrieval_5x200(
    image_embeddings: torch.Tensor,
    text_embeddings: torch.Tensor | None,
    labels: torch.Tensor | Sequence[Sequence[float | None]],
    ids: Sequence[str],
    *,
    classes: Sequence[str],
    tasks: Sequence[str] | None = None,
    per_class: int = 200,
    seeds: Sequence[int] = SAMPLING_SEEDS,
    reports: Sequence[str] | None = None,
    patients: Sequence[Hashable] | None = None,
    prompts: Mapping[str, torch.Tensor] | None = None,
    ks: Sequence[int] = KS,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure retrieval by class; row i of all arguments is one study, in the order of the data's table.

    Args:
        image_embeddings: (B, D) unit norm.
        text_embeddings: (B, D) unit norm, NaN for a study without a report, which is then not drawn; None without
            reports.
        labels: (B, C) of 1, 0 and None or NaN.
        ids: (B,) of the studies.
        classes: C names.
        tasks: the classes to draw; None takes `drawn_classes`.
        per_class: studies of each.
        seeds: of the draws.
        reports: (B,) the texts; equal ones are one right answer for `recall_at_k`, and are counted.
        patients: (B,); images of the query's patient are no answers to it. None takes `ids`.
        prompts: (P, D) embedded prompts of each task.
        ks: how many first answers to look at.
        bootstrap: resamples of the intervals.
        seed: of the bootstrap.

    Returns:
        Plain JSON values: `tasks`, `per_class`, `samplings`, `candidates` by task, `without_report`, `chance` of
        precision, `identical_reports` (per draw: studies whose report another drawn study has word for word) and how
        many of them are `of_another_class`, and `sides` with the numbers of the table above, each with its interval,
        its value of each draw and their `std`, and `by_class`.

    Raises:
        ValueError: lengths do not fit, or a class has fewer than `per_class` candidates.
    """
    _check(ids, image_embeddings, text_embeddings, labels, reports, patients)
    chosen = drawn_classes(classes) if tasks is None else list(tasks)
    rows = torch.as_tensor(labels).tolist() if isinstance(labels, torch.Tensor) else labels
    members = [name if name in chosen else None for name in single_classes(rows, classes)]
    missing = 0
    if text_embeddings is not None:
        blank = text_embeddings.isnan().any(dim=1).tolist()
        missing = sum(empty and name is not None for empty, name in zip(blank, members, strict=True))
        members = [None if empty else name for empty, name in zip(blank, members, strict=True)]
    counted = Counter(members)
    draws = [draw_per_class(members, chosen, per_class, seed=number) for number in seeds]
    texts = [" ".join(text.split()) for text in reports] if reports is not None else None
    sides: dict[str, _Side] = {}
    for drawn in draws:
        images = image_embeddings[drawn]
        written = None if text_embeddings is None else text_embeddings[drawn]
        keys: list[Hashable] = [ids[row] for row in drawn] if texts is None else [texts[row] for row in drawn]
        groups = [(ids if patients is None else patients)[row] for row in drawn]
        kinds = torch.tensor([chosen.index(str(members[row])) for row in drawn])
        if written is not None:
            _add(sides, "image_to_text", images, written, kinds, kinds, len(chosen), ks, keys=keys)
            _add(sides, "text_to_image", written, images, kinds, kinds, len(chosen), ks, keys=keys)
        _add(sides, "image_to_image", images, images, kinds, kinds, len(chosen), ks, groups=groups)
        if prompts is not None:
            bank = torch.cat([prompts[name] for name in chosen])
            of_prompt = torch.tensor([number for number, name in enumerate(chosen) for _ in prompts[name]])
            _add(sides, "image_to_prompt", images, bank, kinds, of_prompt, len(chosen), ks)
    owners = [ids[row] for drawn in draws for row in drawn]
    kinds = torch.arange(len(chosen)).repeat_interleave(per_class).repeat(len(draws))
    options = {"resamples": bootstrap, "seed": seed}
    return {
        "tasks": chosen,
        "per_class": per_class,
        "samplings": list(seeds),
        "candidates": {name: counted[name] for name in chosen},
        "without_report": missing,
        "chance": 1 / len(chosen),
        **_identical(draws, texts, members),
        "sides": {name: _sum_up(side, owners, kinds, chosen, len(draws), options) for name, side in sides.items()},
    }


def _add(
    sides: dict[str, _Side],
    name: str,
    queries: torch.Tensor,
    gallery: torch.Tensor,
    asked: torch.Tensor,
    held: torch.Tensor,
    classes: int,
    ks: Sequence[int],
    *,
    keys: Sequence[Hashable] | None = None,
    groups: Sequence[Hashable] | None = None,
) -> None:
    """Add the numbers of one draw, a row a query: precision and hit for each k, and recall where there are keys."""
    columns = torch.nn.functional.one_hot(held, classes).double()  # (G, T)
    own = None if groups is None else (groups, groups)
    precision, hit = [], []
    for found in label_first_answers(queries, gallery, columns, ks=ks, chunk_size=CHUNK, groups=own):
        place = asked[found.rows][None, :, None].expand(len(ks), -1, 1)
        right = found.right.gather(2, place)[..., 0].T  # (q, K), of the query's own class
        precision.append(found.share.gather(2, place)[..., 0].T)
        hit.append((right > 0).double())
    side = sides.setdefault(name, _Side(gallery=len(gallery), queries=len(queries)))
    side.names = [f"{what}_at_{k}" for what in ("precision", "hit") for k in ks]
    parts = [torch.cat(precision), torch.cat(hit)]
    if keys is not None:
        ranks = retrieval_ranks(queries, gallery, query_keys=keys, gallery_keys=keys)
        parts.append((ranks[:, None] <= torch.tensor(ks)).double())
        side.names += [f"recall_at_{k}" for k in ks]
    side.rows.append(torch.cat(parts, dim=1))


def _sum_up(
    side: _Side,
    owners: Sequence[str],
    kinds: torch.Tensor,
    tasks: Sequence[str],
    draws: int,
    options: dict[str, Any],
) -> dict[str, Any]:
    table = torch.cat(side.rows).numpy()  # (n, M)
    numbers: dict[str, int] = {}
    places = np.asarray([numbers.setdefault(owner, len(numbers)) for owner in owners])

    def means(counts: Floats) -> Floats:
        weights = counts[:, places]
        return np.concatenate([weighted_mean(column, weights) for column in table.T], axis=1)

    values: dict[str, Any] = {"queries": side.queries, "gallery": side.gallery}
    for index, interval in enumerate(bootstrap_intervals(means, len(numbers), **options)):
        each = [_mean(part[:, index]) for part in np.split(table, draws)]
        known = [value for value in each if value is not None]
        std = statistics.stdev(known) if len(known) > 1 else None
        values[side.names[index]] = interval.to_dict() | {"samplings": each, "std": std}
    values["by_class"] = {
        task: {name: _mean(table[kinds.numpy() == number, index]) for index, name in enumerate(side.names)}
        for number, task in enumerate(tasks)
    }
    return values


def _identical(
    draws: Sequence[Sequence[int]], texts: Sequence[str] | None, members: Sequence[str | None]
) -> dict[str, Any]:
    """Count, for each draw, studies whose report another drawn study has, and those where its class is another."""
    if texts is None:
        return {}
    same, another = [], []
    for drawn in draws:
        holders = Counter(texts[row] for row in drawn)
        alike = Counter((texts[row], members[row]) for row in drawn)
        same.append(sum(holders[texts[row]] > 1 for row in drawn))
        another.append(sum(holders[texts[row]] > alike[texts[row], members[row]] for row in drawn))
    return {"identical_reports": same, "of_another_class": another}


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _check(ids: Sequence[str], *others: Any) -> None:
    names = ("image_embeddings", "text_embeddings", "labels", "reports", "patients")
    for name, value in zip(names, others, strict=True):
        if value is not None and len(value) != len(ids):
            raise ValueError(f"{name} must have one row a study, {len(ids)}, got {len(value)}")
