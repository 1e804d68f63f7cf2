"""The sum of the losses: its terms, its weights, and a batch without a single sentence."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.losses import GlobalAlignmentLoss, ObservationAlignmentLoss, PatchCorrelationLoss, PLACELoss
from monai_place.networks import PLACEOutput
from tests.networks.models import make_batch, small_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def output() -> PLACEOutput:
    return small_model().eval()(make_batch([3, 1, 0, 2]))


def test_terms_are_the_losses_and_loss_is_their_weighted_sum(output: PLACEOutput) -> None:
    terms = PLACELoss(ita_weight=2.0, pcma_weight=0.5, cce_weight=0.25, cce_image_weight=0.125, mode="both")(output)
    image, report, has_text = output.image, output.report, output.report.has_text
    assert output.correlation is not None
    assert output.image_correlation is not None
    ita = GlobalAlignmentLoss()(image.global_embedding, report.global_embedding, output.temperature, has_text=has_text)
    pcma = ObservationAlignmentLoss("both")(
        report.sentence_embeddings, report.sentence_mask, output.sentence_keys, image.observations
    )
    cce = PatchCorrelationLoss()(output.correlation.prediction, output.correlation.target, has_text=has_text)
    # No report takes part in it, so an image without one does.
    image_cce = PatchCorrelationLoss()(output.image_correlation.prediction, output.image_correlation.target)
    total = 2 * ita + 0.5 * pcma + 0.25 * cce + 0.125 * image_cce
    expected = {"loss": total, "ita": ita, "pcma": pcma, "cce": cce, "cce_image": image_cce}
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("weights", "names"),
    [
        pytest.param({}, {"loss", "ita", "pcma", "cce", "cce_image"}, id="all"),
        pytest.param({"pcma_weight": 0}, {"loss", "ita", "cce", "cce_image"}, id="without PCMA"),
        pytest.param({"cce_weight": 0}, {"loss", "ita", "pcma", "cce_image"}, id="without the report's CCE"),
        pytest.param({"cce_image_weight": 0}, {"loss", "ita", "pcma", "cce"}, id="without the image's CCE"),
        pytest.param({"cce_weight": 0, "cce_image_weight": 0}, {"loss", "ita", "pcma"}, id="without CCE"),
        pytest.param({"ita_weight": 0, "cce_weight": 0, "cce_image_weight": 0}, {"loss", "pcma"}, id="PCMA alone"),
        pytest.param({"patch_weight": 1}, {"loss", "ita", "pcma", "cce", "cce_image", "patch"}, id="patches, too"),
        pytest.param(
            {"ita_weight": 0, "pcma_weight": 0, "cce_weight": 0, "cce_image_weight": 0, "patch_weight": 1},
            {"loss", "patch"},
            id="patches alone",
        ),
    ],
)
def test_term_without_a_weight_is_left_out(output: PLACEOutput, weights: dict[str, float], names: set[str]) -> None:
    terms = PLACELoss(**weights)(output)
    assert set(terms) == names
    assert all(value.shape == () and value.dtype == torch.float32 for value in terms.values())


def test_model_without_a_correlation_head_has_no_such_term(output: PLACEOutput) -> None:
    without = replace(output, correlation=None, image_correlation=None)
    assert set(PLACELoss()(without)) == {"loss", "ita", "pcma"}


def test_options_reach_the_alignment_of_observations(output: PLACEOutput) -> None:
    options: dict[str, Any] = {
        "mode": "sentence",
        "duplicates": "keep",
        "temperature": 0.3,
        "pick_temperature": 0.7,
    }
    direct = ObservationAlignmentLoss(**options)(
        output.report.sentence_embeddings, output.report.sentence_mask, output.sentence_keys, output.image.observations
    )
    torch.testing.assert_close(PLACELoss(**options)(output)["pcma"], direct)


def test_patches_can_be_picked_like_observations(output: PLACEOutput) -> None:
    values = output.image.patch_values
    direct = ObservationAlignmentLoss("both")(
        output.report.sentence_embeddings,
        output.report.sentence_mask,
        output.sentence_keys,
        values / values.norm(dim=-1, keepdim=True),
    )
    terms = PLACELoss(mode="both", patch_weight=0.3)(output)
    without = PLACELoss(mode="both")(output)
    torch.testing.assert_close(terms["patch"], direct)
    torch.testing.assert_close(terms["loss"], without["loss"] + 0.3 * direct)


@pytest.mark.parametrize("mode", ["report", "sentence", "both"])
@pytest.mark.parametrize(
    "counts",
    [
        pytest.param([0, 0, 0], id="all reports are empty"),
        pytest.param([2], id="batch of one"),
        pytest.param([0], id="batch of one empty report"),
        pytest.param([1, 1, 1], id="one sentence each"),
        pytest.param([0, 3, 0], id="one report"),
    ],
)
def test_every_parameter_gets_a_finite_gradient(mode: Any, counts: list[int]) -> None:
    model = small_model()
    terms = PLACELoss(mode=mode, patch_weight=0.5)(model(make_batch(counts)))
    terms["loss"].backward()
    assert all(value.isfinite() for value in terms.values())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient for {name}"
        assert parameter.grad.isfinite().all(), name


def test_identical_studies_stay_finite() -> None:
    model = small_model()
    batch = {key: value[:1].expand(4, *value.shape[1:]) for key, value in make_batch([2]).items()}
    terms = PLACELoss(mode="both")(model(batch))
    terms["loss"].backward()
    assert terms["loss"].isfinite()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_bfloat16_autocast_is_close_to_float32() -> None:
    model, batch, loss = small_model().eval(), make_batch([3, 1, 2, 2, 4]), PLACELoss(mode="both")
    single = loss(model(batch))
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(model(batch))
    for name, value in single.items():
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], value, rtol=0.05, atol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        pytest.param({"ita_weight": -1}, "ita_weight is -1, expected a number of at least 0", id="negative"),
        pytest.param({"pcma_weight": float("nan")}, "pcma_weight is nan, expected a number", id="no number"),
        pytest.param(
            {"ita_weight": 0, "pcma_weight": 0, "cce_weight": 0, "cce_image_weight": 0},
            "there is no loss left",
            id="nothing has a weight",
        ),
    ],
)
def test_bad_weight_raises(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PLACELoss(**weights)


def test_losses_import_without_the_networks() -> None:
    script = "import sys, monai_place.losses; sys.exit('timm' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_correlation_alone_needs_a_correlation_head(output: PLACEOutput) -> None:
    loss = PLACELoss(ita_weight=0, pcma_weight=0)
    with pytest.raises(ValueError, match="only the weights of the correlation are positive, and the output"):
        loss(replace(output, correlation=None, image_correlation=None))
