"""What can be said on covid19-cxr: findings by patient-wise cross-validation, and retrieval of held-out notes.

    monai-place prepare covid19-cxr SRC DATA
    python benchmarks/covid19_folds.py DATA/datalist.json WORK --checkpoint runs/demo/run

All images are used: every fold of patients is held out once. Compared are frozen encoders under one logistic regression
with fixed settings: the checkpoint's, the same network with random weights, and one pretrained on the images and notes
of the other folds alone (`--epochs`, from random weights; the fold after the held-out one is its validation split).
Out-of-fold scores are pooled; intervals and paired differences are over patients, since images of one patient are
alike. Pretrainings are kept in WORK and not repeated. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from monai_place.data.datalist import Datalist, load_records, read_datalist, write_datalist
from monai_place.inference.collect import CollectedStudies, collect_studies
from monai_place.inference.encoders import load_encoder
from monai_place.inference.features import encode_studies
from monai_place.inference.labels import label_table
from monai_place.inference.loading import load_place
from monai_place.inference.probe import logistic_probe_scores
from monai_place.metrics.bootstrap import bootstrap_difference, bootstrap_intervals, weighted_mean
from monai_place.metrics.retrieval import retrieval_ranks
from monai_place.metrics.zeroshot import auroc_of_resamples

LEAST_PATIENTS = 8  # that have a finding, and that have it not, for it to be measured
K = 5
Floats = npt.NDArray[np.float64]
Records = list[dict[str, Any]]


def draw_folds(records: Records, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each record; all records of a patient share one, and rare findings are spread."""
    from sklearn.model_selection import StratifiedGroupKFold

    patients = [record["patient_id"] for record in records]
    holders = Counter({(record["finding"], record["patient_id"]) for record in records})
    known = Counter(finding for finding, _ in holders)
    kinds = [record["finding"] if known[record["finding"]] >= folds else "rare" for record in records]
    found = np.zeros(len(records), dtype=np.int64)
    drawn = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(drawn.split(records, kinds, patients)):
        found[held_out] = number
    return found


