"""What pretraining adds to the lungs of covid19-cxr: the pretrained encoder beside a random one, a short budget, seeds.

    monai-place prepare covid19-cxr SRC DATA/covid19-cxr
    python benchmarks/lungs_starts.py DATA RUN WORK --seeds 3

Everything but the start is the same: the config, the length, the seed (of the heads, the order and the augmentation).
The last checkpoint is tested on the patients of the test split, once; nothing is chosen. Two trainings at a time, one
thread each; a finished one is not repeated. Prints JSON: the metrics of each training, and the paired differences.
"""

from __future__ import annotations

import argparse
import json
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lungs import call, environment_of, options_of, test_metrics

CONFIGS = {
    "placevit-tiny_upernet_1xb8-2k_covid19-cxr-224x224": "Dice",
    "placevit-tiny_faster-rcnn_1xb8-2k_covid19-cxr-224x224": "mAP",
}
STARTS = ("pretrained", "random")


def run_start(
    name: str, start: str, seed: int, *, data: Path, bundle: Path, work: Path, iters: int
) -> dict[str, float]:
    """Train one config from one start and return the metrics of its last checkpoint on the test split."""
    folder = work / f"{name}_{start}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    environment, last = environment_of(data), folder / f"iter_{iters}.pth"
    changed = options_of(bundle if start == "pretrained" else None, iters, validations=1)
    changed = ["--cfg-options", *changed, f"randomness.seed={seed}", f"param_scheduler.0.end={iters // 10}"]
    changed += [f"param_scheduler.1.begin={iters // 10}"]
    if not last.is_file():
        call(["train-mm", name, "--work-dir", str(folder), *changed], folder / "train.log", environment)
    call(["test-mm", name, str(last), "--work-dir", str(folder / "test"), *changed], folder / "test.log", environment)
    return test_metrics(folder / "test.log")


def summed_up(found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Return mean and standard deviation of each start, and of the differences by seed."""
    summary: dict[str, Any] = {}
    for name, by_start in found.items():
        rows = by_start | {
            "difference": [round(a - b, 4) for a, b in zip(*(by_start[start] for start in STARTS), strict=True)]
        }
        spread = {key: round(statistics.stdev(row), 4) if len(row) > 1 else None for key, row in rows.items()}
        summary[name] = {
            key: {"mean": round(statistics.fmean(row), 4), "sd": spread[key], "by_seed": row}
            for key, row in rows.items()
        }
    return summary


def main() -> None:
    """Run all trainings and print their numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds covid19-cxr/datalist.json")
    parser.add_argument("bundle", type=Path, help="the pretrained run")
    parser.add_argument("work", type=Path, help="folder of the trainings")
    parser.add_argument("--iters", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    paths = {key: getattr(arguments, key).resolve() for key in ("data", "bundle", "work")}
    cells = [(name, start, seed) for seed in range(arguments.seeds) for name in CONFIGS for start in STARTS]
    with ThreadPoolExecutor(2) as pool:
        metrics = list(pool.map(lambda cell: run_start(*cell, **paths, iters=arguments.iters), cells))
    found: dict[str, dict[str, list[float]]] = {name: {start: [] for start in STARTS} for name in CONFIGS}
    for (name, start, _), values in zip(cells, metrics, strict=True):
        found[name][start].append(values[CONFIGS[name]])
    print(
        json.dumps({"summary": summed_up(found), "cells": dict(zip(map(str, cells), metrics, strict=True))}, indent=2)
    )


if __name__ == "__main__":
    main()
