"""MMDetection's inferencer on DICOM and PNG, against its own function for a file; what it writes has no one's name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_place.config_files import config_path
from tests.support.source_files import write_dicom

pytest.importorskip("mmdet")

from monai_place.mm.detection import RadiographDetInferencer

NAME = "placevit-tiny_retinanet_1xb8-2k_phantom-224x224"


@pytest.fixture(scope="module")
def config_and_weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    folder = tmp_path_factory.mktemp("detector")
    config = Config.fromfile(config_path(NAME))
    config.model.test_cfg.score_thr = 0.0
    config.test_dataloader.dataset.pipeline[1].scale = (64, 64)
    config.dump(folder / "config.py")
    init_default_scope("mmdet")
    classes = [f"finding {number}" for number in range(config.model.bbox_head.num_classes)]
    meta = {"dataset_meta": {"classes": classes, "palette": [(0, 0, 0)] * len(classes)}}
    torch.manual_seed(0)
    torch.save({"state_dict": MODELS.build(config.model).state_dict(), "meta": meta}, folder / "trained.pth")
    return str(folder / "config.py"), str(folder / "trained.pth")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write_dicom(folder / "MUELLER_ANNA", 50, 40)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)).save(folder / "chest.png")
    return folder


def test_a_folder_is_predicted_as_each_file_is_by_the_toolboxes_own_function(
    config_and_weights: tuple[str, str], images: Path, tmp_path: Path
) -> None:
    from mmdet.apis import inference_detector, init_detector

    inferencer = RadiographDetInferencer(*config_and_weights, device="cpu", show_progress=False)
    out = tmp_path / "out"
    found = inferencer(str(images), batch_size=2, out_dir=str(out), no_save_pred=False, return_vis=True)
    detector = init_detector(*config_and_weights, device="cpu")
    names = ("MUELLER_ANNA", "chest.png")
    for prediction, name, shape in zip(found["predictions"], names, ((50, 40), (90, 70)), strict=True):
        expected = inference_detector(detector, str(images / name)).pred_instances
        assert len(expected) > 0
        assert np.allclose(prediction["bboxes"], expected.bboxes, atol=1e-3)
        assert np.allclose(prediction["scores"], expected.scores, atol=1e-5)
        assert shape in [picture.shape[:2] for picture in found["visualization"]]
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert written == ["preds/0.json", "preds/1.json", "vis/00000000.jpg", "vis/00000001.jpg"]
    assert json.loads((out / "preds" / "1.json").read_text())["bboxes"] == found["predictions"][1]["bboxes"]
    assert not any(b"MUELLER" in path.read_bytes() for path in out.rglob("*.*"))


def test_whoever_asks_for_samples_is_told_of_which_file(config_and_weights: tuple[str, str], images: Path) -> None:
    inferencer = RadiographDetInferencer(*config_and_weights, device="cpu", show_progress=False)
    (sample,) = inferencer(images / "chest.png", return_datasamples=True)["predictions"]
    assert sample.img_path == str(images / "chest.png")
    (of_array,) = inferencer(np.asarray(Image.open(images / "chest.png")), return_datasamples=True)["predictions"]
    assert torch.equal(of_array.pred_instances.bboxes, sample.pred_instances.bboxes)
