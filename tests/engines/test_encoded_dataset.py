from __future__ import annotations

import pytest
import torch
from monai.transforms import Compose, RandGaussianNoised, ScaleIntensityRanged

from monai_place.engines import StudyError
from monai_place.engines.encoded_dataset import EncodedStudyDataset
from tests.support.models import tiny_place

SAME = ScaleIntensityRanged("image", 0, 1, 0, 1)


class FailOn(ScaleIntensityRanged):
    def __call__(self, data):
        if data["id"] == "2":
            raise ValueError("broken")
        return super().__call__(data)


@pytest.fixture(scope="module")
def place():
    return tiny_place()


def records(count=5):
    generator = torch.Generator().manual_seed(0)
    return [{"id": str(n), "image": torch.rand(1, 64, 64, generator=generator), "other": n} for n in range(count)]


def test_features_are_those_of_the_encoder_whatever_the_batch(place):
    data = records()
    calls = []
    hook = place.image_encoder.vit.norm.register_forward_hook(lambda *_: calls.append(1))
    dataset = EncodedStudyDataset(data, Compose([SAME]), place=place, encode_batch_size=2, cache_workers=2)
    items = [dataset[(epoch, index)] for epoch in range(3) for index in range(5)]
    hook.remove()
    assert len(calls) == 3, "five studies in batches of two, once"
    for index, record in enumerate(data):
        with torch.no_grad():
            features = place.encode_image(record["image"][None])
        torch.testing.assert_close(items[index]["patch_tokens"], features.patch_tokens[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(items[index]["observations"], features.observations[0], rtol=1e-4, atol=1e-5)
        assert items[index]["other"] == index
        assert "image" not in items[index]


def test_a_study_that_cannot_be_prepared_is_skipped_or_named(place):
    steps = Compose([FailOn("image", 0, 1, 0, 1)])
    with pytest.raises(StudyError, match="study '2' could not be prepared: ValueError: broken"):
        EncodedStudyDataset(records(), steps, place=place)
    dataset = EncodedStudyDataset(records(), steps, place=place, on_error="skip", encode_batch_size=1)
    assert dataset[2]["other"] == 3
    assert "patch_tokens" in dataset[2]


def test_without_an_encoder_it_keeps_images():
    dataset = EncodedStudyDataset(records(2), Compose([SAME]))
    assert dataset[1]["image"].shape == (1, 64, 64)


@pytest.mark.parametrize("arguments", [{"transform": Compose([RandGaussianNoised("image")])}, {"cache": False}])
def test_random_transforms_and_no_cache_are_refused(place, arguments):
    with pytest.raises(ValueError, match="without random transforms and with cache=True only"):
        EncodedStudyDataset(records(2), **{"transform": Compose([SAME]), "place": place, **arguments})
