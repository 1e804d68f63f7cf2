"""All benchmarks at a size that two CPU cores finish in minutes: `make bench`. Ratios against a named reference."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# title -> script and options
RUNS = {
    "step time, place_small, full recipe": ["step_time.py", "--repeats", "5", "--patch-weight", "1"],
    "step time, place_small, without patch alignment": ["step_time.py", "--repeats", "5", "--patch-weight", "0"],
    "backbone, place_small": ["mm_backbone.py"],
    "operators, stand-in over compiled": ["mm_ops.py"],
    "reading": ["data_reading.py", "reading"],
    "converting": ["data_reading.py", "conversion"],
}


def ratios(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield what each ratio of a benchmark is, and its median and spread."""
    for reference, ratio in found.get("full_over", {}).items():
        yield f"full / {reference}", ratio
    for case, values in found.get("cases", {}).items():
        yield case, values.get("ratio") or values["stand_in_over_compiled"]


def main() -> int:
    """Run each benchmark in a process of its own and print its ratios; 1 if one failed."""
    failed = False
    for title, (script, *options) in RUNS.items():
        command = [sys.executable, str(HERE / script), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            failed = True
            print(f"{title}: failed\n{done.stderr}", file=sys.stderr)
            continue
        for name, ratio in ratios(json.loads(done.stdout)):
            print(f"{title}: {name}: {ratio['median']:.3f} ({ratio['min']:.3f} to {ratio['max']:.3f})", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
