"""Exported files: the same answers as the network, whole or absent."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from monai_place.inference import (
    PLACEFindingClassifier,
    build_classifier,
    export_backbone,
    export_classifier,
    export_onnx,
    export_torchscript,
)
from monai_place.inference import export as export_module
from monai_place.weights import WeightsError, read_backbone, read_state_dict
from tests.support.models import CLASSES

IMAGES = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def expected(loaded):
    with torch.no_grad():
        return build_classifier(loaded)(IMAGES)


def test_the_backbone_is_the_model_s_own(tmp_path, model_folder):
    file = export_backbone(model_folder, tmp_path / "out" / "b.safetensors")
    state, metadata = read_backbone(file)
    original, _ = read_backbone(model_folder / "backbone.safetensors")
    assert metadata.arch == "vit_tiny_patch16_224"
    assert all(torch.equal(state[key], original[key]) for key in original)


def test_a_damaged_backbone_is_not_handed_on(tmp_path, model_folder):
    import shutil

    copy = shutil.copytree(model_folder, tmp_path / "copy")
    data = bytearray((copy / "backbone.safetensors").read_bytes())
    data[-9] ^= 1
    (copy / "backbone.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="corrupt"):
        export_backbone(copy, tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


def test_a_torchscript_program_runs_in_a_process_without_this_package(tmp_path, model_folder, expected):
    file = export_torchscript(model_folder, tmp_path / "a.ts")
    program = f"""
import sys, torch
sys.modules["monai_place"] = None
extra = {{"place.json": ""}}
network = torch.jit.load({str(file)!r}, _extra_files=extra)
images = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(5))
import json
print(json.dumps([network(images).double().tolist(), json.loads(extra["place.json"])]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, cwd="/", check=True
    )
    values, description = json.loads(done.stdout)
    assert np.allclose(values, expected.numpy(), atol=1e-4)
    assert description["classes"] == list(CLASSES)
    assert description["preprocess"]["image_size"] == 64
    assert "Not a medical device" in description["note"]


@pytest.mark.slow
def test_an_onnx_program_gives_the_network_s_answers_for_any_batch(tmp_path, model_folder, expected):
    import onnxruntime

    session = onnxruntime.InferenceSession(export_onnx(model_folder, tmp_path / "a.onnx"))
    for batch in (1, 3):
        (found,) = session.run(None, {"image": IMAGES[:batch].numpy()})
        assert np.allclose(found, expected[:batch].numpy(), atol=1e-4)
    description = json.loads(session.get_modelmeta().custom_metadata_map["place.json"])
    assert description["classes"] == list(CLASSES)


def test_a_program_that_differs_is_not_written(tmp_path, model_folder, monkeypatch):
    monkeypatch.setattr(export_module, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match=r"a\.ts: differs from the network by"):
        export_torchscript(model_folder, tmp_path / "a.ts")
    assert not list(tmp_path.iterdir())


def test_the_classifier_s_state_dict_fits_the_arguments_that_come_with_it(tmp_path, model_folder, expected):
    arguments = export_classifier(model_folder, tmp_path / "model.pt")
    network = PLACEFindingClassifier(**json.loads(json.dumps(arguments))).eval()
    network.load_state_dict(read_state_dict(tmp_path / "model.pt"), strict=True)
    with torch.no_grad():
        assert torch.equal(network(IMAGES), expected)
    assert torch.load(tmp_path / "model.pt", weights_only=True).keys() == network.state_dict().keys()


def test_findings_and_mode_can_be_chosen(tmp_path, model_folder):
    arguments = export_classifier(model_folder, tmp_path / "model.pt", findings=["emphysema"], mode="global")
    assert (arguments["classes"], arguments["mode"]) == (["emphysema"], "global")


@pytest.mark.parametrize(
    ("function", "suffix"),
    [
        (export_backbone, ".safetensors"),
        (export_torchscript, ".ts or .pt"),
        (export_onnx, ".onnx"),
        (export_classifier, ".pt"),
    ],
)
def test_another_suffix_is_refused(tmp_path, model_folder, function, suffix):
    with pytest.raises(ValueError, match=f"'a.bin' must end in {suffix}"):
        function(model_folder, tmp_path / "a.bin")
