"""From files to tensors: ours against MONAI's LoadImage + Resize and OpenCV as MGCA reads; and large archives.

One process and one thread for all variants, in turn (A B C A B C ...), so that a drifting machine meets all alike. Time
is the processor's, which is that of the clock on a core of one's own. Reported are medians, spread, and the ratios
round by round: how many times the records a second of the reference. Every file is read once before, so the disk does
not count. Pictures are generated: a phantom of 2,544 x 3,056 pixels with as much noise as makes grey JPEG files of
quality 95 as large (1.5 MB) as those of MIMIC-CXR-JPG are on average.

The floor of reading a JPEG is its entropy decoding. Nothing here decodes that alone; the time in which Pillow decodes
at an eighth (entropy decoding, and one value of each block) stands for it, from above.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEIGHT, SIZE, CONVERTED_SIDE = 2544, 3056, 224, 512
NOISE = 1.5  # standard deviation, of 255 levels
GPU_IMAGES_PER_SECOND, GPU_CORES = 2000, 16
WORDS = (
    "the lungs are clear there is no focal consolidation pleural effusion or pneumothorax heart size and mediastinal "
    "contours within normal limits unchanged right left lower lobe opacity atelectasis edema mild moderate tube"
)
Read = Callable[[Path], Any]


def make_originals(folder: Path, count: int, noise: float) -> list[Path]:
    """Write as many different full-size radiographs."""
    from PIL import Image

    from monai_place.data.phantom import render_study

    paths = []
    for index in range(count):
        random = np.random.default_rng(index)
        small = Image.fromarray(255 * render_study(0, index, size=768).image)
        pixels = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
        noisy = pixels + random.standard_normal(pixels.shape, dtype=np.float32) * noise
        paths.append(folder / f"{index}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=95)
    return paths


def make_datalist(folder: Path, paths: list[Path]) -> Path:
    """Write a datalist of pictures with a report each."""
    records = [
        {"id": path.stem, "image": path.name, "patient_id": path.stem, "report": "FINDINGS: Clear lungs. No effusion."}
        for path in paths
    ]
    head = {"name": "generated", "version": "1", "source": "", "image_root": str(paths[0].parent), "classes": []}
    (folder / "datalist.json").write_text(json.dumps({**head, "training": records}))
    return folder / "datalist.json"


def readers() -> dict[str, tuple[Read, str]]:
    """Return, by name, what makes a training tensor of a file, and of which files: `original`, `png` or `jpeg`."""
    import cv2
    import torch
    from monai.transforms import Compose, LoadImaged, Resized, ScaleIntensityRanged
    from PIL import Image

    from monai_place.preprocess import PreprocessSpec
    from monai_place.transforms import FitRadiographd, LoadRadiographd, NormalizeRadiographd

    spec = PreprocessSpec(image_size=SIZE)
    cv2.setNumThreads(1)

    def ours(least_side: int | None) -> Read:
        steps = Compose(
            [
                LoadRadiographd("image", least_side=least_side),
                FitRadiographd("image", SIZE),
                NormalizeRadiographd("image", spec.mean, spec.std, invertible=False),
            ]
        )
        return lambda path: steps({"image": str(path)})["image"]

    chain = Compose(
        [
            LoadImaged("image", image_only=True, ensure_channel_first=True, reader="PILReader"),
            Resized("image", (SIZE, SIZE)),
            ScaleIntensityRanged("image", 0, 255, -2, 2),
        ]
    )

    def as_mgca(path: Path) -> Any:
        """Grey, the longer side to 256, padded with zeros, cut to 224: the published code's reading."""
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        scale = 256 / max(image.shape)
        height, width = (round(side * scale) for side in image.shape)
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        square = np.zeros((256, 256), dtype=np.uint8)
        top, left = (256 - height) // 2, (256 - width) // 2
        square[top : top + height, left : left + width] = small
        cut = np.ascontiguousarray(square[16 : 16 + SIZE, 16 : 16 + SIZE])
        return (torch.from_numpy(cut)[None].float() / 255 - 0.5) / 0.25

    def floor(path: Path) -> Any:
        with Image.open(path) as image:
            image.draft("L", (image.width // 8, image.height // 8))
            image.load()

    return {
        "ours": (ours(spec.least_side), "original"),
        "ours, decoded whole": (ours(None), "original"),
        "monai": (lambda path: chain({"image": str(path)})["image"], "original"),
        "opencv as mgca": (as_mgca, "original"),
        "decoding at an eighth": (floor, "original"),
        "ours, converted to png": (ours(spec.least_side), "png"),
        "ours, converted to jpeg": (ours(spec.least_side), "jpeg"),
    }


def study_reader(datalist: Path) -> Callable[[], int]:
    """Return what draws one epoch of batches as training does, image side and augmentation, and counts the images."""
    from monai.transforms import Compose, SelectItemsd

    from monai_place.data.datalist import load_records
    from monai_place.engines import StudyDataset, study_loader
    from monai_place.preprocess import PreprocessSpec
    from monai_place.transforms import image_transforms

    records = load_records(datalist, "training")
    steps = Compose([*image_transforms(PreprocessSpec(image_size=SIZE), augment=True), SelectItemsd(["id", "image"])])
    loader = study_loader(StudyDataset(records * 4, steps, cache=False), batch_size=len(records))
    return lambda: sum(len(batch["image"]) for batch in loader)


def measure_reading(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time every variant in turn, and compare what they give."""
    import torch

    from monai_place.data.conversion import Conversion
    from monai_place.data.convert import convert_datalist

    torch.set_num_threads(1)
    originals = make_originals(folder, args.files, args.noise)
    datalist = make_datalist(folder, originals)
    files = {"original": originals}
    for name in ("png", "jpeg"):
        convert_datalist(datalist, folder / name, Conversion(CONVERTED_SIDE, file_format=name))
        files[name] = sorted((folder / name / "images").iterdir())
    variants: dict[str, Callable[[], int]] = {}
    for name, (read, kind) in readers().items():
        variants[name] = lambda read=read, paths=files[kind]: len([read(path) for path in paths])
    for name in ("png", "jpeg"):
        variants[f"loader, converted to {name}"] = study_reader(folder / name / "datalist.json")
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(args.warmup + args.repeats):
        for name, run in variants.items():
            begin = time.process_time()
            done = run()
            if number >= args.warmup:
                seconds[name].append((time.process_time() - begin) / done)
    kilobytes = {kind: statistics.mean(path.stat().st_size for path in paths) / 1000 for kind, paths in files.items()}
    return {
        "files": {kind: f"{mean:.0f} kB" for kind, mean in kilobytes.items()},
        "records_per_second": {name: _spread([1 / value for value in values]) for name, values in seconds.items()},
        "cases": dict(_reading_ratios(seconds)),
        "psnr_decibels": psnr(files),
        "gpu": keeps_busy(seconds),
    }


def _reading_ratios(seconds: dict[str, list[float]]) -> Iterator[tuple[str, Any]]:
    pairs = [
        ("ours", "monai"),
        ("ours", "opencv as mgca"),
        ("ours", "ours, decoded whole"),
        ("ours", "decoding at an eighth"),
        ("ours, converted to png", "monai"),
        ("ours, converted to jpeg", "monai"),
    ]
    for one, other in pairs:
        ratios = [theirs / mine for mine, theirs in zip(seconds[one], seconds[other], strict=True)]
        yield f"records a second, {one} / {other}", {"ratio": _spread(ratios)}


def psnr(files: dict[str, list[Path]]) -> dict[str, Any]:
    """Compare our tensors, before normalization, with those of the file decoded whole; in decibels."""
    from monai_place.preprocess import PreprocessSpec
    from monai_place.transforms import FitRadiographd, LoadRadiographd

    fit = FitRadiographd("image", SIZE)

    def tensor(path: Path, least_side: int | None) -> Any:
        return fit(LoadRadiographd("image", least_side=least_side)({"image": str(path)}))["image"].numpy()

    least = PreprocessSpec(image_size=SIZE).least_side
    whole = [tensor(path, None) for path in files["original"]]
    found = {"decoded reduced": [tensor(path, least) for path in files["original"]]}
    found |= {f"converted to {kind}": [tensor(path, least) for path in files[kind]] for kind in ("png", "jpeg")}
    return {
        name: _spread([_decibels(*pair) for pair in zip(tensors, whole, strict=True)])
        for name, tensors in found.items()
    }


def _decibels(one: Any, other: Any) -> float:
    return float(-10 * np.log10(np.mean((one - other) ** 2)))


def keeps_busy(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Work out whether so many cores feed a GPU from converted files."""
    found: dict[str, Any] = {}
    for name in ("png", "jpeg"):
        rate = 1 / statistics.median(seconds[f"loader, converted to {name}"])
        found[name] = (
            f"{rate:.0f} images/s a core x {GPU_CORES} cores = {rate * GPU_CORES:.0f} images/s, "
            f"{rate * GPU_CORES / GPU_IMAGES_PER_SECOND:.2f} times {GPU_IMAGES_PER_SECOND}"
        )
    return found


def measure_conversion(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time the conversion of the same files by one process and by two, in turn, the processes' start included."""
    from monai_place.data.convert import convert_datalist

    originals = make_originals(folder, args.files, args.noise)
    copies = []
    for index in range(args.convert_files):
        copies.append(folder / f"copy{index}.jpg")
        copies[-1].hardlink_to(originals[index % len(originals)])
    datalist = make_datalist(folder, copies)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    busy: dict[int, list[float]] = {1: [], 2: []}
    for number in range(args.repeats):
        for workers, found in seconds.items():
            before, begin = _children_seconds(), time.perf_counter()
            convert_datalist(datalist, folder / f"{workers}-{number}", workers=workers)
            found.append(time.perf_counter() - begin)
            busy[workers].append(_children_seconds() - before)
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    rates = {str(workers): _spread([len(copies) / value for value in values]) for workers, values in seconds.items()}
    return {
        "images_per_second": rates,
        # On a machine with other work the clock says little: what the second process costs is in the processors' time.
        "cpu_seconds": {str(workers): _spread(values) for workers, values in busy.items()},
        "cases": {"conversion, two processes / one": {"ratio": _spread(ratios)}},
    }


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_archive(folder: Path, count: int) -> Path:
    """Write a datalist of so many records with reports of about 600 characters, and an empty file for each image.

    The files take minutes on some disks; that is not measured.
    """
    from monai_place.data.datalist import Datalist, write_datalist

    words = WORDS.split()
    random = np.random.default_rng(0)
    names = [f"c{index}" for index in range(14)]
    splits: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for number in range(count):
        patient, study, name = 10_000_000 + number // 6, 50_000_000 + number // 2, f"{number:08x}" + "-89abcdef" * 4
        image = Path("files", f"p{patient}"[:3], f"p{patient}", f"s{study}", f"{name}.jpg")
        if number % 2 == 0:
            (folder / image).parent.mkdir(parents=True)
        (folder / image).touch()
        share = (number // 6) / (count // 6 + 1)
        splits["training" if share < 0.97 else "validation" if share < 0.985 else "test"].append(
            {
                "id": name, "image": image.as_posix(), "patient_id": str(patient), "study_id": str(study),
                "view": "PA" if number % 2 else "AP", "report": " ".join(random.choice(words, 98)),
                "label": [None if value > 1 else int(value) for value in random.integers(0, 3, 14)], "language": "en",
            }
        )  # fmt: skip
    write_datalist(Datalist("archive", "1", "", ".", names, splits), folder / "datalist.json")
    return folder / "datalist.json"


ARCHIVE = {
    "read": "from monai_place.data.datalist import read_datalist; read_datalist(sys.argv[1])",
    "verify": "from monai_place.data.verify import verify_datalist; "
    "assert verify_datalist(sys.argv[1], images=False) == []",
}
REPORT = "import resource, sys; {}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def measure_archive(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time reading and verifying a large datalist, each in a process of its own, and take its peak of memory."""
    datalist = make_archive(folder, args.records)
    found: dict[str, Any] = {"records": args.records, "megabytes": round(datalist.stat().st_size / 1e6)}
    for name, code in ARCHIVE.items():
        seconds, memory, busy = [], [], []
        for _ in range(args.repeats):
            before, begin = _children_seconds(), time.perf_counter()
            command = [sys.executable, "-c", REPORT.format(code), str(datalist)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds.append(time.perf_counter() - begin)
            busy.append(_children_seconds() - before)
            memory.append(int(done.stdout) / (1e6 if sys.platform == "darwin" else 1e3))
        found[name] = {"seconds": _spread(seconds), "cpu_seconds": _spread(busy), "peak_megabytes": _spread(memory)}
    return found


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


MEASURES = {"reading": measure_reading, "conversion": measure_conversion, "archive": measure_archive}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--files", type=int, default=8, help="different full-size files")
    parser.add_argument("--noise", type=float, default=NOISE, help="of the pictures, of 255 levels: sizes the files")
    parser.add_argument("--convert-files", type=int, default=64, help="files of the conversion")
    parser.add_argument("--records", type=int, default=400_000, help="of the archive")
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        found = MEASURES[args.what](args, Path(folder))
    setting = {**vars(args), "cores": os.cpu_count(), "python": platform.python_version()}
    print(json.dumps({"setting": setting, **found}, indent=2))


if __name__ == "__main__":
    main()
