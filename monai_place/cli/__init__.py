"""The command `monai-place`. Exit codes: 0 done, 1 failed, 2 bad usage, 75 stopped and resumable."""

from __future__ import annotations

from monai_place.cli.app import main

__all__ = ["main"]
