from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_place.networks.feature_encoders import PLACEFeatureEncoder, build_timm_encoder
from monai_place.networks.image_classifier import FeatureHead, ImageClassifier, class_probabilities
from tests.networks.models import small_model


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_probabilities_of_a_task() -> None:
    logits = draw(4, 3)
    assert torch.equal(class_probabilities(logits, "multilabel"), logits.sigmoid())
    assert torch.allclose(class_probabilities(logits, "multiclass").sum(1), torch.ones(4))
    assert class_probabilities(logits.bfloat16(), "binary").dtype == torch.float32
    assert class_probabilities(logits.double(), "binary").dtype == torch.float64


def test_a_head_is_a_linear_layer_on_standardized_features() -> None:
    features = draw(50, 4) * torch.tensor([1.0, 10, 0.1, 0]) + torch.tensor([3.0, 0, -1, 0.3])
    head = FeatureHead(4, 2).fit_scale(features)
    scaled = (features - features.mean(0)) / torch.tensor([*features.std(0, correction=0)[:3], 1.0])
    assert torch.allclose(head(features), head.linear(scaled), atol=1e-4)
    assert head.std[3] == 1.0, "a feature that never varies"


def test_attention_is_a_softmax_of_each_class_over_the_observations() -> None:
    head, features = FeatureHead(6, 2, attention=True, seed=1), draw(3, 5, 6)
    assert head.class_queries is not None
    logits = head(features)
    for study in range(3):
        for name in range(2):
            weight = (features[study] @ head.class_queries[name]).softmax(0)
            picked = (weight[:, None] * features[study]).sum(0)
            expected = picked @ head.linear.weight[name] + head.linear.bias[name]
            assert logits[study, name].item() == pytest.approx(expected.item(), abs=1e-5)
    shuffled = features[:, torch.tensor([4, 2, 0, 1, 3])]
    assert torch.allclose(head(shuffled), logits, atol=1e-5), "observations have no order"
    assert head.no_weight_decay() == {"class_queries"}


def test_the_seed_alone_draws_the_head() -> None:
    before = torch.get_rng_state()
    one, other = (FeatureHead(4, 2, attention=True, seed=5).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("attention", "shape"), [(False, (2, 3, 4)), (True, (2, 4))])
def test_features_of_another_shape_are_refused(attention: bool, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"features must be \(B, "):
        FeatureHead(4, 2, attention=attention)(torch.zeros(shape))
    with pytest.raises(ValueError, match="at least 1"):
        FeatureHead(4, 0)


def classifier(**options: object) -> ImageClassifier:
    return ImageClassifier(PLACEFeatureEncoder(small_model(), ["global"]), classes=2, **options)  # type: ignore[arg-type]


def test_a_frozen_encoder_has_no_gradient_and_stays_in_eval() -> None:
    network = classifier(frozen=True).train()
    network(draw(2, 1, 32, 32)).sum().backward()
    assert {name for name, value in network.named_parameters() if value.grad is not None} == {
        "head.linear.weight",
        "head.linear.bias",
    }
    assert network.head.training
    assert not any(module.training for module in network.encoder.modules())


def test_a_whole_network_learns_everywhere() -> None:
    network = classifier().train()
    network(draw(2, 1, 32, 32)).sum().backward()
    assert not [name for name, value in network.named_parameters() if value.grad is None]
    assert network.encoder.training


@pytest.mark.parametrize("batchnorm", ["eval", "train"])
def test_batchnorm_of_a_frozen_encoder_is_still_or_goes_on_as_published(batchnorm: str) -> None:
    # Quirk 6: the published code leaves BatchNorm of a frozen R50 in train mode.
    network = ImageClassifier(build_timm_encoder("test_resnet"), classes=2, frozen=True, batchnorm=batchnorm)  # type: ignore[arg-type]
    norms = [module for module in network.encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    before = norms[0].running_mean.clone()
    image = draw(4, 1, 64, 64)
    with torch.no_grad():
        alone, together = network.train()(image[:1]), network(image)[:1]
    moved = not torch.equal(norms[0].running_mean, before)
    depends = not torch.allclose(alone, together, atol=1e-4)
    assert (moved, depends) == ((True, True) if batchnorm == "train" else (False, False))
    network.eval()
    assert not any(norm.training for norm in norms), "a validation uses the averages in either mode"


def test_batchnorm_makes_no_difference_to_a_transformer() -> None:
    image = draw(2, 1, 32, 32)
    assert torch.equal(classifier(frozen=True, batchnorm="train").train()(image), classifier(frozen=True)(image))


def test_the_head_is_one_layer_above_the_encoder() -> None:
    network = classifier()
    assert network.layer_depth("head.linear.weight") == (4, 5)
    assert network.layer_depth("encoder.image_encoder.vit.norm.weight") == (3, 5)
    assert network.layer_depth("encoder.image_encoder.vit.pos_embed") == (0, 5)


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="batchnorm is 'off'"):
        classifier(batchnorm="off")
    with pytest.raises(ValueError, match=r"features are 'observations', this encoder has \('global', 'patch_mean'\)"):
        ImageClassifier(build_timm_encoder("test_vit"), kind="observations", classes=2)
