"""Pretrained weights of the image encoder: what loads, what is adapted, what is refused. Files are made here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from monai_place.networks import RadiographEncoder
from tests.networks.malicious import save_malicious_checkpoint

ARCH = "vit_tiny_patch16_224"
NARROW = {"embed_dim": 24, "depth": 2, "num_heads": 3}
State = dict[str, torch.Tensor]


def pretrained(*, in_chans: int = 3, img_size: int = 32, num_classes: int = 5, **options: Any) -> nn.Module:
    """Return a timm ViT with a head and three channels, as they are published."""
    arch = options.pop("arch", ARCH)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        sizes = {"in_chans": in_chans, "img_size": img_size, "num_classes": num_classes, **NARROW, **options}
        model = timm.create_model(arch, **sizes)
        for parameter in model.parameters():  # some start as zeros or ones, which would hide what was not loaded
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def encoder(file: Path | str, *, image_size: int = 32, **options: Any) -> RadiographEncoder:
    arch = options.pop("arch", ARCH)
    return RadiographEncoder(arch, image_size=image_size, weights=str(file), kwargs=NARROW, **options).eval()


def image(size: int = 32) -> torch.Tensor:
    return torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(0))


def as_safetensors(state: State, folder: Path) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def as_plain_pt(state: State, folder: Path) -> Path:
    torch.save(state, folder / "weights.pt")
    return folder / "weights.pt"


def as_training_checkpoint(state: State, folder: Path) -> Path:
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, folder / "c.pth")
    return folder / "c.pth"


def as_mae_checkpoint(state: State, folder: Path) -> Path:
    torch.save({"model": {name: value for name, value in state.items() if "head" not in name}}, folder / "mae.pth")
    return folder / "mae.pth"


@pytest.mark.parametrize("save", [as_safetensors, as_plain_pt, as_training_checkpoint, as_mae_checkpoint])
def test_three_channel_weights_see_a_gray_image_as_they_see_it_in_three_channels(
    save: Callable[[State, Path], Path], tmp_path: Path
) -> None:
    reference = pretrained()
    tokens, _ = encoder(save(reference.state_dict(), tmp_path))(image())
    torch.testing.assert_close(tokens, reference.forward_features(image().expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_one_channel_weights_load_as_they_are(tmp_path: Path) -> None:
    reference = pretrained(in_chans=1)
    tokens, _ = encoder(as_safetensors(reference.state_dict(), tmp_path))(image())
    torch.testing.assert_close(tokens, reference.forward_features(image()))


def test_one_channel_weights_see_the_same_in_three_equal_channels(tmp_path: Path) -> None:
    reference = pretrained(in_chans=1)
    tokens, _ = encoder(as_safetensors(reference.state_dict(), tmp_path), in_channels=3)(image().expand(-1, 3, -1, -1))
    torch.testing.assert_close(tokens, reference.forward_features(image()), rtol=1e-4, atol=1e-5)


def test_position_embedding_is_resampled_to_another_image_size(tmp_path: Path) -> None:
    state = pretrained().state_dict()
    place = torch.arange(4.0).view(1, 2, 2, 1).expand(1, 2, 2, 24)  # grows from the first patch to the last
    state["pos_embed"] = torch.cat([torch.zeros(1, 1, 24), place.reshape(1, 4, 24)], dim=1)
    model = encoder(as_safetensors(state, tmp_path), image_size=64)
    grid = model.vit.pos_embed[0, 1:, 0].view(4, 4)
    assert model.vit.pos_embed.shape == (1, 17, 24)
    assert (grid.diff(dim=0) > 0).all()
    assert (grid.diff(dim=1) > 0).all()
    assert model(image(64))[0].isfinite().all()


def test_convolutional_stem_takes_the_place_of_the_pretrained_projection(tmp_path: Path) -> None:
    reference = pretrained()
    model = encoder(as_safetensors(reference.state_dict(), tmp_path), stem="conv")
    torch.testing.assert_close(model.vit.blocks.state_dict(), reference.blocks.state_dict())
    assert model(image())[0].shape == (2, 5, 24)


def test_dinov2_checkpoint_of_the_authors_loads(tmp_path: Path) -> None:
    # Its names are those of the DINOv2 repository: a mask token, and register tokens beside the class token.
    reference = pretrained(arch="vit_small_patch14_reg4_dinov2", img_size=28)
    state = reference.state_dict()
    registers, positions = state.pop("reg_token"), state.pop("pos_embed")
    state |= {
        "register_tokens": registers,
        "mask_token": torch.zeros(1, 24),
        "pos_embed": torch.cat([torch.zeros(1, 1, 24), positions], dim=1),
    }
    model = encoder(as_plain_pt(state, tmp_path), image_size=28, arch="vit_small_patch14_reg4_dinov2")
    tokens, _ = model(image(28))
    expected = reference.forward_features(image(28).expand(-1, 3, -1, -1))
    torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-5)


def test_entries_that_are_not_used_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="monai_place.networks.image"):
        encoder(as_safetensors(pretrained().state_dict(), tmp_path))
    assert "weights.safetensors: ignored 2 entries: ['head." in caplog.text


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = as_safetensors({"conv1.weight": torch.zeros(3)}, tmp_path)
    with pytest.raises(ValueError, match=r"'weights.safetensors' lacks \d+ of the parameters.*it has \['conv1.weight'"):
        encoder(file)


def test_file_of_a_shallower_model_is_refused(tmp_path: Path) -> None:
    state = {name: value for name, value in pretrained().state_dict().items() if not name.startswith("blocks.1.")}
    with pytest.raises(ValueError, match=r"lacks 12 of the parameters of image_arch, such as \['blocks.1.norm1.weight"):
        encoder(as_safetensors(state, tmp_path))


def test_file_of_a_wider_model_is_refused(tmp_path: Path) -> None:
    state = pretrained().state_dict()
    state["norm.weight"] = torch.ones(48)
    with pytest.raises(RuntimeError, match=r"size mismatch for norm.weight.*torch.Size\(\[48\]\)"):
        encoder(as_safetensors(state, tmp_path))


def test_missing_file_raises_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"image_weights 'nothing.pt' is no file; expected") as caught:
        encoder(tmp_path / "nothing.pt")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.safetensors", "weights.bin"])
def test_malicious_checkpoint_is_refused_and_does_not_run(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    save_malicious_checkpoint(tmp_path / name, marker)
    with pytest.raises(Exception, match=r"weights_only=True blocked loading|header"):
        encoder(tmp_path / name)
    assert not marker.exists()


def test_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(RuntimeError, match=r"weights_only=True blocked loading .*torch.nn.modules.linear.Linear"):
        encoder(tmp_path / "module.pt")
