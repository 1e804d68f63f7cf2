"""Weights of PLACE on disk: the model folder, the backbone file, strict loading, and fitting to another input.

A model folder holds

| file | what it is |
|---|---|
| `model.pt` | plain state dict of the whole model |
| `backbone.safetensors` | the image encoder alone, keys as in timm's VisionTransformer, with `BackboneMetadata` |
| `tokenizer/` | the tokenizer, as transformers reads it |
| `place.json` | config, preprocessing, classes, version, fingerprint of the tokenizer; written last |
"""

from __future__ import annotations

from monai_place.weights.backbone import BackboneMetadata, read_backbone, write_backbone
from monai_place.weights.fitting import (
    LoadReport,
    adapt_vit_state,
    expand_input_channels,
    load_weights,
    resize_position_embedding,
)
from monai_place.weights.folder import PlaceDescription, read_place_json, save_model_folder
from monai_place.weights.reading import WeightsError, read_safetensors, read_state_dict

__all__ = [
    "BackboneMetadata",
    "LoadReport",
    "PlaceDescription",
    "WeightsError",
    "adapt_vit_state",
    "expand_input_channels",
    "load_weights",
    "read_backbone",
    "read_place_json",
    "read_safetensors",
    "read_state_dict",
    "resize_position_embedding",
    "save_model_folder",
    "write_backbone",
]
