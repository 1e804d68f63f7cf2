"""Lungs on covid19-cxr through both toolboxes: real radiographs, real training loops, held-out patients.

    monai-place prepare covid19-cxr SRC DATA/covid19-cxr
    python benchmarks/lungs.py DATA RUN WORK          # RUN: a run of `monai-place pretrain` or `demo`

Each config is trained by `monai-place train-mm`, its best checkpoint by the validation split is tested once by
`monai-place test-mm`; two at a time, one thread each. A training that is there already is gone on with, or left as it
is. Printed is JSON; `curves.png` and `predictions.png` are drawn into WORK, of the test images whose license is among
--licenses (most of the collection may not be used commercially).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from monai_place.data.datalist import load_records
from monai_place.data.radiograph import read_mask, read_radiograph

CONFIGS = {
    "placevit-tiny_upernet_1xb8-2k_covid19-cxr-224x224": "Dice",
    "placevit-tiny_setr-pup_1xb8-2k_covid19-cxr-224x224": "Dice",
    "placevit-tiny_faster-rcnn_1xb8-2k_covid19-cxr-224x224": "AP50",
    "placevit-tiny_yolov3_1xb8-2k_covid19-cxr-224x224": "AP50",
}
TITLES = {"upernet": "UPerNet", "setr-pup": "SETR-PUP", "faster-rcnn": "Faster R-CNN", "yolov3": "YOLOv3"}
SHOWN_SCORE = 0.5  # least score of a box that is drawn


def options_of(bundle: Path | None, iters: int, *, validations: int = 10) -> list[str]:
    """Return what is changed of each config: the weights, the length, and loaders without processes of their own."""
    interval = iters // validations
    changed = [] if bundle is None else [f"model.backbone.bundle={bundle}"]
    changed += [f"train_cfg.max_iters={iters}", f"train_cfg.val_interval={interval}"]
    changed += [f"param_scheduler.1.end={iters}", f"default_hooks.checkpoint.interval={interval}"]
    for split in ("train", "val", "test"):
        changed += [f"{split}_dataloader.num_workers=0", f"{split}_dataloader.persistent_workers=False"]
    return changed


def run_config(name: str, *, data: Path, bundle: Path, work: Path, iters: int) -> dict[str, Any]:
    """Train and test one config; return its curve on the validation split and its test metrics."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    environment = environment_of(data)
    changed = ["--cfg-options", *options_of(bundle, iters)]
    begin = time.perf_counter()
    if not (folder / f"iter_{iters}.pth").is_file():
        resume = ["--resume"] if (folder / "last_checkpoint").is_file() else []
        call(["train-mm", name, "--work-dir", str(folder), *resume, *changed], folder / "train.log", environment)
    minutes = (time.perf_counter() - begin) / 60
    best = max(folder.glob("best_*.pth"), key=lambda path: path.stat().st_mtime)
    log = folder / "test.log"
    call(["test-mm", name, str(best), "--work-dir", str(folder / "test"), *changed], log, environment)
    return {
        "best": best.name,
        "minutes": round(minutes, 1),
        "curve": curve_of(folder, CONFIGS[name]),
        "test": test_metrics(log),
    }


def environment_of(data: Path) -> dict[str, str]:
    """Return the variables of a training: where the data is, and one thread."""
    return os.environ | {"PLACE_DATA": str(data), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def test_metrics(log: Path) -> dict[str, float]:
    """Return the metrics on the last line of a test's log."""
    lines = [
        line for line in log.read_text(encoding="utf-8").splitlines() if re.search(r"Iter\(test\).*(Dice|AP50)", line)
    ]
    metrics = dict(re.findall(r"(\w[\w. ]*): +([0-9.]+)", lines[-1].split("]", 1)[1]))
    return {key.strip(): float(value) for key, value in metrics.items() if "time" not in key}


def call(words: list[str], log: Path, environment: dict[str, str]) -> None:
    """Run a command of the package's; its talk goes to a file."""
    command = [str(Path(sys.executable).parent / "monai-place"), *words]
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]} of {words[1]} ended with {done.returncode}; see {log.name}")


def curve_of(folder: Path, metric: str) -> list[tuple[int, float]]:
    """Return (iteration, metric) on the validation split, of all parts of a training."""
    points = {}
    for file in sorted(folder.glob("2*/vis_data/scalars.json")):
        for line in file.read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            if metric in values:
                points[int(values["step"])] = float(values[metric])
    return sorted(points.items())


