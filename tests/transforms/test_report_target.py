from __future__ import annotations

import pytest
import torch
from monai.transforms import Compose

from monai_place.data.report_format import ReportFormat
from monai_place.engines import StudyDataset
from monai_place.transforms import StudyCollate
from monai_place.transforms.report_target import EncodeRadiographd, ReportTargetd
from tests.support.models import tiny_place, tiny_tokenizer


@pytest.fixture(scope="module")
def place():
    return tiny_place()


def record(number):
    image = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(number))
    return {"id": str(number), "image": image, "report": "There is cardiomegaly."}


def test_features_are_those_of_the_encoder_and_computed_once(place):
    calls = []
    hook = place.image_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    steps = [EncodeRadiographd("image", place), ReportTargetd(tiny_tokenizer(), ReportFormat(("findings",)))]
    dataset = StudyDataset([record(0), record(1)], Compose(steps), progress=False)
    items = [dataset[(epoch, index)] for epoch in range(3) for index in range(2)]
    hook.remove()
    # The encoder's levels are computed through its ViT; two studies are two passes at most.
    assert len(calls) <= 2
    features = place.encode_image(record(1)["image"][None])
    torch.testing.assert_close(items[1]["patch_tokens"], features.patch_tokens[0].detach())
    torch.testing.assert_close(items[1]["observations"], features.observations[0].detach())
    assert "image" not in items[0]
    batch = StudyCollate(0, stack_keys=["patch_tokens", "observations", "target_start"])(items[:2])
    assert batch["patch_tokens"].shape == (2, 16, 48)
    assert batch["target_start"].tolist() == [2, 2]
    assert batch["attention_mask"].shape == batch["input_ids"].shape


def test_stacked_keys_of_different_shapes_are_named():
    with pytest.raises(ValueError, match="'observations' must have one shape"):
        StudyCollate(stack_keys=["observations"])([{"observations": torch.zeros(2)}, {"observations": torch.zeros(3)}])


def test_more_than_one_key_is_refused(place):
    with pytest.raises(ValueError, match="one key is expected"):
        EncodeRadiographd(["a", "b"], place)
