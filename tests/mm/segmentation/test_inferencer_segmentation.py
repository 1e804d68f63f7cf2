"""MMSegmentation's inferencer on DICOM and PNG, against its own function for a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_place.config_files import config_path
from tests.support.source_files import write_dicom

pytest.importorskip("mmseg")

from monai_place.mm.segmentation import RadiographSegInferencer

NAME = "placevit-tiny-frozen_linear_1xb8-2k_phantom-224x224"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    config = Config.fromfile(config_path(NAME))
    init_default_scope("mmseg")
    torch.manual_seed(0)
    state = MODELS.build(config.model).state_dict()
    number = config.model.decode_head.num_classes
    names = {
        "classes": [f"class {index}" for index in range(number)],
        "palette": [[9 * i, 0, 0] for i in range(number)],
    }
    torch.save({"state_dict": state, "meta": {"dataset_meta": names}}, tmp_path / "trained.pth")
    return str(tmp_path / "trained.pth")


def test_a_folder_is_predicted_as_each_file_is_by_the_toolboxes_own_function(weights: str, tmp_path: Path) -> None:
    from mmseg.apis import inference_model, init_model

    images = tmp_path / "images"
    images.mkdir()
    write_dicom(images / "MUELLER_ANNA", 50, 40)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)).save(images / "chest.png")
    inferencer = RadiographSegInferencer(str(config_path(NAME)), weights, device="cpu", show_progress=False)
    out = tmp_path / "out"
    found = inferencer(images, batch_size=2, out_dir=str(out), return_vis=True)
    model = init_model(str(config_path(NAME)), weights, device="cpu")
    for prediction, drawn, name in zip(
        found["predictions"], found["visualization"], ("MUELLER_ANNA", "chest.png"), strict=True
    ):
        expected = inference_model(model, str(images / name)).pred_sem_seg.data[0].numpy()
        assert prediction.shape == drawn.shape[:2] == expected.shape
        assert (prediction == expected).mean() > 0.99  # a batch of two adds up in another order
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert written == [
        "pred/00000000_pred.png",
        "pred/00000001_pred.png",
        "vis/00000000_vis.jpg",
        "vis/00000001_vis.jpg",
    ]