def draw_curves(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw the validation curves: Dice of the lungs, average precision at IoU 0.5."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axis, metric, title in zip(
        axes, ("Dice", "AP50"), ("Lung Dice, mean over images", "AP at IoU 0.5"), strict=True
    ):
        for name in (name for name in found if CONFIGS[name] == metric):
            steps, values = zip(*found[name]["curve"], strict=True)
            axis.plot(steps, values, marker="o", markersize=3, label=TITLES[name.split("_")[1]])
        axis.set(title=f"{title} (validation)", xlabel="iterations of 8 images", ylim=(0.5, 1.01))
        axis.grid(visible=True, alpha=0.3)
        axis.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_predictions(data: Path, bundle: Path, work: Path, licenses: list[str], path: Path, *, plain: bool) -> int:
    """Draw truth (orange) and prediction (blue) over test images or plain ground; return how many images there are."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    records = load_records(
        data / "covid19-cxr" / "datalist.json", "test", require=("image", "mask", "boxes"), drop_missing=True
    )
    records = [record for record in records if record.get("license") in licenses]
    if not records:
        return 0
    figure, axes = plt.subplots(len(records), 4, figsize=(10, 2.9 * len(records)), layout="constrained", squeeze=False)
    for column, name in enumerate(CONFIGS):
        model = trained(name, bundle, work)
        for row, record in enumerate(records):
            axis = axes[row][column]
            pixels = read_radiograph(record["image"])[0]
            axis.imshow(np.full_like(pixels, 0.94) if plain else pixels, cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
            axis.set_title(TITLES[name.split("_")[1]])
            draw_regions(axis, model, record)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return len(records)


def trained(name: str, bundle: Path, work: Path) -> Any:
    """Return a trained network, made by its toolbox's own function."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import monai_place.mm  # noqa: F401  (the operators, before a toolbox is imported)
    from monai_place import config_path

    config = Config.fromfile(config_path(name))
    config.model.backbone.bundle = str(bundle)
    init_default_scope(config.default_scope)
    best = str(max((work / name).glob("best_*.pth"), key=lambda file: file.stat().st_mtime))
    if CONFIGS[name] == "Dice":
        from mmseg.apis import init_model

        return init_model(config, best, device="cpu")
    from mmdet.apis import init_detector

    return init_detector(config, best, device="cpu")


def draw_regions(axis: Any, model: Any, record: dict[str, Any]) -> None:
    """Draw what is true in orange and what is predicted in blue."""
    from matplotlib.patches import Rectangle

    if "EncoderDecoder" in type(model).__name__:
        from mmseg.apis import inference_model

        guess = inference_model(model, record["image"]).pred_sem_seg.data.squeeze(0).cpu().numpy()
        for mask, color in ((read_mask(record["mask"]), "tab:orange"), (guess, "tab:blue")):
            axis.contour(np.asarray(mask) == 1, levels=[0.5], colors=[color], linewidths=1.2)
        return
    from mmdet.apis import inference_detector

    found = inference_detector(model, record["image"]).pred_instances
    boxes = found.bboxes[found.scores > SHOWN_SCORE].cpu().numpy()
    for group, color in ((record["boxes"], "tab:orange"), (boxes, "tab:blue")):
        for x0, y0, x1, y1 in group:
            axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=1.2))


def main() -> None:
    """Run all configs, print their numbers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds covid19-cxr/datalist.json")
    parser.add_argument("bundle", type=Path, help="the pretrained run")
    parser.add_argument("work", type=Path, help="folder of the trainings")
    parser.add_argument("--iters", type=int, default=1000)
    parser.add_argument("--licenses", nargs="*", default=["CC BY-SA"])
    parser.add_argument("--outlines", action="store_true", help="draw no radiograph below, to show without a license")
    arguments = parser.parse_args()
    data, bundle, work = (path.resolve() for path in (arguments.data, arguments.bundle, arguments.work))
    work.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(
            lambda name: run_config(name, data=data, bundle=bundle, work=work, iters=arguments.iters), CONFIGS
        )
        found = dict(zip(CONFIGS, results, strict=True))
    draw_curves(found, work / "curves.png")
    pictures = draw_predictions(
        data, bundle, work, arguments.licenses, work / "predictions.png", plain=arguments.outlines
    )
    print(json.dumps({"pictures": pictures, "configs": found}, indent=2))


if __name__ == "__main__":
    main()
