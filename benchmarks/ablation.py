"""Ablation on the phantom: untrained, ITA, ITA+PCMA, ITA+CCE, full; several seeds; measured on one split.

Each run is a pretraining through the bundle, in a process of its own, and an evaluation. A finished run is kept in
`--out` and never repeated. Settings were chosen on other phantoms' validation splits; the table is of the test split.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

VARIANTS: dict[str, dict[str, Any]] = {
    "untrained": {},
    "ITA": {"loss#pcma_weight": 0.0, "loss#patch_weight": 0.0, "loss#cce_weight": 0.0, "loss#cce_image_weight": 0.0},
    "ITA + PCMA": {"loss#cce_weight": 0.0, "loss#cce_image_weight": 0.0},
    "ITA + CCE": {"loss#pcma_weight": 0.0, "loss#patch_weight": 0.0},
    "full": {},
}
COLUMNS = {
    "zero-shot global": ("zero_shot", "global", "macro", "value"),
    "zero-shot local": ("zero_shot", "local", "macro", "value"),
    "R@5 image to text": ("retrieval", "image_to_text", "recall_at_5"),
    "probe 1 %": ("linear_probe", "0.01"),
    "probe 10 %": ("linear_probe", "0.1"),
    "probe 100 %": ("linear_probe", "1.0"),
    "pointing": ("grounding", "pointing", "model", "value"),
    "contrast to noise": ("grounding", "signed_contrast_to_noise", "model", "value"),
    "PCMA gap (nats)": ("diagnostics", "pcma_gap"),
    "CCE explained": ("diagnostics", "cce_explained"),
    "CCE shuffled": ("diagnostics", "cce_explained_shuffled"),
}


def run_one(args: argparse.Namespace) -> None:
    """Train and measure one variant with one seed; called in a process of its own."""
    import torch

    from monai_place.atomic import write_json_atomic
    from monai_place.data.datalist import load_records, read_datalist
    from monai_place.engines import build_place_model
    from monai_place.engines.bundle import new_bundle, run_bundle
    from monai_place.inference import load_place
    from monai_place.inference.collect import collect_studies, fit_location_prior
    from monai_place.inference.evaluate import evaluate_studies
    from monai_place.inference.probe import linear_probe_auroc

    torch.set_num_threads(args.threads)
    folder = run_folder(args.out, args.variant, args.seed)
    settings = {"datalist": str(args.datalist), "seed": args.seed, **json.loads(args.settings)}
    if args.variant == "untrained":
        settings |= {"epochs": 1, "lr": 1e-9}
    run_bundle(new_bundle(folder), {**settings, **VARIANTS[args.variant], "resume": "auto"})
    loaded = load_place(folder)
    if args.variant == "untrained":
        fresh = build_place_model(loaded.model.config.to_dict(), loaded.tokenizer, seed=args.seed)
        loaded.model.load_state_dict(fresh.state_dict())
    classes = read_datalist(args.datalist).classes
    train, tested = load_records(args.datalist, "training"), load_records(args.datalist, args.split)
    found = collect_studies(loaded, tested, classes=classes, prior=fit_location_prior(train))
    values = evaluate_studies(found, bootstrap=200, seed=0)
    fitted = collect_studies(loaded, train, classes=classes, grounding_limit=0)
    values["linear_probe"] = {
        str(share): linear_probe_auroc(
            fitted.pooled, fitted.labels, found.pooled, found.labels, share, findings=list(classes), bootstrap=10
        )["macro"].value
        for share in (0.01, 0.1, 1.0)
    }
    write_json_atomic(folder / f"metrics_{args.split}.json", values)


def run_folder(out: Path, variant: str, seed: int) -> Path:
    """Return the folder of one run."""
    return out / f"{variant.replace(' ', '').replace('+', '_').lower()}_seed{seed}"


def table(out: Path, split: str, seeds: int) -> str:
    """Return the Markdown table: mean and standard deviation over seeds."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|" + "---|" * (len(COLUMNS) + 1)]
    for variant in VARIANTS:
        files = [run_folder(out, variant, seed) / f"metrics_{split}.json" for seed in range(seeds)]
        found = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
        cells = [_cell([_value(values, path) for values in found]) for path in COLUMNS.values()]
        lines.append(f"| {variant} (n={len(found)}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _value(values: dict[str, Any], path: tuple[str, ...]) -> float | None:
    found: Any = values
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _cell(numbers: list[float | None]) -> str:
    known = [number for number in numbers if number is not None]
    if not known:
        return "-"
    spread = f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.3f}{spread}"


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--studies", type=int, default=2400)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", default="test", choices=["validation", "test"])
    parser.add_argument("--settings", default='{"preset": "place_tiny", "epochs": 6, "val_interval": 6}')
    parser.add_argument("--parallel", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of a run")
    parser.add_argument("--datalist", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--variant", choices=list(VARIANTS), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.variant is not None:
        run_one(args)
        return
    from monai_place.data.phantom import write_phantom

    args.datalist = args.out / "data" / "datalist.json"
    if not args.datalist.is_file():
        write_phantom(args.out / "data", studies=args.studies, size=args.size, seed=7, workers=2)

    def start(job: tuple[int, str]) -> int:
        seed, variant = job
        if (run_folder(args.out, variant, seed) / f"metrics_{args.split}.json").is_file():
            return 0
        command = [sys.executable, "-W", "ignore", __file__, "--variant", variant, "--seed", str(seed)]
        for name in ("out", "split", "settings", "threads", "datalist"):
            command += [f"--{name}", str(getattr(args, name))]
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        with (args.out / f"{run_folder(args.out, variant, seed).name}.log").open("w") as log:
            return subprocess.run(command, stdout=log, stderr=log, env=environment, check=False).returncode

    jobs = [(seed, variant) for seed in range(args.seeds) for variant in VARIANTS]
    with ThreadPoolExecutor(args.parallel) as pool:
        codes = list(pool.map(start, jobs))
    print(table(args.out, args.split, args.seeds))
    for job, code in zip(jobs, codes, strict=True):
        if code:
            print(f"failed: {job}, exit code {code}", file=sys.stderr)
    sys.exit(1 if any(codes) else 0)


if __name__ == "__main__":
    main()
