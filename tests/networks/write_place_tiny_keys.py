"""Parameters of place_tiny by name and shape, one a line; tests/networks/place_tiny_keys.txt holds them.

A checkpoint loads only where they are the same. After a change that is meant, write them again and say in the change
log that older checkpoints do not load:

    python -m tests.networks.write_place_tiny_keys
"""

from __future__ import annotations

from pathlib import Path

from monai_place.networks import PLACEModel, place_preset

__all__ = ["KEYS", "place_tiny_keys"]

KEYS = Path(__file__).with_name("place_tiny_keys.txt")


def place_tiny_keys() -> list[str]:
    state = PLACEModel(place_preset("place_tiny")).state_dict()
    return [f"{name} {tuple(value.shape)}" for name, value in state.items()]


if __name__ == "__main__":
    KEYS.write_text("\n".join(place_tiny_keys()) + "\n", encoding="utf-8")
