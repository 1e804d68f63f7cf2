"""PLACE as a whole: shapes, gradients, checkpointing, determinism, independence of padding and neighbors, keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.losses import PLACELoss
from monai_place.networks import PLACEModel, PLACEOutput, pixel_correlation
from tests.networks.models import make_batch, small_config, small_model
from tests.networks.write_place_tiny_keys import KEYS, place_tiny_keys

COUNTS = [3, 1, 0, 2]
OPTIONS = [
    pytest.param({}, id="place_tiny"),
    pytest.param({"stem": "patch", "report_pool": "cls"}, id="patch stem, first token"),
    pytest.param({"image_pool": "mean"}, id="mean of the patches"),
    pytest.param({"value_level": 1, "correlation_level": 1}, id="early values"),
    pytest.param({"value_level": 0, "local_keys": True}, id="local keys"),
    pytest.param({"slot_competition": True, "extractor_depth": 2}, id="competition"),
    pytest.param({"extractor_depth": 0, "correlation_depth": 2}, id="depths"),
    pytest.param({"correlation_mask_ratio": 0.5}, id="hidden patches"),
    pytest.param({"image_correlation": False}, id="correlations by the report alone"),
    pytest.param({"correlation_target": "features"}, id="feature target"),
    pytest.param({"image_arch": "vit_little_patch16_reg4_gap_256"}, id="registers, mean pooling"),
    pytest.param({"image_arch": "deit_tiny_distilled_patch16_224"}, id="distilled DeiT"),
]


def tensors(output: PLACEOutput) -> dict[str, torch.Tensor]:
    """Return the tensors of an output by name."""
    parts = {"image": output.image, "report": output.report, "correlation": output.correlation}
    flat = {
        f"{part}.{name}": value
        for part, features in parts.items()
        for name, value in vars(features).items()
        if isinstance(value, torch.Tensor)
    }
    return {**flat, "sentence_keys": output.sentence_keys, "temperature": output.temperature}


def assert_gradients(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient for {name}"
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("options", OPTIONS)
def test_outputs_have_the_promised_shapes(options: dict[str, Any]) -> None:
    model = small_model(**options).eval()
    batch = make_batch(COUNTS)
    found = {name: tuple(value.shape) for name, value in tensors(model(batch)).items()}
    studies, patches, width, queries, joint = 4, 4, 24, 4, 8
    longest = batch["input_ids"].shape[1]
    assert found == {
        "image.global_embedding": (studies, joint),
        "image.patch_tokens": (studies, patches, width),
        "image.observations": (studies, queries, joint),
        "image.attention": (studies, queries, patches),
        "image.patch_values": (studies, patches, joint),
        "report.global_embedding": (studies, joint),
        "report.sentence_embeddings": (studies, 3, joint),
        "report.sentence_mask": (studies, 3),
        "report.token_states": (studies, longest, 16),
        "report.attention_mask": (studies, longest),
        "correlation.prediction": (studies, patches, patches),
        "correlation.target": (studies, patches, patches),
        "sentence_keys": (studies, 3),
        "temperature": (),
    }
    assert model.encode_image(batch["image"]).grid == (2, 2)


@pytest.mark.parametrize("options", OPTIONS)
def test_every_parameter_gets_a_gradient_from_all_losses(options: dict[str, Any]) -> None:
    model = small_model(**options).train()
    PLACELoss(mode="both")(model(make_batch(COUNTS)))["loss"].backward()
    assert_gradients(model)


def test_embeddings_have_unit_norm_and_missing_sentences_are_zero() -> None:
    output = small_model().eval()(make_batch(COUNTS))
    for embedding in (
        output.image.global_embedding,
        output.image.observations,
        output.report.global_embedding,
        output.report.sentence_embeddings[output.report.sentence_mask],
    ):
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(embedding.shape[:-1]))
    assert output.report.sentence_embeddings[~output.report.sentence_mask].abs().max() == 0
    assert output.report.sentence_mask.sum(dim=1).tolist() == COUNTS
    assert output.report.has_text.tolist() == [True, True, False, True]


def test_encoders_alone_give_what_the_whole_model_gives() -> None:
    model, batch = small_model().eval(), make_batch(COUNTS)
    output = model(batch)
    image = model.encode_image(batch["image"])
    report = model.encode_report(batch["input_ids"], batch["attention_mask"], batch["sentence_ids"])
    assert torch.equal(image.global_embedding, output.image.global_embedding)
    assert torch.equal(image.observations, output.image.observations)
    assert torch.equal(report.sentence_embeddings, output.report.sentence_embeddings)


def test_eval_is_deterministic() -> None:
    model, batch = small_model(correlation_mask_ratio=0.5).eval(), make_batch(COUNTS)
    for (name, left), right in zip(tensors(model(batch)).items(), tensors(model(batch)).values(), strict=True):
        assert torch.equal(left, right), name


def test_study_does_not_depend_on_its_neighbors_or_on_their_length() -> None:
    model, batch = small_model().eval(), make_batch([1, 4])
    alone = {key: value[:1] for key, value in batch.items()}
    for key in ("input_ids", "attention_mask", "sentence_ids"):
        alone[key] = alone[key][:, :5]  # what its own collation would make: no padding
    left, right = tensors(model(batch)), tensors(model(alone))
    for name in ("image.global_embedding", "image.observations", "report.global_embedding", "correlation.prediction"):
        torch.testing.assert_close(left[name][:1], right[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(left["report.sentence_embeddings"][:1, :1], right["report.sentence_embeddings"])
    assert left["sentence_keys"][0, 0] == right["sentence_keys"][0, 0]


def test_report_is_encoded_once_however_many_sentences_it_has() -> None:
    model, calls = small_model().eval(), []
    model.report_encoder.register_forward_pre_hook(lambda _, inputs: calls.append(tuple(inputs[0].shape)))
    model(make_batch([6, 2]))
    assert calls == [(2, 2 + 6 * 3)]


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_pooling_of_the_report_is_that_of_the_config(pool: Any) -> None:
    model, batch = small_model(report_pool=pool).eval(), make_batch([1, 3])
    report = model.encode_report(batch["input_ids"], batch["attention_mask"], batch["sentence_ids"])
    states, mask = report.token_states, report.attention_mask
    means = torch.stack([row[kept].mean(dim=0) for row, kept in zip(states, mask, strict=True)])
    pooled = states[:, 0] if pool == "cls" else means
    projected = model.report_projection(pooled)
    torch.testing.assert_close(report.global_embedding, projected / projected.norm(dim=1, keepdim=True))


def test_value_of_a_patch_at_level_0_depends_on_that_patch_alone() -> None:
    model = small_model(stem="patch", value_level=0).eval()
    image = make_batch([1])["image"]
    changed = image.clone()
    changed[:, :, 16:, :16] += 1  # the third of four patches
    moved = (model.encode_image(changed).patch_values - model.encode_image(image).patch_values).abs().amax(dim=2)
    assert moved[0].nonzero().flatten().tolist() == [2]


def test_target_is_the_correlation_of_the_images_own_pixels() -> None:
    model, batch = small_model().eval(), make_batch(COUNTS)
    correlation = model(batch).correlation
    assert correlation is not None
    assert torch.equal(correlation.target, pixel_correlation(batch["image"], 16))


def test_model_without_a_correlation_head_says_so() -> None:
    model = small_model(correlation_depth=0)
    output = model(make_batch(COUNTS))
    assert output.correlation is None
    PLACELoss()(output)["loss"].backward()
    assert_gradients(model)


def test_config_can_be_a_plain_dict() -> None:
    model = PLACEModel(small_config().to_dict())
    assert model.config == small_config()


def test_temperature_is_clamped_and_fixed_where_it_is_not_learnt() -> None:
    model = small_model(temperature=0.05)
    assert model.temperature.item() == pytest.approx(0.05)
    assert model.log_temperature.requires_grad
    for log_temperature, clamped in ((-9.0, 0.01), (9.0, 1.0)):
        model.log_temperature.data.fill_(log_temperature)
        assert model.temperature.item() == pytest.approx(clamped)
    assert not small_model(learn_temperature=False).log_temperature.requires_grad


def test_gradient_checkpointing_computes_both_encoders_again_and_changes_nothing() -> None:
    batch, results = make_batch(COUNTS), []
    for enable in (False, True):
        model, calls = small_model().train(), []
        model.set_grad_checkpointing(enable=enable)
        for block in (*model.image_encoder.vit.blocks, *model.report_encoder.bert.encoder.layer):
            attention = block.attn if hasattr(block, "attn") else block.attention
            attention.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        with torch.random.fork_rng():
            torch.manual_seed(0)  # dropout
            loss = PLACELoss(mode="both")(model(batch))["loss"]
            loss.backward()
        assert len(calls) == 4 * (1 + enable)
        results.append([loss.detach(), *(parameter.grad for parameter in model.parameters())])
    for left, right in zip(*results, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


def test_gradient_checkpointing_can_be_switched_off_again() -> None:
    model, calls = small_model().train(), []
    model.set_grad_checkpointing(enable=True)
    model.set_grad_checkpointing(enable=False)
    for block in (*model.image_encoder.vit.blocks, *model.report_encoder.bert.encoder.layer):
        attention = block.attn if hasattr(block, "attn") else block.attention
        attention.register_forward_pre_hook(lambda *_: calls.append(1))
    PLACELoss()(model(make_batch(COUNTS)))["loss"].backward()
    assert len(calls) == 4


def test_names_without_weight_decay_are_parameters() -> None:
    model = small_model(correlation_mask_ratio=0.5)
    names = model.no_weight_decay()
    assert names <= {name for name, _ in model.named_parameters()}
    assert names >= {
        "extractor.queries",
        "log_temperature",
        "correlation_head.position",
        "correlation_head.mask_token",
        "image_encoder.vit.pos_embed",
        "image_encoder.vit.cls_token",
    }


def test_weights_in_a_file_make_the_same_model(tmp_path: Path) -> None:
    model, other, batch = small_model().eval(), small_model(seed=1).eval(), make_batch(COUNTS)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    for (name, left), right in zip(tensors(model(batch)).items(), tensors(other(batch)).values(), strict=True):
        assert torch.equal(left, right), name


def test_parameters_of_place_tiny_are_those_of_its_checkpoints() -> None:
    written = KEYS.read_text(encoding="utf-8").splitlines()
    assert place_tiny_keys() == written, "old checkpoints no longer load; see tests/networks/write_place_tiny_keys.py"


@pytest.mark.parametrize("key", ["image", "input_ids", "attention_mask", "sentence_ids"])
def test_missing_key_of_a_batch_is_named(key: str) -> None:
    batch = make_batch(COUNTS)
    del batch[key]
    with pytest.raises(KeyError, match=rf"the batch lacks \['{key}'\]; it has .*'sentence_count'"):
        small_model()(batch)


def test_unknown_key_of_a_config_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown keys \['colour'\]"):
        PLACEModel({"colour": "red"})


def test_heads_that_do_not_share_out_the_tokens_raise() -> None:
    with pytest.raises(ValueError, match=r"heads is 5, expected a divisor of the token features \(24\)"):
        small_model(extractor_heads=5)


def test_level_that_the_encoder_does_not_have_raises() -> None:
    with pytest.raises(ValueError, match="level is 7, expected -1 to 2"):
        small_model(value_level=7)(make_batch([1]))
