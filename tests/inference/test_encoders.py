from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from monai_place.inference.encoders import load_encoder
from monai_place.inference.loading import load_place
from tests.support.models import save_tiny_place


def image(side: int = 64) -> torch.Tensor:
    return torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))


def test_a_run_gives_its_pretrained_encoder(model_folder: Path) -> None:
    encoder, place = load_encoder(model_folder), load_place(model_folder)
    expected = place.model.encode_image(image())
    assert torch.equal(encoder.network(image(), "observations"), expected.observations)
    assert encoder.preprocess == place.preprocess
    assert encoder.kinds == ("global", "patch_mean", "observations")
    assert not encoder.network.training
    assert str(model_folder.parent) not in str(encoder.description)


def test_the_same_network_untrained_depends_on_the_seed_alone(model_folder: Path) -> None:
    before = torch.get_rng_state()
    one, other, third = (load_encoder(model_folder, weights="random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.fingerprint() == other.fingerprint() != third.fingerprint()
    own = load_encoder(model_folder)
    assert own.fingerprint() != one.fingerprint()
    assert own.network.state_dict().keys() == one.network.state_dict().keys()
    assert one.description["name"] == "random 1"


def test_a_network_of_timm_takes_the_weights_of_a_file(tmp_path: Path) -> None:
    source = timm.create_model("test_vit", num_classes=5).eval()
    torch.save(source.state_dict(), tmp_path / "mine.pth")
    encoder = load_encoder("timm:test_vit", weights=tmp_path / "mine.pth")
    expected = source.forward_head(source.forward_features(image(160).expand(-1, 3, -1, -1)), pre_logits=True)
    assert torch.allclose(encoder.network(image(160)), expected, atol=1e-5)
    assert encoder.preprocess.image_size == 160
    assert (encoder.preprocess.mean, encoder.preprocess.std) == (0.5, 0.5)
    assert encoder.description["name"] == "test_vit mine"
    small = load_encoder("timm:test_vit", weights=tmp_path / "mine.pth", image_size=64)
    assert small.preprocess.image_size == 64
    assert small.network(image()).shape == (2, small.network.width("global"))


def test_the_fingerprint_changes_with_whatever_changes_features(tmp_path: Path, model_folder: Path) -> None:
    save_tiny_place(tmp_path / "same")
    save_tiny_place(tmp_path / "cropped", resize_rule="crop")
    save_tiny_place(tmp_path / "pooled", image_pool="cls")
    save_tiny_place(tmp_path / "seeded", seed=1)
    found = {name: load_encoder(tmp_path / name).fingerprint() for name in ("same", "cropped", "pooled", "seeded")}
    assert found["same"] == load_encoder(model_folder).fingerprint(), "the folder's name is no part of it"
    assert len(set(found.values())) == 4


def test_kinds_that_are_not_asked_for_are_left_out(model_folder: Path) -> None:
    assert load_encoder(model_folder, kinds=["global"]).network.extractor is None
    with pytest.raises(ValueError, match=r"has no features \['observations'\]; it has \('global', 'patch_mean'\)"):
        load_encoder("timm:test_vit", weights="random", kinds=["observations"])


def test_arguments_that_do_not_fit_are_refused(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weights of timm:test_vit are not given; expected a file, 'timm' or 'random'"):
        load_encoder("timm:test_vit")
    with pytest.raises(ValueError, match=r"weights are 'a.pth', expected None or 'random' with a PLACE model"):
        load_encoder(model_folder, weights="somewhere/a.pth")
    with pytest.raises(ValueError, match="image_size is 64; a PLACE model has its own"):
        load_encoder(model_folder, image_size=64)
    with pytest.raises(ValueError, match="timm has no network 'resnet9000'"):
        load_encoder("timm:resnet9000", weights="random")
    with pytest.raises(FileNotFoundError, match=r"'gone.pth' does not exist"):
        load_encoder("timm:test_vit", weights=tmp_path / "gone.pth")
    with pytest.raises(FileNotFoundError, match="does not exist; expected a model folder"):
        load_encoder(tmp_path / "gone")
