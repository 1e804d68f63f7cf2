"""All benchmarks at a size that two CPU cores finish in minutes: `make bench`. Ratios against a named reference."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RUNS = {
    "step time, place_small, batch 32, 128 tokens, full recipe": ["--patch-weight", "1"],
    "step time, place_small, batch 32, 128 tokens, without patch alignment": ["--patch-weight", "0"],
}


def main() -> int:
    """Run each benchmark in a process of its own and print its ratios; 1 if one failed."""
    failed = False
    for title, options in RUNS.items():
        command = [sys.executable, str(HERE / "step_time.py"), "--repeats", "5", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            failed = True
            print(f"{title}: failed\n{done.stderr}", file=sys.stderr)
            continue
        found = json.loads(done.stdout)
        for reference, ratio in found["full_over"].items():
            print(f"{title}: full / {reference}: {ratio['median']:.3f} ({ratio['min']:.3f} to {ratio['max']:.3f})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
