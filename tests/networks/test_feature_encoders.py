"""Features of PLACE against the model's own, and those of timm against timm's own."""

from __future__ import annotations

import pytest
import timm
import torch

from monai_place.networks.feature_encoders import (
    PLACEFeatureEncoder,
    TimmFeatureEncoder,
    build_timm_encoder,
    check_feature_kind,
)
from tests.networks.models import small_model


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_features_of_place_are_those_that_the_model_uses(pool: str, image: torch.Tensor) -> None:
    model = small_model(image_pool=pool).eval()
    given: list[torch.Tensor] = []
    model.image_projection.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
    expected = model.encode_image(image)
    found = PLACEFeatureEncoder(model).features(image, ["global", "patch_mean", "observations"])
    assert torch.equal(found["global"], given[0])
    assert torch.equal(found["patch_mean"], expected.patch_tokens.mean(dim=1))
    assert torch.equal(found["observations"], expected.observations)
    assert torch.equal(found["global"], found["patch_mean"]) == (pool == "mean")


@pytest.mark.parametrize("kind", ["global", "patch_mean", "observations"])
def test_every_parameter_that_is_kept_gets_a_gradient(kind: str, image: torch.Tensor) -> None:
    encoder = PLACEFeatureEncoder(small_model(), [kind])
    features = encoder(image, kind)
    assert features.shape[-1] == encoder.width(kind)
    (features * torch.randn(features.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    lacking = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    assert not lacking


def test_a_kind_that_was_not_asked_for_is_refused(image: torch.Tensor) -> None:
    encoder = PLACEFeatureEncoder(small_model(), ["global"])
    assert encoder.extractor is None
    with pytest.raises(ValueError, match=r"features are 'observations', expected one of \('global',\)"):
        encoder(image, "observations")
    with pytest.raises(ValueError, match="features are 'cls'"):
        PLACEFeatureEncoder(small_model(), ["cls"])
    with pytest.raises(ValueError, match="features are 'cls'"):
        check_feature_kind("cls")


def test_layers_run_from_the_embedding_to_the_extractor() -> None:
    encoder = PLACEFeatureEncoder(small_model())
    assert encoder.layer_depth("image_encoder.vit.patch_embed.proj.layers.0.weight") == (0, 4)
    assert encoder.layer_depth("image_encoder.vit.blocks.1.mlp.fc1.weight") == (2, 4)
    assert encoder.layer_depth("extractor.queries") == (3, 4)
    assert "image_encoder.vit.pos_embed" in encoder.no_weight_decay() & {name for name, _ in encoder.named_parameters()}


@pytest.mark.parametrize("arch", ["test_vit", "test_resnet", "test_convnext"])
def test_features_of_timm_are_what_its_classifier_is_given(arch: str) -> None:
    encoder = build_timm_encoder(arch, seed=3)
    encoder.eval()
    image = torch.rand(2, 1, 160, 160, generator=torch.Generator().manual_seed(0))
    found = encoder.features(image, ["global", "patch_mean"])
    assert torch.allclose(found["global"], encoder.network(image), atol=1e-6)
    assert found["global"].shape == (2, encoder.width("global"))
    assert found["patch_mean"].shape == (2, encoder.width("patch_mean"))
    last = encoder.network.forward_features(image)
    places = last[:, 1:] if last.ndim == 3 else last.flatten(2).transpose(1, 2)
    assert torch.allclose(found["patch_mean"], places.mean(dim=1), atol=1e-6)
    assert encoder.kinds == ("global", "patch_mean")
    depths = [encoder.layer_depth(f"network.{name}")[0] for name, _ in encoder.network.named_parameters()]
    assert min(depths) == 0
    assert max(depths) == encoder.layer_depth("network.nothing")[0] == encoder.layer_depth("")[1] - 1


def test_a_map_with_channels_last_is_averaged_over_its_places() -> None:
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=12, depths=(1, 1), num_heads=(1, 2),
        in_chans=1, num_classes=0,
    )  # fmt: skip
    encoder = TimmFeatureEncoder(swin.eval())
    image = torch.rand(1, 1, 32, 32)
    found = encoder.features(image, ["global", "patch_mean"])
    assert torch.allclose(found["global"], found["patch_mean"], atol=1e-6), "swin pools by the mean itself"


def test_three_channels_of_weights_are_summed_and_the_classifier_is_dropped() -> None:
    source = timm.create_model("test_resnet", num_classes=7).eval()
    encoder = build_timm_encoder("test_resnet", state=source.state_dict()).eval()
    image = torch.rand(2, 1, 160, 160, generator=torch.Generator().manual_seed(0))
    expected = source.forward_head(source.forward_features(image.expand(-1, 3, -1, -1)), pre_logits=True)
    assert torch.allclose(encoder(image), expected, atol=1e-5)


def test_one_seed_draws_one_network_and_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    one, other, third = (build_timm_encoder("test_vit", image_size=64, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [encoder.network.patch_embed.proj.weight for encoder in (one, other, third)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert one(torch.zeros(1, 1, 64, 64)).shape[0] == 1


def test_weights_that_do_not_fit_are_refused() -> None:
    state = timm.create_model("test_vit", num_classes=7).state_dict()
    with pytest.raises(ValueError, match=r"lack 1 parameters of 'test_vit', such as .*mlp\.fc1\.weight"):
        build_timm_encoder("test_vit", state={k: v for k, v in state.items() if k != "blocks.0.mlp.fc1.weight"})
    with pytest.raises(ValueError, match=r"do not fit 'test_resnet'|lack .* parameters of 'test_resnet'"):
        build_timm_encoder("test_resnet", state=state)
    with pytest.raises(ValueError, match="timm has no network 'vit_of_mine'"):
        build_timm_encoder("vit_of_mine")
