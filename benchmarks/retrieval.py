"""Exact search and ranks at the size of an archive: time for each query, peak memory, and the index folder.

Each part runs in a process of its own, so that its peak is its own. Ratios are over one product of all queries with all
entries (`torch.matmul` in float32, tile by tile, and nothing done with the scores): what no exact search can save.

    python benchmarks/retrieval.py                                    # 20,000 queries, 400,000 entries, 128 features
    python benchmarks/retrieval.py --queries 2000 --engine faiss      # where faiss is installed
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from monai_place.metrics.retrieval import retrieval_ranks
from monai_place.metrics.search import top_entries

PARTS = ("product", "search", "ranks", "folder")
WHOLE = 400_000


def unit(rows: int, features: int, seed: int) -> torch.Tensor:
    """Return random rows of unit norm, made piece by piece."""
    draw = torch.Generator().manual_seed(seed)
    found = torch.empty(rows, features)
    for part in found.split(65536):
        part.normal_(generator=draw)
        part /= part.norm(dim=1, keepdim=True)
    return found


def memory(name: str) -> float:
    """Return MB of this process: VmRSS or VmHWM (the peak)."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.partition(f"{name}:")[2].split()[0]) / 1024


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Run something and return its seconds, and MB: before it, and at its peak."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
    before, begin = memory("VmRSS"), time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - begin, "mb_before": before, "mb_peak": memory("VmHWM")}


def product(queries: torch.Tensor, gallery: torch.Tensor) -> None:
    for asked in queries.split(1024):
        for part in gallery.split(8192):
            asked @ part.T


def measure_folder(args: argparse.Namespace) -> dict[str, Any]:
    """Time the index folder at the whole size: made, opened, appended to, searched once."""
    from monai_place.inference import EmbeddingIndex  # some 600 MB of libraries that the other parts do without

    ids = [f"files/p{number // 40:08d}/s{number:08d}.dcm" for number in range(args.gallery)]
    more = EmbeddingIndex(unit(1000, args.features, 1), [f"new {number}" for number in range(1000)])
    with tempfile.TemporaryDirectory() as folder:
        values: dict[str, Any] = {
            "make": timed(lambda: EmbeddingIndex(unit(args.gallery, args.features, 0), ids).save(folder))
        }
        values["open"] = timed(lambda: EmbeddingIndex.load(folder))
        opened = EmbeddingIndex.load(folder)
        values["search_one"] = timed(lambda: opened.search(more.embeddings[:1], k=10, engine=args.engine))
        values["append_1000"] = timed(lambda: more.append_to(folder))
        values["mb_on_disk"] = sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**20
    return values


def measure_part(args: argparse.Namespace) -> dict[str, Any]:
    """Measure one part in this process."""
    torch.set_num_threads(args.threads)
    if args.part == "folder":
        return measure_folder(args)
    queries, gallery = unit(args.queries, args.features, 1), unit(args.gallery, args.features, 0)
    keys = [number % max(1, int(args.gallery * 0.8)) for number in range(args.gallery)]  # a fifth stands twice
    works: dict[str, Callable[[], Any]] = {
        "product": lambda: product(queries, gallery),
        "search": lambda: top_entries(queries, gallery, k=args.k, engine=args.engine),
        "ranks": lambda: retrieval_ranks(queries, gallery, query_keys=keys[: args.queries], gallery_keys=keys),
    }
    top_entries(queries[:8], gallery[:64], k=1, engine=args.engine)  # what is loaded on first use
    found = timed(works[args.part])
    each = found["seconds"] / args.queries
    return found | {"ms_a_query": 1000 * each, "hours_for_400000_queries": each * WHOLE / 3600}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run each part in a process of its own and add the ratios."""
    values: dict[str, Any] = {}
    for part in PARTS:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--part", part], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{part}: {done.stderr}")
        values[part] = json.loads(done.stdout)
    for part in ("search", "ranks"):
        values[part]["over_product"] = values[part]["seconds"] / values["product"]["seconds"]
    return {
        "setting": {key: value for key, value in vars(args).items() if key != "part"},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        **values,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--gallery", type=int, default=WHOLE)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--engine", default="torch", choices=("torch", "faiss", "auto"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    print(json.dumps(measure_part(args) if args.part else measure(args), indent=2))


if __name__ == "__main__":
    main()
