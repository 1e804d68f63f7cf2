"""A checkpoint that would run code if it were unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

__all__ = ["save_malicious_checkpoint"]


class TouchOnLoad:
    """Unpickled without care, this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def save_malicious_checkpoint(file: Path, marker: Path) -> None:
    """Write a checkpoint whose loading would make the file `marker`."""
    torch.save({"state_dict": {"cls_token": TouchOnLoad(marker)}}, file)