def measured_findings(labels: Floats, patients: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the columns of findings that enough patients have, and enough have not."""
    chosen = []
    for column in range(len(classes)):
        sides = [{p for p, value in zip(patients, labels[:, column], strict=True) if value == side} for side in (0, 1)]
        if min(map(len, sides)) >= LEAST_PATIENTS:
            chosen.append(column)
    return chosen


def pretrain_fold(datalist: Datalist, folder: Path, fold: npt.NDArray[np.int64], number: int, epochs: int) -> Path:
    """Pretrain on all folds but one and the next, which chooses the epoch; return the run."""
    run = folder / f"run{number}"
    if (run / "done").is_file():
        return run
    records = [record for _, _, record in datalist.records()]
    validation = (number + 1) % (int(fold.max()) + 1)
    splits: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for record, place in zip(records, fold, strict=True):
        splits["test" if place == number else "validation" if place == validation else "training"].append(record)
    path = folder / f"fold{number}.json"
    root = str((datalist.folder / datalist.image_root).resolve())
    write_datalist(Datalist(datalist.name, datalist.version, "", root, datalist.classes, splits), path)
    command = [
        str(Path(sys.executable).with_name("monai-place")),
        "pretrain",
        str(path),
        "--out",
        str(run),
        "--preset",
        "place_tiny",
    ]
    subprocess.run([*command, "--set", f"epochs={epochs}", "--set", "val_interval=2"], check=True, stdout=sys.stderr)
    (run / "done").touch()
    return run


def out_of_fold(features: list[torch.Tensor], labels: torch.Tensor, fold: npt.NDArray[np.int64]) -> Floats:
    """Return the score (B, C) of each study by a regression on the other folds; `features` are those of each fold."""
    scores = np.zeros(labels.shape)
    for number, found in enumerate(features):
        held_out = torch.from_numpy(fold == number)
        scores[held_out] = logistic_probe_scores(found[~held_out], labels[~held_out], found[held_out])
    return scores


def by_patient(patients: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the number of each record's patient."""
    return np.unique(np.asarray(patients), return_inverse=True)[1]


def auroc_statistic(scores: Floats, labels: Floats, owner: npt.NDArray[np.int64]) -> Any:
    """Return what gives the AUROC of each finding and their mean for multiplicities of patients."""
    return lambda counts: auroc_of_resamples(scores, labels, counts[:, owner])


def recalls(ranks: npt.NDArray[np.int64], patients: Sequence[str], bootstrap: int) -> dict[str, Any]:
    """Return recall at K with its interval over patients."""
    owner, hits = by_patient(patients), (ranks <= K).astype(float)
    (found,) = bootstrap_intervals(
        lambda counts: weighted_mean(hits, counts[:, owner]), int(owner.max()) + 1, resamples=bootstrap
    )
    return {"value": found.value, "low": found.low, "high": found.high, "queries": len(hits)}


def noted(collected: CollectedStudies) -> npt.NDArray[np.bool_]:
    """Tell which studies have a note."""
    return (~collected.reports.isnan().any(dim=1)).numpy()


def held_out_ranks(parts: list[CollectedStudies]) -> dict[str, tuple[npt.NDArray[np.int64], list[str], float]]:
    """Return, by direction, ranks among the notes of each part, the ids of the queries, and the chance of recall."""
    found: dict[str, tuple[list[Any], list[str], list[float]]] = {}
    for part in parts:
        chosen = noted(part)
        texts = [" ".join(text.split()) for text, has in zip(part.report_texts, chosen, strict=True) if has]
        ids = [name for name, has in zip(part.ids, chosen, strict=True) if has]
        images, reports = part.images[chosen], part.reports[chosen]
        holders = Counter(texts)
        for name, pair in {"image_to_text": (images, reports), "text_to_image": (reports, images)}.items():
            ranks = retrieval_ranks(*pair, query_keys=texts, gallery_keys=texts)
            all_ranks, all_ids, chances = found.setdefault(name, ([], [], []))
            all_ranks.append(ranks.numpy())
            all_ids += ids
            chances += [chance_of_hit(len(texts), holders[text]) for text in texts]
    return {name: (np.concatenate(ranks), ids, statistics.mean(c)) for name, (ranks, ids, c) in found.items()}


def chance_of_hit(gallery: int, right: int) -> float:
    """Return how likely one of the right answers is among the first K of a random order."""
    missed = 1.0
    for place in range(min(K, gallery)):
        missed *= max(0, gallery - right - place) / (gallery - place)
    return 1 - missed


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the folds of each seed; retrieval and pretraining by the first seed's."""
    datalist = read_datalist(args.datalist)
    records = [r for split in ("training", "validation", "test") for r in load_records(args.datalist, split)]
    patients = [record["patient_id"] for record in records]
    patient_of = {record["id"]: record["patient_id"] for record in records}
    columns = measured_findings(label_table(records, datalist.classes).numpy(), patients, datalist.classes)
    labels = label_table(records, datalist.classes)[:, columns]
    names = [datalist.classes[column] for column in columns]
    owner = by_patient(patients)
    fold = draw_folds(records, args.folds, 0)
    runs = [pretrain_fold(datalist, args.work, fold, number, args.epochs) for number in range(args.folds)]

    def features(run: Path, weights: str | None = None, seed: int = 0) -> torch.Tensor:
        done = encode_studies(load_encoder(run, weights=weights, seed=seed, kinds=["global"]), records)
        if done.failed:
            raise ValueError(f"{len(done.failed)} images could not be read, the first: {done.failed[0]}")
        return done.features["global"].float()

    checkpoint = features(args.checkpoint)
    random = [features(args.checkpoint, "random", seed) for seed in range(args.seeds)]
    scores: dict[str, list[Floats]] = {"checkpoint": [], "random start": [], "pretrained on the other folds": []}
    for seed in range(args.seeds):
        drawn = draw_folds(records, args.folds, seed)
        scores["checkpoint"].append(out_of_fold([checkpoint] * args.folds, labels, drawn))
        scores["random start"].append(out_of_fold([random[seed]] * args.folds, labels, drawn))
    scores["pretrained on the other folds"].append(out_of_fold([features(run) for run in runs], labels, fold))

    truth, resamples = labels.double().numpy(), {"resamples": args.bootstrap}
    areas = {name: [auroc_statistic(one, truth, owner) for one in many] for name, many in scores.items()}
    whole = np.ones((1, int(owner.max()) + 1))
    found = {
        name: {
            "first_seed": dict(zip([*names, "macro"], map(plain, bootstrap_intervals(
                many[0], whole.shape[1], **resamples)), strict=True)),
            "macro_by_seed": [float(area(whole)[0, -1]) for area in many],
        }
        for name, many in areas.items()
    }  # fmt: skip
    differences = {
        f"{name} - random start": plain(
            bootstrap_difference(areas[name][0], areas["random start"][0], whole.shape[1], **resamples)[-1]
        )
        for name in ("checkpoint", "pretrained on the other folds")
    }
    parts = {
        "checkpoint": [collect_studies(load_place(args.checkpoint), records, classes=datalist.classes)],
        "pretrained on the other folds": [
            collect_studies(
                load_place(run),
                [r for r, place in zip(records, fold, strict=True) if place == number],
                classes=datalist.classes,
            )
            for number, run in enumerate(runs)
        ],
    }
    retrieval = {
        name: {
            way: recalls(ranks, [patient_of[one] for one in ids], args.bootstrap) | {"chance": chance}
            for way, (ranks, ids, chance) in held_out_ranks(part).items()
        }
        for name, part in parts.items()
    }
    positives = {
        name: {
            "images": int((truth[:, column] == 1).sum()),
            "patients": len(set(owner[truth[:, column] == 1])),
            "patients_without": len(set(owner[truth[:, column] == 0])),
        }
        for column, name in enumerate(names)
    }
    return {
        "images": len(records),
        "patients": whole.shape[1],
        "findings": positives,
        "auroc": found,
        "macro_difference": differences,
        f"recall_at_{K}": retrieval,
    }


def plain(interval: Any) -> dict[str, float]:
    """Return value and ends."""
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a run, bundle or model folder")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5, help="drawings of the folds, and random starts")
    parser.add_argument("--epochs", type=int, default=20, help="of each pretraining")
    parser.add_argument("--bootstrap", type=int, default=1000)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    args.work.mkdir(parents=True, exist_ok=True)
    setting = {name: value for name, value in vars(args).items() if not isinstance(value, Path)}
    print(json.dumps({"setting": setting, **measure(args)}, indent=2))


if __name__ == "__main__":
    main()
