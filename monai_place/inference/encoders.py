"""The encoders that are compared: a run of PLACE, the same network untrained, and networks of timm."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import timm
import torch
from torch import nn

from monai_place.engines.random_state import isolated_random
from monai_place.inference.classifier import image_fields, image_side
from monai_place.inference.loading import find_model_folder, load_place
from monai_place.networks import PLACEConfig, PLACEModel
from monai_place.networks.feature_encoders import FeatureKind, PLACEFeatureEncoder, build_timm_encoder
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import read_place_json, read_state_dict
from monai_place.weights.backbone import compact, hash_tensors

__all__ = ["LoadedEncoder", "load_encoder"]

TIMM = "timm:"
RANDOM = "random"


@dataclass(frozen=True, eq=False)
class LoadedEncoder:
    """An image encoder with all that its features depend on.

    Args:
        network: a `PLACEFeatureEncoder` or a `TimmFeatureEncoder`, in evaluation mode.
        preprocess: how a radiograph becomes its input.
        description: what it was made from, as plain JSON values without paths.
    """

    network: Any
    preprocess: PreprocessSpec
    description: dict[str, Any]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Features that it has."""
        return tuple(self.network.kinds)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.network.parameters()).device

    def fingerprint(self) -> str:
        """Return the SHA-256 (hex) of weights, architecture and preprocessing: equal ones give equal features."""
        state = {key: compact(value) for key, value in self.network.state_dict().items()}
        settings = {**self.description, "preprocess": self.preprocess.to_dict()}
        settings.pop("name", None)
        text = json.dumps(settings, sort_keys=True, allow_nan=False)
        return hash_tensors({**state, "settings": torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)})


def load_encoder(
    checkpoint: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    seed: int = 0,
    kinds: Sequence[str] | None = None,
    device: torch.device | str = "cpu",
) -> LoadedEncoder:
    """Load an encoder to probe or to fine-tune.

    | checkpoint | weights | gives |
    |---|---|---|
    | a run, bundle or model folder | None | the pretrained encoder |
    | the same | `random` | the same network, drawn from `seed` |
    | `timm:ARCH` | a file | a network of timm with the weights of that file |
    | `timm:ARCH` | `timm` | with those that timm names, which are fetched where they are not there |
    | `timm:ARCH` | `random` | drawn from `seed` |

    A network of timm takes one channel: weights of three are summed, and mean and deviation are the averages of its
    own three.

    Args:
        checkpoint: see the table.
        weights: see the table.
        image_size: side of the input of a network of timm; None takes its own. A PLACE model has its own.
        seed: of weights that are drawn.
        kinds: features that will be asked for, so that parts which serve others only are left out; None is all.
        device: where the encoder goes.

    Raises:
        FileNotFoundError: there is no model, or no such file.
        ValueError: the arguments do not fit each other, or the weights do not fit the network.
    """
    name = os.fspath(checkpoint)
    if name.startswith(TIMM):
        loaded = _load_timm(name.removeprefix(TIMM), weights, image_size, seed)
    else:
        if image_size is not None:
            raise ValueError(f"image_size is {image_size}; a PLACE model has its own, only timm's networks take one")
        if weights not in (None, RANDOM):
            raise ValueError(
                f"weights are {Path(weights or '').name!r}, expected None or {RANDOM!r} with a PLACE model"
            )
        loaded = _load_place(Path(name), drawn=weights == RANDOM, seed=seed, kinds=kinds)
    if kinds and (lacking := [kind for kind in kinds if kind not in loaded.kinds]):
        raise ValueError(f"{Path(name).name!r} has no features {lacking}; it has {loaded.kinds}")
    network: nn.Module = loaded.network
    network.to(device).eval()
    return loaded


def _load_place(path: Path, *, drawn: bool, seed: int, kinds: Sequence[str] | None) -> LoadedEncoder:
    folder = find_model_folder(path)
    if drawn:
        description = read_place_json(folder / "place.json")
        preprocess = description.preprocess
        with isolated_random(seed):
            model = PLACEModel(image_side(PLACEConfig.from_dict(description.model)))
    else:
        whole = load_place(folder)
        model, preprocess = whole.model, whole.preprocess
        whole.reading.warn_if_other_than(whole.metadata.get("reading"))  # these take no reader of a team's own
    name = f"{RANDOM} {seed}" if drawn else path.resolve().name
    fields = image_fields(model.config)
    network = PLACEFeatureEncoder(model, kinds or get_args(FeatureKind))
    return LoadedEncoder(network, preprocess, {"name": name, "kind": "place", "config": fields})


def _load_timm(arch: str, weights: str | os.PathLike[str] | None, image_size: int | None, seed: int) -> LoadedEncoder:
    if weights is None:
        raise ValueError(f"weights of {TIMM}{arch} are not given; expected a file, 'timm' or {RANDOM!r}")
    state = None if weights in ("timm", RANDOM) else read_state_dict(weights)
    network = build_timm_encoder(arch, image_size=image_size, state=state, pretrained=weights == "timm", seed=seed)
    config: Any = timm.get_pretrained_cfg(arch)
    side = image_size or network.network.default_cfg["input_size"][-1]
    spec = PreprocessSpec(
        image_size=int(side), mean=sum(config.mean) / len(config.mean), std=sum(config.std) / len(config.std)
    )
    name = f"{arch} {Path(weights).stem if state is not None else weights}"
    return LoadedEncoder(network, spec, {"name": name, "kind": "timm", "arch": arch, "image_size": int(side)})
