from __future__ import annotations

import pytest
import torch

from monai_place.losses import ReportTokenLoss
from monai_place.networks import ReportGenerator
from tests.support.generators import tiny_generator, tiny_generator_config
from tests.support.models import tiny_place


def batch(size=2, tokens=9, pad=2):
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(size, tokens, dtype=torch.bool)
    mask[0, tokens - pad :] = False
    return {
        "image": torch.rand(size, 1, 64, 64, generator=generator),
        "input_ids": torch.randint(5, 40, (size, tokens), generator=generator),
        "attention_mask": mask,
        "target_start": torch.tensor([2] * size),
    }


@pytest.mark.parametrize("decoder", ["bert", "gpt2"])
@pytest.mark.parametrize("tokens", ["both", "patches", "observations"])
def test_shapes_and_what_is_learnt(decoder, tokens):
    generator = tiny_generator(decoder=decoder, image_tokens=tokens)
    output = generator(batch())
    assert output.logits.shape == (2, 9, generator.config.vocab_size)
    assert output.target_mask.tolist() == [[False] * 2 + [True] * 5 + [False] * 2, [False] * 2 + [True] * 7]
    expected = {"both": 16 + 5, "patches": 16, "observations": 5}[tokens]
    assert generator.image_memory(batch()).shape == (2, expected, 32)


@pytest.mark.parametrize("train_encoder", [False, True])
@pytest.mark.parametrize("tokens", ["both", "patches"])
def test_every_parameter_that_is_trained_gets_a_gradient_and_no_other(train_encoder, tokens):
    generator = tiny_generator(train_encoder=train_encoder, image_tokens=tokens).train()
    ReportTokenLoss()(generator(batch()))["loss"].backward()
    for name, parameter in generator.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        frozen = name.startswith("place.") and not (
            train_encoder
            and name.startswith(("place.image_encoder", "place.extractor")[: 2 if tokens == "both" else 1])
        )
        assert parameter.requires_grad != frozen, name


def test_frozen_encoder_stays_in_evaluation_mode():
    generator = tiny_generator().train()
    assert generator.decoder.training
    assert not any(module.training for module in generator.place.modules())
    assert tiny_generator(train_encoder=True).train().place.training


def test_features_that_were_computed_before_give_the_same():
    generator, data = tiny_generator(), batch()
    features = generator.encode_image(data["image"])
    cached = {**data, "patch_tokens": features.patch_tokens, "observations": features.observations}
    del cached["image"]
    torch.testing.assert_close(generator(cached).logits, generator(data).logits)


def test_padding_and_later_tokens_do_not_change_what_stands_before():
    generator, data = tiny_generator(), batch()
    logits = generator(data).logits
    short = {**data, "input_ids": data["input_ids"][:, :6], "attention_mask": data["attention_mask"][:, :6]}
    torch.testing.assert_close(generator(short).logits, logits[:, :6], rtol=1e-4, atol=1e-5)


def test_the_image_matters():
    generator, data = tiny_generator(), batch()
    assert not torch.allclose(generator(data).logits[0], generator({**data, "image": data["image"].flip(0)}).logits[0])


@pytest.mark.parametrize("decoder", ["bert", "gpt2"])
def test_cross_attention_is_that_of_the_step_that_wrote_the_token(decoder):
    generator, data = tiny_generator(decoder=decoder), batch(1)
    memory = generator.image_memory(data)
    patches, observations = generator.cross_attention(memory, data["input_ids"][0].tolist())
    assert (patches.shape, observations.shape) == ((9, 16), (9, 5))
    assert patches[0].isnan().all()
    total = patches[1:].sum(1) + observations[1:].sum(1)
    torch.testing.assert_close(total, torch.ones(8))
    # Row t depends on the tokens before t alone.
    changed = data["input_ids"][0].tolist()[:4] + [7] * 5
    again = generator.cross_attention(memory, changed)[0]
    torch.testing.assert_close(again[:5], patches[:5], equal_nan=True)
    assert not torch.allclose(again[5], patches[5])
    assert generator.decoder.config._attn_implementation != "eager"


def test_evaluation_is_deterministic_and_strict_loading_restores_it(tmp_path):
    generator, data = tiny_generator(), batch()
    other = ReportGenerator(generator.config.to_dict()).eval()
    other.load_state_dict(generator.state_dict(), strict=True)
    assert torch.equal(other(data).logits, generator(data).logits)


def test_a_place_of_other_sizes_is_refused():
    with pytest.raises(ValueError, match="other sizes"):
        ReportGenerator(tiny_generator_config(), place=tiny_place(queries=7))


def test_a_missing_key_is_named():
    with pytest.raises(KeyError, match="lacks 'input_ids'"):
        tiny_generator()({"image": torch.zeros(1, 1, 64, 64)})
    with pytest.raises(KeyError, match="lacks 'image'"):
        tiny_generator().generate({})
