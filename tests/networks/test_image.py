"""The image encoder: shapes, architectures, levels, stems, checkpointing, scripting, bad arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.networks import ConvolutionalStem, RadiographEncoder

NARROW = {"embed_dim": 24, "depth": 2, "num_heads": 3}
ARCHITECTURES = [
    # name, image size, prefix tokens (class, distillation, registers), patches
    pytest.param("vit_tiny_patch16_224", 32, 1, 4, id="ViT"),
    pytest.param("deit_tiny_distilled_patch16_224", 32, 2, 4, id="distilled DeiT"),
    pytest.param("vit_little_patch16_reg4_gap_256", 32, 4, 4, id="registers, mean pooling"),
    pytest.param("vit_small_patch14_dinov2", 56, 1, 16, id="DINOv2"),
    pytest.param("vit_small_patch14_reg4_dinov2", 28, 5, 4, id="DINOv2 with registers"),
    pytest.param("vit_base_patch16_siglip_224", 32, 0, 4, id="attention pooling"),
    pytest.param("vit_base_patch16_clip_224", 48, 1, 9, id="norm before the blocks"),
]


def encoder(arch: str = "vit_tiny_patch16_224", image_size: int = 32, **options: Any) -> RadiographEncoder:
    kwargs = {**NARROW, **options.pop("kwargs", {})}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RadiographEncoder(arch, image_size=image_size, kwargs=kwargs, **options)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("arch", "size", "prefix", "patches"), ARCHITECTURES)
def test_architecture_gives_tokens_and_every_parameter_a_gradient(
    arch: str, size: int, prefix: int, patches: int
) -> None:
    model = encoder(arch, size)
    tokens, last = model(images(2, 1, size, size))
    assert tokens.shape == (2, prefix + patches, 24)
    assert (model.prefix_tokens, model.grid[0] * model.grid[1], model.depth) == (prefix, patches, 2)
    assert torch.equal(last, tokens[:, prefix:])
    (tokens * images(*tokens.shape, seed=1)).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(("arch", "size", "prefix", "patches"), ARCHITECTURES)
def test_tokens_of_the_last_block_are_normalized(arch: str, size: int, prefix: int, patches: int) -> None:
    tokens, last = encoder(arch, size).eval()(100 * images(2, 1, size, size))
    torch.testing.assert_close(tokens.mean(dim=2), torch.zeros(2, prefix + patches), rtol=0, atol=1e-4)
    torch.testing.assert_close(last.std(dim=2, correction=0), torch.ones(2, patches), rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("size", "patch", "grid"),
    [
        pytest.param(32, 16, (2, 2), id="32 by 16"),
        pytest.param(48, 16, (3, 3), id="48 by 16"),
        pytest.param(32, 8, (4, 4), id="32 by 8"),
    ],
)
@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grid_follows_from_image_and_patch(
    size: int, patch: int, grid: tuple[int, int], stem: str, channels: int
) -> None:
    model = encoder(image_size=size, stem=stem, in_channels=channels, kwargs={"patch_size": patch})
    tokens, _ = model(images(2, channels, size, size))
    assert (model.grid, model.patch_size) == (grid, patch)
    assert tokens.shape == (2, 1 + grid[0] * grid[1], 24)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_image_need_not_be_square(stem: str) -> None:
    model = encoder(stem=stem, kwargs={"img_size": (32, 64)})
    assert model.grid == (2, 4)
    assert model(images(2, 1, 32, 64))[0].shape == (2, 9, 24)


def test_dynamic_image_size_takes_other_sizes_than_it_was_built_for() -> None:
    model = encoder(kwargs={"dynamic_img_size": True})
    assert model(images(2, 1, 64, 32))[0].shape == (2, 9, 24)


def test_tokens_run_row_by_row() -> None:
    # The token that moves when one patch of the image does tells where it stands.
    model = encoder(image_size=48, kwargs={"depth": 0}).eval()
    image = images(1, 1, 48, 48)
    changed = image.clone()
    changed[:, :, 16:32, 32:48] += 1  # second row, third column
    _, before = model(image, 0)
    _, after = model(changed, 0)
    assert (before - after).abs().amax(dim=2).nonzero()[:, 1].tolist() == [1 * 3 + 2]


def test_level_is_the_block_after_which_the_tokens_are_taken() -> None:
    model = encoder(kwargs={"depth": 3}).eval()
    image = images(2, 1, 32, 32)
    outputs: list[torch.Tensor] = []
    for block in model.vit.blocks:
        block.register_forward_hook(lambda _, __, output: outputs.append(output))
    levels = [model(image, level)[1] for level in (0, 1, 2, 3, -1)]
    assert torch.equal(levels[1], outputs[0][:, 1:])
    assert torch.equal(levels[2], outputs[1][:, 1:])
    assert torch.equal(levels[3], levels[4])
    torch.testing.assert_close(levels[3], model.vit.norm(outputs[2])[:, 1:])
    embedded = model.vit.patch_embed(image) + model.vit.pos_embed[:, 1:]
    torch.testing.assert_close(levels[0], embedded)


@pytest.mark.parametrize("level", [-2, 3])
def test_level_that_is_not_there_raises(level: int) -> None:
    with pytest.raises(ValueError, match=rf"level is {level}, expected -1 to 2"):
        encoder()(images(1, 1, 32, 32), level)


def test_eval_is_deterministic_and_training_drops_paths() -> None:
    model = encoder(kwargs={"drop_path_rate": 0.5}).eval()
    image = images(8, 1, 32, 32)
    assert torch.equal(model(image)[0], model(image)[0])
    model.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.equal(model(image)[0], model(image)[0])


def test_studies_do_not_mix() -> None:
    for stem in ("patch", "conv"):
        model = encoder(stem=stem).eval()
        image = images(3, 1, 32, 32)
        torch.testing.assert_close(model(image)[0][1:2], model(image[1:2])[0])


def test_gradient_checkpointing_computes_blocks_again_and_changes_nothing() -> None:
    image, results = images(2, 1, 32, 32), []
    for enable in (False, True):
        model, calls = encoder(), []
        model.set_grad_checkpointing(enable=enable)
        for block in model.vit.blocks:
            block.attn.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        tokens, _ = model(image)
        tokens.square().mean().backward()
        assert len(calls) == 2 * (1 + enable)
        results.append([tokens.detach(), *(parameter.grad for parameter in model.parameters())])
    for left, right in zip(*results, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("level", [0, 1, -1])
@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_scripted_encoder_gives_the_same_after_a_round_trip_through_a_file(
    stem: str, level: int, tmp_path: Path
) -> None:
    model = encoder(stem=stem).eval()
    torch.jit.script(model).save(tmp_path / "encoder.ts")
    loaded = torch.jit.load(tmp_path / "encoder.ts")
    image = images(3, 1, 32, 32)
    for left, right in zip(loaded(image, level), model(image, level), strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("patch", [2, 4, 8, 16, 32])
def test_stem_halves_the_image_until_the_patch_is_one_cell(patch: int) -> None:
    stem = ConvolutionalStem(1, 40, patch)
    assert stem(images(2, 1, 64, 96)).shape == (2, 40, 64 // patch, 96 // patch)


@pytest.mark.parametrize("patch", [0, 1, 3, 14])
def test_stem_refuses_a_patch_that_is_no_power_of_two(patch: int) -> None:
    with pytest.raises(ValueError, match=f"patch_size is {patch}, a convolutional stem needs a power of two"):
        ConvolutionalStem(1, 40, patch)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        pytest.param("resnet18", "'resnet18', which timm does not build from .*expected a timm VisionTransf", id="CNN"),
        pytest.param("swin_tiny_patch4_window7_224", "a SwinTransformer; expected a timm VisionTransformer", id="Swin"),
        pytest.param("eva02_tiny_patch14_224", "a Eva; expected a timm VisionTransformer", id="EVA"),
        pytest.param("vit_relpos_small_patch16_224", "a VisionTransformerRelPos; expected", id="relative positions"),
        pytest.param("vit_tiny_patch17", "'vit_tiny_patch17', which timm does not have; expected", id="unknown"),
        pytest.param("vit_small_r26_s32_224", "expected .*patches cut from the image itself", id="hybrid"),
    ],
)
def test_architecture_that_is_no_vision_transformer_is_refused(arch: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RadiographEncoder(arch, image_size=224)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_image_size_that_patches_do_not_tile_is_refused(stem: str) -> None:
    with pytest.raises(ValueError, match=r"image_size is \(40, 40\), .*\(2, 2\) patches of side 16.*multiple"):
        encoder(image_size=40, stem=stem)


def test_unknown_stem_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"stem is 'Conv', expected one of \('patch', 'conv'\)"):
        encoder(stem="Conv")


def test_unknown_timm_argument_is_named() -> None:
    with pytest.raises(ValueError, match=r"does not build from .*'widht'"):
        encoder(kwargs={"widht": 3})


def test_image_of_another_size_than_the_encoder_was_built_for_raises() -> None:
    with pytest.raises(AssertionError, match=r"Input height \(48\) doesn't match model \(32\)"):
        encoder()(images(1, 1, 48, 32))
