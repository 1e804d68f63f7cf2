"""Report generation on the phantom: trained generators, seed by seed, against the best constant report. Prints JSON.

Each seed is a training through the bundle's train_report.json and an evaluation; a finished seed is kept in `--out` and
not repeated. The constant reports are chosen among the training reports: the most frequent one, and the one with the
highest micro F1 of findings there. Choose settings on `--split validation`; look at `--split test` once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from monai_place.atomic import write_json_atomic
from monai_place.cli.common import talk_on_stderr
from monai_place.data.datalist import load_records, read_datalist
from monai_place.inference.generator_training import train_report_generator
from monai_place.inference.report_evaluation import choose_labeller, evaluate_reports
from monai_place.inference.report_writer import load_report_generator
from monai_place.networks import GenerationSettings


def run_seed(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Return the numbers of one seed."""
    folder = args.out / f"seed{seed}"
    file = folder / f"metrics_{args.split}.json"
    if file.is_file():
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return values
    settings = {"seed": seed, "sections": args.sections, **json.loads(args.settings)}
    begin = time.monotonic()
    trained = (folder / "seconds.json").is_file()
    if not trained:
        train_report_generator(args.checkpoint, args.datalist, folder, settings=settings, resume=folder.is_dir())
        write_json_atomic(folder / "seconds.json", {"training": round(time.monotonic() - begin)})
    writer = load_report_generator(folder, device=args.device)
    begin = time.monotonic()
    values = evaluate_reports(
        writer,
        load_records(args.datalist, args.split),
        training=load_records(args.datalist, "training"),
        judge=choose_labeller(read_datalist(args.datalist).classes),
        settings=GenerationSettings(beams=args.beams),
        bootstrap=args.bootstrap,
    )
    seconds = json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
    values["seconds"] = {**seconds, "evaluation": round(time.monotonic() - begin)}
    write_json_atomic(file, values)
    return values


def summary(found: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return means and standard deviations over seeds, and how many seeds beat each constant report beyond chance."""
    runs = list(found.values())
    clinical = {
        f"{mean}_{kind}": _spread([run["generator"]["clinical"][mean][kind]["value"] for run in runs])
        for mean in ("micro", "macro")
        for kind in ("precision", "recall", "f1")
    }
    text = {
        name: _spread([run["generator"]["text"][name]["value"] for run in runs])
        for name in runs[0]["generator"]["text"]
    }
    gains = {
        constant: {
            "micro_f1_of_constant": runs[0][constant]["clinical"]["micro"]["f1"]["value"],
            "difference": _spread([_gain(run, constant)["value"] for run in runs]),
            "intervals": {
                seed: [_gain(run, constant)["low"], _gain(run, constant)["high"]] for seed, run in found.items()
            },
            "seeds_above_zero": sum(_gain(run, constant)["low"] > 0 for run in runs),
        }
        for constant in ("most_frequent", "best_f1")
    }
    seconds = {seed: run["seconds"] for seed, run in found.items()}
    return {"clinical": clinical, "text": text, "against": gains, "studies": runs[0]["studies"], "seconds": seconds}


def _gain(run: dict[str, Any], constant: str) -> dict[str, Any]:
    gain: dict[str, Any] = run["differences"][constant]["clinical"]["micro_f1"]
    return gain


def _spread(numbers: list[float | None]) -> dict[str, float | None]:
    known = [number for number in numbers if number is not None]
    return {
        "mean": statistics.mean(known) if known else None,
        "standard_deviation": statistics.stdev(known) if len(known) > 1 else None,
    }


def main() -> None:
    """Run the seeds that are missing, and print what all of them say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a pretrained run, bundle or model folder")
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/report_generation"))
    parser.add_argument("--split", default="validation", choices=["validation", "test"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sections", nargs="+", default=["impression"], choices=["findings", "impression"])
    parser.add_argument("--settings", default='{"epochs": 12, "val_interval": 2}', help="of train_report.json, as JSON")
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with talk_on_stderr():  # stdout is the result
        found = {seed: run_seed(args, seed) for seed in range(args.seeds)}
    given = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    print(json.dumps({"arguments": given, "summary": summary(found)}, indent=2))


if __name__ == "__main__":
    main()
