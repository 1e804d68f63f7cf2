"""The fingerprint: the same for the same model wherever it lies, another for whatever changes an embedding."""

from __future__ import annotations

from dataclasses import replace

import torch

from monai_place.inference import load_place
from monai_place.inference.fingerprint import model_fingerprint
from monai_place.preprocess import PreprocessSpec
from tests.support.models import save_tiny_place


def test_the_same_model_in_another_folder_has_the_same_fingerprint(model_folder, loaded, tmp_path):
    save_tiny_place(tmp_path)
    again = load_place(tmp_path)
    again.model.train()  # and changes nothing by it
    assert model_fingerprint(again) == model_fingerprint(loaded) == model_fingerprint(load_place(model_folder))
    assert len(model_fingerprint(loaded)) == 64
    assert model_fingerprint(replace(loaded, classes=("nodule",), metadata={"epoch": 3})) == model_fingerprint(loaded)


def test_a_change_of_one_weight_of_the_preprocessing_or_of_the_tokenizer_is_seen(loaded, model_folder):
    known = model_fingerprint(loaded)
    assert model_fingerprint(replace(loaded, preprocess=PreprocessSpec(image_size=64, std=0.5))) != known

    class Other:
        fingerprint = "another"

    assert model_fingerprint(replace(loaded, tokenizer=Other())) != known
    changed = load_place(model_folder)
    with torch.no_grad():
        weight = changed.model.image_projection.state_dict()[next(iter(changed.model.image_projection.state_dict()))]
        weight.flatten()[0] += 1e-3
    assert model_fingerprint(changed) != known
