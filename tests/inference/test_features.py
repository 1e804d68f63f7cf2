from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.inference.encoders import LoadedEncoder, load_encoder
from monai_place.inference.feature_cache import FeatureCache
from monai_place.inference.features import encode_studies, feature_records
from monai_place.inference.images import prepare_image
from monai_place.inference.loading import load_place
from monai_place.inference.probe import probe_features

KINDS = ("global", "patch_mean", "observations")


@pytest.fixture(scope="module")
def encoder(model_folder: Path) -> LoadedEncoder:
    return load_encoder(model_folder)


def test_features_are_those_of_each_image_alone(encoder: LoadedEncoder, records: list[dict[str, Any]]) -> None:
    found = encode_studies(encoder, records, KINDS, batch_size=7)
    assert found.places == tuple(range(len(records)))
    assert found.computed == len(records)
    for kind in KINDS:
        image = prepare_image(records[3]["image"], encoder.preprocess).tensor[None]
        with torch.no_grad():
            assert torch.allclose(found.features[kind][3], encoder.network(image, kind)[0], atol=1e-5)


def test_the_global_ones_are_those_of_the_fast_probe(
    encoder: LoadedEncoder, records: list[dict[str, Any]], model_folder: Path
) -> None:
    features, _ = probe_features(load_place(model_folder), records, classes=PHANTOM_CLASSES)
    assert torch.allclose(encode_studies(encoder, records).features["global"], features, atol=1e-5)


def test_an_image_is_seen_once(encoder: LoadedEncoder, records: list[dict[str, Any]], tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    first = encode_studies(encoder, records[:5], ("global", "observations"), cache=cache)
    again = encode_studies(encoder, records, ("global", "observations"), cache=cache)
    third = encode_studies(encoder, records[::-1], ("observations",), cache=cache)
    assert (first.computed, again.computed, third.computed) == (5, len(records) - 5, 0)
    assert torch.equal(again.features["observations"], third.features["observations"].flip(0))
    assert torch.equal(first.features["global"], again.features["global"][:5])
    other = encode_studies(encoder, records[:2], ("patch_mean",), cache=cache)
    assert other.computed == 2, "another kind is another key"


def test_a_file_that_changed_is_seen_again(encoder: LoadedEncoder, pictures: list[Path], tmp_path: Path) -> None:
    file, cache = tmp_path / "a.png", FeatureCache(tmp_path / "cache")
    found = []
    for source in pictures[:2]:
        file.write_bytes(source.read_bytes())
        found.append(encode_studies(encoder, [{"image": file}], cache=cache))
    assert [part.computed for part in found] == [1, 1]
    assert not torch.equal(found[0].features["global"], found[1].features["global"])


def test_one_file_of_two_records_is_seen_once(encoder: LoadedEncoder, pictures: list[Path]) -> None:
    found = encode_studies(encoder, [{"image": pictures[0]}, {"image": pictures[1]}, {"image": pictures[0]}])
    assert found.computed == 2
    assert torch.equal(found.features["global"][0], found.features["global"][2])


def test_images_that_cannot_be_read_are_left_out_and_told(
    encoder: LoadedEncoder, pictures: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    records = [
        {"id": str(i), "image": file, "label": [i]} for i, file in enumerate([bad, pictures[0], tmp_path / "no"])
    ]
    cache = str(tmp_path / "cache")
    found = encode_studies(encoder, records, cache=FeatureCache(cache))
    assert (found.places, len(found.failed)) == ((1,), 2)
    made = feature_records(encoder, records, cache_dir=cache)
    assert [(record["id"], record["label"]) for record in made] == [("1", [1])]
    assert torch.equal(made[0]["features"], found.features["global"][0])
    with pytest.raises(ValueError, match=r"none of the 1 images could be read; the first: .*bad\.png"):
        encode_studies(encoder, records[:1])
    with pytest.raises(ValueError, match="records is empty"):
        encode_studies(encoder, [])
    assert feature_records(encoder, []) == []


def test_networks_of_timm_go_the_same_way(records: list[dict[str, Any]], tmp_path: Path) -> None:
    encoder = load_encoder("timm:test_resnet", weights="random", image_size=None)
    found = encode_studies(encoder, records[:3], ("global", "patch_mean"), cache=FeatureCache(tmp_path))
    assert found.features["global"].shape == (3, encoder.network.width("global"))
    assert encode_studies(encoder, records[:3], ("global",), cache=FeatureCache(tmp_path)).computed == 0
