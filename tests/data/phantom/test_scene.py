from __future__ import annotations

import numpy as np
import pytest

from monai_place.data.phantom.grid import stream
from monai_place.data.phantom.scene import MASK_THRESHOLD, add_noise, build_scene, patient_number


def test_only_neighbors_share_a_patient_and_a_fifth_of_the_pairs_do() -> None:
    patients = [patient_number(0, index) for index in range(2000)]
    shared = [patients[pair] == patients[pair + 1] for pair in range(0, 2000, 2)]
    assert 0.15 < np.mean(shared) < 0.25
    assert len(set(patients)) == 2000 - sum(shared)


def test_two_studies_of_a_patient_have_the_same_anatomy_and_another_pose() -> None:
    index = next(i for i in range(0, 100, 2) if patient_number(0, i + 1) == i)
    first, second = build_scene(0, index, size=48), build_scene(0, index + 1, size=48)
    assert first.body.anatomy == second.body.anatomy
    assert first.acquisition != second.acquisition


def test_a_mask_is_where_its_finding_alone_changes_the_picture() -> None:
    for index in range(25):
        scene = build_scene(2, index, size=64)
        full = scene.develop()
        for number, mask in enumerate(scene.masks):
            change = np.abs(full - scene.develop(without=[number]))
            np.testing.assert_array_equal(mask, change > MASK_THRESHOLD)
            assert mask.any()


def test_leaving_out_every_finding_gives_the_normal_picture() -> None:
    index = next(i for i in range(50) if len(build_scene(2, i, size=48).specs) == 3)
    scene = build_scene(2, index, size=48)
    bare = scene.develop(without=range(3))
    for number, mask in enumerate(scene.masks):
        alone = scene.develop(without={0, 1, 2} - {number})
        assert np.abs(alone - bare)[mask].max() > MASK_THRESHOLD


@pytest.mark.parametrize("index", range(4))
def test_gray_values_stay_inside_and_use_the_range(index: int) -> None:
    gray = build_scene(4, index, size=64).develop()
    assert gray.dtype == np.float32
    assert gray.min() >= 0
    assert gray.max() <= 1
    assert np.percentile(gray, 95) - np.percentile(gray, 5) > 0.4


def test_the_lungs_are_dark_and_the_spine_is_bright() -> None:
    for index in range(10):
        scene = build_scene(6, index, size=64)
        bare = scene.develop(without=range(3))
        spine = bare[(np.abs(scene.body.u) < 0.05) & (np.abs(scene.body.v) < 0.3)]
        assert spine.mean() - bare[scene.body.lung > 0.99].mean() > 0.25


def test_noise_has_the_strength_of_the_exposure() -> None:
    scene = build_scene(0, 0, size=128)
    flat = np.full((128, 128), 0.5, dtype=np.float32)
    noisy = add_noise(flat, scene.acquisition, stream(0, 0, "noise"))
    roughness = np.diff(noisy, axis=1).std()
    assert 0.3 * scene.acquisition.noise < roughness < 3 * scene.acquisition.noise


def test_what_can_be_seen_does_not_depend_on_the_size() -> None:
    for index in range(25):
        small, large = build_scene(8, index, size=48), build_scene(8, index, size=112)
        assert [spec.class_name for spec in small.specs] == [spec.class_name for spec in large.specs]
