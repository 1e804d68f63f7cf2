"""The zero-shot classifier: its scores against the model's own features, and as a program."""

from __future__ import annotations

import json

import pytest
import torch

from monai_place.inference import PLACEFindingClassifier, embed_sentences
from monai_place.inference.prompts import FindingPrompts, PromptSet
from monai_place.losses import observation_scores
from tests.support.models import CLASSES, tiny_config, tiny_place, tiny_tokenizer

PROMPTS = PromptSet(
    "test",
    (
        FindingPrompts("cardiomegaly", ("There is cardiomegaly.",), ("The heart is not enlarged.", "No cardiomegaly.")),
        FindingPrompts("nodule", ("A nodule.", "There is a nodule.", "Small nodule."), ("No nodule is seen.",)),
    ),
)
IMAGES = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def classifier(mode="mean", model=None, **options):
    return PLACEFindingClassifier.from_place(model or tiny_place(), tiny_tokenizer(), PROMPTS, mode=mode, **options)


def slow_scores(model, mode, *, local_temperature=0.1, pick_temperature=0.1):
    """Prompt by prompt and finding by finding, from what the model returns."""
    features = model.encode_image(IMAGES)
    columns = []
    for entry in PROMPTS.findings:
        sides = {"global": [], "local": []}
        for prompts in (entry.positive, entry.negative):
            reports, sentences = embed_sentences(model, tiny_tokenizer(), prompts)
            sides["global"].append((features.global_embedding @ reports.T).mean(dim=1))
            local = observation_scores(sentences, features.observations, pick_temperature=pick_temperature)
            sides["local"].append(local.mean(dim=0))
        found = {
            "global": (sides["global"][0] - sides["global"][1]) / model.temperature,
            "local": (sides["local"][0] - sides["local"][1]) / local_temperature,
        }
        columns.append((found["global"] + found["local"]) / 2 if mode == "mean" else found[mode])
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("mode", ["global", "local", "mean"])
@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param({}, id="plain"),
        pytest.param({"image_pool": "mean", "stem": "patch"}, id="mean-pool"),
        pytest.param(
            {"value_level": 1, "local_keys": True, "slot_competition": True, "extractor_depth": 0}, id="local"
        ),
    ],
)
@torch.no_grad()
def test_scores_equal_those_worked_out_prompt_by_prompt(mode, overrides):
    model = tiny_place(**overrides)
    made = classifier(mode, model, local_temperature=0.3, pick_temperature=0.2)
    expected = slow_scores(model, mode, local_temperature=0.3, pick_temperature=0.2)
    assert torch.allclose(made.scores(IMAGES), expected, atol=1e-5)


@torch.no_grad()
def test_the_probability_is_the_softmax_over_the_pair_of_positive_and_negative():
    model = tiny_place()
    features = model.encode_image(IMAGES)
    pair = []
    for prompts in (PROMPTS.findings[1].positive, PROMPTS.findings[1].negative):
        reports, _ = embed_sentences(model, tiny_tokenizer(), prompts)
        pair.append((features.global_embedding @ reports.T).mean(dim=1) / model.temperature)
    expected = torch.stack(pair, dim=1).softmax(dim=1)[:, 0]
    assert torch.allclose(classifier("global", model)(IMAGES)[:, 1], expected, atol=1e-6)


@torch.no_grad()
def test_swapping_positive_and_negative_prompts_turns_probabilities_round():
    swapped = PromptSet("", tuple(FindingPrompts(e.finding, e.negative, e.positive) for e in PROMPTS.findings))
    other = PLACEFindingClassifier.from_place(tiny_place(), tiny_tokenizer(), swapped)
    assert torch.allclose(other(IMAGES), 1 - classifier()(IMAGES), atol=1e-6)


@torch.no_grad()
def test_the_state_dict_alone_brings_the_bank_into_an_instance_made_from_json():
    made = classifier("local")
    arguments = json.loads(json.dumps(made.arguments()))
    again = PLACEFindingClassifier(**arguments).eval()
    assert not torch.allclose(again(IMAGES), made(IMAGES))
    again.load_state_dict(made.state_dict(), strict=True)
    assert torch.equal(again(IMAGES), made(IMAGES))


def test_weights_are_named_as_in_the_model():
    state, whole = classifier().state_dict(), tiny_place().state_dict()
    shared = {key for key in state if key in whole}
    assert {key for key in whole if key.startswith(("image_encoder.", "extractor.", "image_projection."))} == shared
    assert all(torch.equal(state[key], whole[key]) for key in shared)


def test_another_number_of_prompts_does_not_load():
    other = PLACEFindingClassifier(tiny_config(), ["a", "b"], positive_prompts=2, negative_prompts=2)
    with pytest.raises(RuntimeError, match="positive_sentences"):
        other.load_state_dict(classifier().state_dict())


def test_making_a_classifier_leaves_the_model_in_training_mode_and_its_weights_unshared():
    model = tiny_place().train()
    made = classifier(model=model)
    assert model.training
    assert not made.training
    made.extractor.queries.data.zero_()
    assert model.extractor.queries.abs().sum() > 0


@torch.no_grad()
@pytest.mark.parametrize("mode", ["global", "local", "mean"])
def test_a_scripted_program_gives_the_same_after_saving_and_loading(tmp_path, mode):
    made = classifier(mode)
    torch.jit.script(made).save(tmp_path / "a.ts")
    program = torch.jit.load(tmp_path / "a.ts")
    for images in (IMAGES, IMAGES[:1]):
        assert torch.allclose(program(images), made(images), atol=1e-6)
        assert torch.allclose(program.scores(images), made.scores(images), atol=1e-5)


@torch.no_grad()
def test_an_exported_program_takes_any_batch():
    made = classifier()
    shapes = {"image": {0: torch.export.Dim("batch", min=1, max=16)}}
    program = torch.export.export(made, (IMAGES,), dynamic_shapes=shapes).module()
    assert torch.allclose(program(IMAGES[:1]), made(IMAGES[:1]), atol=1e-5)


@torch.no_grad()
def test_probabilities_are_finite_for_a_constant_image():
    probabilities = classifier()(torch.zeros(1, 1, 64, 64))
    assert probabilities.isfinite().all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "best"}, "mode is 'best', expected one of"),
        ({"classes": []}, "0 classes"),
        ({"positive_prompts": 0}, "0 positive"),
        ({"config": {"nonsense": 1}}, "nonsense"),
    ],
)
def test_ill_arguments_are_named(changes, message):
    arguments = {"config": tiny_config(), "classes": CLASSES, "positive_prompts": 1, "negative_prompts": 1}
    with pytest.raises(ValueError, match=message):
        PLACEFindingClassifier(**{**arguments, **changes})


def test_temperatures_must_be_positive():
    with pytest.raises(ValueError, match="temperatures"):
        classifier(pick_temperature=0.0)
