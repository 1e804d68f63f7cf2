"""PLACEViT: shapes, weights from everywhere, equality with the encoder of MONAI's side, freezing, windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict

from monai_place.mm import PLACEViT
from monai_place.networks import RadiographEncoder
from monai_place.weights import WeightsError, adapt_vit_state, resize_position_embedding
from tests.support.models import save_tiny_place, tiny_place

KWARGS = {"embed_dim": 48, "depth": 3, "num_heads": 2}


def backbone(**options: Any) -> PLACEViT:
    """Return a backbone with weights that depend on nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PLACEViT(**{"arch": "place_tiny", "img_size": 64, "arch_kwargs": KWARGS, **options})


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of the bundle with two pretrained blocks, patches of 16 at 64 pixels."""
    folder = tmp_path_factory.mktemp("run")
    save_tiny_place(folder / "models", image_kwargs={"embed_dim": 48, "depth": 2, "num_heads": 2})
    return folder


@pytest.mark.parametrize(
    ("options", "size", "shapes"),
    [
        pytest.param({}, (64, 64), [(4, 4)], id="native size"),
        pytest.param({"out_indices": (0, 2)}, (64, 64), [(4, 4), (4, 4)], id="two levels"),
        pytest.param({"out_indices": [2, 0, -2]}, (64, 64), [(4, 4)] * 3, id="in the order asked for"),
        pytest.param({}, (96, 32), [(6, 2)], id="not square"),
        pytest.param({}, (65, 31), [(5, 2)], id="padded to whole patches"),
        pytest.param({"img_size": (32, 80)}, (32, 80), [(2, 5)], id="built for another size"),
        pytest.param({"window_size": 2}, (80, 48), [(5, 3)], id="windows"),
        pytest.param({"with_cp": True}, (64, 64), [(4, 4)], id="checkpointing"),
        pytest.param({"norm_out": False}, (64, 64), [(4, 4)], id="without the last norm"),
        pytest.param({"stem": "patch"}, (64, 64), [(4, 4)], id="patch stem"),
        pytest.param({"in_channels": 1}, (64, 64), [(4, 4)], id="one channel"),
        pytest.param({"drop_path_rate": 0.3}, (64, 64), [(4, 4)], id="stochastic depth"),
    ],
)
def test_maps_have_the_promised_shapes_and_every_parameter_gets_a_gradient(
    options: dict[str, Any], size: tuple[int, int], shapes: list[tuple[int, int]]
) -> None:
    model = backbone(**options)
    maps = model(noise(2, options.get("in_channels", 3), *size))
    assert [tuple(level.shape) for level in maps] == [(2, 48, *shape) for shape in shapes]
    sum(level.square().mean() for level in maps).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient for {name}"
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"])
def test_any_vit_of_timm_serves(name: str) -> None:
    model = PLACEViT(name, img_size=112, arch_kwargs={"depth": 2}, window_size=2)
    side = -(-60 // model.patch_size)
    assert model(noise(1, 3, 60, 60))[0].shape == (1, model.embed_dim, side, side)


@pytest.mark.parametrize("size", [pytest.param((64, 64), id="native"), pytest.param((48, 96), id="not square")])
def test_maps_equal_the_patch_tokens_of_the_pretrained_encoder(run: Path, size: tuple[int, int]) -> None:
    model = PLACEViT(bundle=str(run), out_indices=(0, 1)).eval()
    pretrained = tiny_place(image_kwargs={"embed_dim": 48, "depth": 2, "num_heads": 2})
    encoder = RadiographEncoder(  # of MONAI's side, built for this size
        "vit_tiny_patch16_224", image_size=size, stem="conv", kwargs={"embed_dim": 48, "depth": 2, "num_heads": 2}
    ).eval()
    encoder.vit.load_state_dict(adapt_vit_state(pretrained.image_encoder.vit.state_dict(), encoder.vit))
    image = noise(2, 1, *size)
    tokens, (early, last) = encoder.forward_levels(image, [1, -1])
    maps = model(image.expand(-1, 3, -1, -1))
    for level, expected in zip(maps, (early, last), strict=True):
        torch.testing.assert_close(level.flatten(2).transpose(1, 2), expected, rtol=0, atol=1e-5)
    assert torch.equal(tokens[:, 1:], last)
    assert not torch.allclose(maps[0], maps[1])


def test_order_of_the_channels_of_a_gray_image_does_not_matter(run: Path) -> None:
    three, one = PLACEViT(bundle=str(run)).eval(), PLACEViT(bundle=str(run), in_channels=1).eval()
    image = noise(1, 1, 64, 64)
    rgb = image.expand(-1, 3, -1, -1)
    torch.testing.assert_close(three(rgb)[0], one(image)[0], rtol=0, atol=1e-5)
    assert torch.equal(three(rgb.flip(1))[0], three(rgb)[0])


@pytest.mark.parametrize("file", ["models/backbone.safetensors", "models/model.pt", ""])
def test_every_spelling_of_the_weights_gives_the_same_maps(run: Path, file: str) -> None:
    expected = PLACEViT(bundle=str(run)).eval()
    model = PLACEViT(
        "place_tiny",
        img_size=64,
        arch_kwargs={"embed_dim": 48, "depth": 2, "num_heads": 2},
        init_cfg={"type": "Pretrained", "checkpoint": str(run / file)},
    ).eval()
    image = noise(1, 3, 64, 64)
    assert not torch.allclose(model(image)[0], expected(image)[0])  # weights arrive with init_weights, as in MMEngine
    model.init_weights()
    assert torch.equal(model(image)[0], expected(image)[0])


def test_weights_of_a_trained_detector_serve_as_a_start(run: Path, tmp_path: Path) -> None:
    trained = PLACEViT(bundle=str(run)).eval()
    state = {f"backbone.{key}": value for key, value in trained.state_dict().items()}
    torch.save({"state_dict": {**state, "head.weight": torch.ones(1)}}, tmp_path / "epoch_1.pth")
    model = PLACEViT(
        img_size=64,
        arch="place_tiny",
        arch_kwargs={"embed_dim": 48, "depth": 2, "num_heads": 2},
        init_cfg={"type": "Pretrained", "checkpoint": str(tmp_path / "epoch_1.pth")},
    ).eval()
    model.init_weights()
    assert torch.equal(model(noise(1, 3, 64, 64))[0], trained(noise(1, 3, 64, 64))[0])


@pytest.mark.parametrize("load", [pytest.param("torch", id="torch"), pytest.param("mmengine", id="MMEngine")])
def test_checkpoint_of_another_image_size_loads_with_its_positions_resampled(load: str) -> None:
    trained, larger = backbone(), backbone(img_size=(96, 128))
    torch.nn.init.normal_(trained.vit.pos_embed)
    state = {f"module.backbone.{key}": value for key, value in trained.state_dict().items()}
    model = torch.nn.ModuleDict({"module": torch.nn.ModuleDict({"backbone": larger})})
    if load == "torch":
        model.load_state_dict(state)
    else:
        load_state_dict(model, state, strict=True)
    expected = resize_position_embedding(trained.vit.pos_embed.detach(), (6, 8))
    torch.testing.assert_close(larger.vit.pos_embed.detach(), expected, rtol=0, atol=0)
    assert state["module.backbone.vit.pos_embed"].shape == (1, 17, 48)


def test_checkpoint_of_another_width_is_no_matter_of_the_image_size() -> None:
    with pytest.raises(RuntimeError, match=r"size mismatch for vit\.pos_embed"):
        backbone().load_state_dict(backbone(arch_kwargs={**KWARGS, "embed_dim": 64}, img_size=96).state_dict())


def test_checkpoint_of_the_backbone_itself_loads_as_it_is() -> None:
    model, other = backbone(img_size=(32, 80)), backbone(img_size=(32, 80))
    with torch.no_grad():
        model.vit.pos_embed.add_(1)
    assert not other.load_state_dict(model.state_dict(), strict=True).missing_keys
    image = noise(1, 3, 32, 80)
    assert torch.equal(model.eval()(image)[0], other.eval()(image)[0])


@pytest.mark.parametrize("size", [(128, 32), (96, 32)])  # 8 x 2 patches, as many as 4 x 4, and 6 x 2
def test_a_checkpoint_of_an_image_that_is_not_square_loads_back(size: tuple[int, int], tmp_path: Path) -> None:
    trained = backbone(img_size=size)
    torch.nn.init.normal_(trained.vit.pos_embed)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "epoch_1.pth")
    model = backbone(img_size=size, init_cfg={"type": "Pretrained", "checkpoint": str(tmp_path / "epoch_1.pth")})
    model.init_weights()
    assert torch.equal(model.vit.pos_embed, trained.vit.pos_embed)


def test_square_weights_of_a_bundle_are_resampled_to_as_many_patches(run: Path) -> None:
    square, flat = PLACEViT(bundle=str(run)), PLACEViT(bundle=run, img_size=(128, 32))
    expected = resize_position_embedding(square.vit.pos_embed, (8, 2), source_grid=(4, 4))
    assert torch.equal(flat.vit.pos_embed, expected)


def test_weights_that_do_not_fit_raise_and_name_their_architecture(run: Path) -> None:
    model = backbone(
        arch_kwargs={**KWARGS, "embed_dim": 64}, init_cfg={"type": "Pretrained", "checkpoint": str(run / "models")}
    )
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"of another shape: .*expected .*weights of arch='vit_tiny_patch16_224'"):
        model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_fewer_blocks_take_the_first_of_the_pretrained_ones(run: Path) -> None:
    model, whole = PLACEViT(bundle=str(run), out_indices=0), PLACEViT(bundle=str(run), out_indices=(0, 1))
    assert len(model.vit.blocks) == 1
    image = noise(1, 3, 64, 64)
    assert torch.equal(model.eval()(image)[0], whole.eval()(image)[0])


@pytest.mark.parametrize(("stages", "blocks", "norm"), [(-1, 0, False), (0, 0, False), (2, 2, False), (3, 3, True)])
def test_frozen_parts_get_no_gradient_and_stay_in_eval(stages: int, blocks: int, norm: bool) -> None:
    model = backbone(frozen_stages=stages, drop_path_rate=0.5).train()
    for index, block in enumerate(model.vit.blocks):
        assert block.training == (index >= blocks)
        assert all(parameter.requires_grad == (index >= blocks) for parameter in block.parameters())
    embedded = [model.vit.pos_embed, model.vit.cls_token, *model.vit.patch_embed.parameters()]
    assert all(parameter.requires_grad == (stages < 0) for parameter in embedded)
    assert all(parameter.requires_grad != norm for parameter in model.vit.norm.parameters())


def test_checkpointing_changes_neither_maps_nor_gradients() -> None:
    plain, spared = backbone(), backbone(with_cp=True)
    image = noise(1, 3, 64, 64)
    for model in (plain, spared):
        model(image)[0].square().sum().backward()
    for (name, one), (_, other) in zip(plain.named_parameters(), spared.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)


def test_a_window_over_the_whole_image_is_attention_over_the_whole_image() -> None:
    image = noise(2, 3, 48, 80)
    whole, windows = backbone().eval(), backbone(window_size=8, global_blocks=()).eval()
    assert torch.equal(whole(image)[0], windows(image)[0])


def test_windows_hide_what_is_far_and_a_global_block_shows_it() -> None:
    image = noise(1, 3, 64, 64)
    changed = image.clone()
    changed[..., 48:, 48:] += 1
    # Class tokens and the group norms of the convolutional stem see the whole image; neither takes part here.
    local: dict[str, Any] = {"stem": "patch", "arch_kwargs": {**KWARGS, "class_token": False, "global_pool": "avg"}}
    blind = backbone(window_size=2, global_blocks=(), **local).eval()
    near = blind(changed)[0] - blind(image)[0]
    assert near[..., :2, :2].abs().max() == 0
    assert near[..., 2:, 2:].abs().max() > 0
    seeing = backbone(window_size=2, global_blocks=(1,), **local).eval()
    assert (seeing(changed)[0] - seeing(image)[0])[..., :2, :2].abs().max() > 0


def test_same_seed_gives_the_same_maps_and_eval_is_deterministic() -> None:
    one, other = backbone(drop_path_rate=0.5).eval(), backbone(drop_path_rate=0.5).eval()
    image = noise(1, 3, 64, 64)
    assert torch.equal(one(image)[0], other(image)[0])
    assert torch.equal(one(image)[0], one(image)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"out_indices": 3}, r"out_indices is \(3,\), expected -3 to 2", id="no such block"),
        pytest.param({"out_indices": (2, -1)}, "names a block twice", id="block named twice"),
        pytest.param({"out_indices": ()}, "out_indices is empty", id="no output"),
        pytest.param({"frozen_stages": 4}, "frozen_stages is 4, expected -1 to 3", id="too many frozen"),
        pytest.param({"window_size": -1}, "window_size is -1", id="negative window"),
        pytest.param({"global_blocks": (7,)}, r"global_blocks is \(7,\)", id="no such global block"),
        pytest.param({"out_indices": "3"}, r"out_indices is \('3',\), expected -3 to 2", id="text for a block"),
        pytest.param({"out_indices": 1.0}, r"out_indices is \(1.0,\), expected -3 to 2", id="fraction of a block"),
        pytest.param({"img_size": (64,)}, r"img_size is \(64,\), expected \(H, W\) or the side", id="one side"),
        pytest.param({"img_size": "64"}, "img_size is '64', expected", id="text for a size"),
        pytest.param({"img_size": 0}, "img_size is 0, expected", id="no pixel"),
        pytest.param({"drop_path_rate": 1.5}, "drop_path_rate is 1.5, expected at least 0 and below 1", id="all paths"),
        pytest.param({"drop_path_rate": -1}, "drop_path_rate is -1, expected at least 0", id="negative drop"),
        pytest.param({"drop_path_rate": "0.1"}, "drop_path_rate is '0.1', expected at least 0", id="text for a rate"),
        pytest.param({"in_channels": 0}, "in_channels is 0, expected at least 1", id="no channel"),
        pytest.param({"frozen_stages": 1.5}, "frozen_stages is 1.5, expected -1 to 3", id="part of a block frozen"),
        pytest.param({"window_size": "2"}, "window_size is '2', expected at least 0", id="text for a window"),
        pytest.param({"stem": "Conv"}, r"stem is 'Conv', expected one of \('patch', 'conv'\)", id="no such stem"),
        pytest.param(
            {"pretrained": "open-mmlab://resnet50_v1c"}, "expected None: set pretrained=None in the model", id="URL"
        ),
        pytest.param({"arch": "resnet50"}, "expected a timm VisionTransformer", id="no ViT"),
    ],
)
def test_bad_argument_raises(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backbone(**options)


def test_second_call_of_init_weights_changes_nothing(run: Path) -> None:
    model = PLACEViT(bundle=run, init_cfg={"type": "Pretrained", "checkpoint": str(run / "models" / "model.pt")})
    model.init_weights()
    torch.nn.init.ones_(model.vit.pos_embed)  # trained in between
    model.init_weights()
    assert bool((model.vit.pos_embed == 1).all())


def test_distilled_vit_of_timm_is_frozen_whole_and_its_token_lies_with_the_embedding() -> None:
    model = PLACEViT("deit_tiny_distilled_patch16_224", img_size=32, arch_kwargs={"depth": 1}, frozen_stages=1)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.get_layer_depth("vit.dist_token") == (0, 3)


def test_other_kinds_of_init_cfg_are_refused() -> None:
    with pytest.raises(ValueError, match="init_cfg type is 'Xavier', expected 'Pretrained'"):
        backbone(init_cfg={"type": "Xavier"}).init_weights()
    with pytest.raises(ValueError, match="init_cfg has no checkpoint, expected a file"):
        backbone(init_cfg={"type": "Pretrained"}).init_weights()


@pytest.mark.parametrize(
    ("name", "prefix", "depth"),
    [
        ("backbone.vit.pos_embed", "backbone.", 0),
        ("backbone.vit.patch_embed.proj.layers.0.weight", "backbone.", 0),
        ("backbone.vit.blocks.0.attn.qkv.weight", "backbone.", 1),
        ("backbone.vit.blocks.2.norm1.bias", "backbone.", 3),
        ("backbone.vit.norm.weight", "backbone.", 4),
        ("decode_head.conv.weight", "backbone.", 4),
        ("vit.blocks.1.mlp.fc1.bias", "", 2),
    ],
)
def test_depth_of_a_parameter_grows_from_the_image_to_the_head(name: str, prefix: str, depth: int) -> None:
    assert backbone().get_layer_depth(name, prefix) == (depth, 5)
