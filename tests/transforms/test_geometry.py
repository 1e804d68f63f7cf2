from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose, Invertd

from monai_place.transforms.geometry import FitRadiographd, fit_geometry, fit_image, unfit_image

SHAPES = [(60, 100), (100, 60), (37, 53), (64, 64)]


def blob(height: int, width: int, row: float, column: float, sigma: float) -> torch.Tensor:
    """A bright spot whose center of mass is (row, column) in indices."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    return torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))[None]


def center_of(image: torch.Tensor) -> tuple[float, float]:
    weights = np.asarray(image[0], dtype=np.float64)
    rows, columns = np.indices(weights.shape)
    return float((rows * weights).sum() / weights.sum()), float((columns * weights).sum() / weights.sum())


@pytest.mark.parametrize("rule", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (1, 500), (500, 1), (3000, 20)])
@pytest.mark.parametrize("size", [1, 32, 97])
def test_every_shape_becomes_the_square_and_comes_back(rule: Any, shape: tuple[int, int], size: int) -> None:
    fit = FitRadiographd("image", size, resize_rule=rule)
    data = fit({"image": MetaTensor(torch.rand(1, *shape))})
    assert data["image"].shape == (1, size, size)
    assert data["image"].dtype == torch.float32
    assert torch.isfinite(data["image"]).all()
    assert fit.inverse(data)["image"].shape == (1, *shape)


@pytest.mark.parametrize("rule", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [48, 128])
def test_a_planted_dot_stays_on_its_place_through_fit_and_inverse(rule: Any, shape: tuple[int, int], size: int) -> None:
    # Four dots near the corners of what every rule keeps.
    middle, reach = np.array(shape) / 2, min(shape) / 2 - 9
    for down, across in itertools.product([-1, 1], [-1, 1]):
        row, column = middle + reach * np.array([down, across])
        image = MetaTensor(blob(*shape, row, column, 2.0))
        fit = FitRadiographd("image", size, resize_rule=rule)
        data = fit({"image": image})
        geometry = fit_geometry(*shape, size, rule)
        x, y = geometry.to_square((column + 0.5, row + 0.5)) - 0.5
        assert center_of(data["image"]) == pytest.approx((y, x), abs=0.1)
        by_affine = np.asarray(data["image"].affine) @ [y, x, 0, 1]
        assert by_affine[:2] == pytest.approx((row, column), abs=1e-6)
        assert center_of(fit.inverse(data)["image"]) == pytest.approx((row, column), abs=0.1)


@pytest.mark.parametrize("rule", ["pad", "crop"])
@pytest.mark.parametrize("shape", [(60, 100), (100, 60)])
def test_a_single_bright_pixel_is_the_brightest_after_fit_and_inverse(rule: Any, shape: tuple[int, int]) -> None:
    for row, column in [(shape[0] // 2 - 25, shape[1] // 2 + 20), (shape[0] // 2 + 27, shape[1] // 2 - 27)]:
        image = torch.zeros(1, *shape)
        image[0, row, column] = 1
        fit = FitRadiographd("image", 240, resize_rule=rule)
        data = fit({"image": MetaTensor(image)})
        x, y = fit_geometry(*shape, 240, rule).to_square((column + 0.5, row + 0.5))
        brightest = divmod(int(data["image"].argmax()), 240)
        assert brightest == pytest.approx((y - 0.5, x - 0.5), abs=1)
        assert divmod(int(fit.inverse(data)["image"].argmax()), shape[1]) == (row, column)


def test_pad_keeps_all_and_pads_with_zeros_on_both_sides() -> None:
    image = FitRadiographd("image", 40)({"image": torch.ones(1, 100, 50)})["image"]
    torch.testing.assert_close(image[0, :, 10:30], torch.ones(40, 20))
    assert image[0, :, :10].max() == image[0, :, 30:].max() == 0


def test_crop_takes_the_central_square() -> None:
    picture = torch.zeros(1, 100, 50)
    picture[:, 25:75] = 1
    assert FitRadiographd("image", 50, resize_rule="crop")({"image": picture})["image"].min() == 1


def test_stretch_takes_all_and_changes_the_shape() -> None:
    picture = torch.arange(50.0).repeat(100, 1)[None] / 50
    image = FitRadiographd("image", 50, resize_rule="stretch")({"image": picture})["image"]
    torch.testing.assert_close(image, torch.arange(50.0).repeat(50, 1)[None] / 50)


def test_shrinking_averages_and_does_not_alias() -> None:
    noise = torch.rand(1, 400, 400, generator=torch.Generator().manual_seed(0))  # standard deviation 0.29
    image = FitRadiographd("image", 50)({"image": noise})["image"]
    assert float(image.std()) < 0.05  # 8 x 8 pixels make one; without a filter it would be 0.14
    assert float(image.mean()) == pytest.approx(0.5, abs=0.01)


def test_a_mask_keeps_its_integers_and_stays_in_step() -> None:
    mask = torch.zeros(1, 90, 60)
    mask[:, 20:50, 10:40] = 7
    data = FitRadiographd("image", 45, mask_keys="mask")({"image": mask / 7, "mask": mask})
    assert set(data["mask"].unique().tolist()) == {0.0, 7.0}
    assert ((data["image"] > 0.5) == (data["mask"] == 7)).all()


def test_a_mask_takes_the_pixel_whose_center_is_nearest() -> None:
    mask = torch.arange(10.0).repeat(10, 1)[None]
    fitted = FitRadiographd("image", 4, mask_keys="mask")({"image": mask / 10, "mask": mask})["mask"]
    assert fitted[0, 0].tolist() == [1, 3, 6, 8]  # the centers lie at 1.25, 3.75, 6.25 and 8.75


def test_a_missing_mask_is_left_alone_and_a_missing_image_raises() -> None:
    fit = FitRadiographd("image", 16, mask_keys=["mask", "lung"])
    assert fit({"image": torch.ones(1, 8, 8), "mask": None})["mask"] is None
    with pytest.raises(KeyError, match="image"):
        fit({"mask": torch.ones(1, 8, 8)})
    assert FitRadiographd("image", 16, allow_missing_keys=True)({"id": "a"}) == {"id": "a"}


@pytest.mark.parametrize("rule", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", SHAPES)
def test_boxes_stay_around_what_they_mark(rule: Any, shape: tuple[int, int]) -> None:
    top, left = shape[0] // 2 - 9, shape[1] // 2 + 2
    image = torch.zeros(1, *shape)
    image[0, top : top + 20, left : left + 12] = 1
    box = [left, top, left + 12, top + 20]
    fit = FitRadiographd("image", 160, resize_rule=rule, boxes_key="boxes", box_label_keys="box_classes")
    data = fit({"image": MetaTensor(image), "boxes": [box], "box_classes": ["nodule"]})
    rows, columns = np.nonzero(np.asarray(data["image"][0]) > 0.5)
    marked = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert data["boxes"].dtype == np.float32
    np.testing.assert_allclose(data["boxes"][0], marked, atol=1.01)
    assert data["box_classes"] == ["nodule"]
    np.testing.assert_allclose(fit.inverse(data)["boxes"], [box], atol=1e-4)


def test_a_box_that_is_cut_away_goes_with_its_label() -> None:
    fit = FitRadiographd("image", 50, resize_rule="crop", boxes_key="boxes", box_label_keys=["names", "ids"])
    boxes = [[0, 0, 50, 20], [5, 10, 20, 40], [0, 30, 50, 60]]
    data = fit({"image": torch.ones(1, 100, 50), "boxes": boxes, "names": ["a", "b", "c"], "ids": [1, 2, 3]})
    np.testing.assert_allclose(data["boxes"], [[5, 0, 20, 15], [0, 5, 50, 35]])
    assert (data["names"], data["ids"]) == (["b", "c"], [2, 3])


def test_no_boxes_and_null_and_missing_boxes_are_fine() -> None:
    fit = FitRadiographd("image", 8, boxes_key="boxes", box_label_keys="names")
    assert fit({"image": torch.ones(1, 4, 4), "boxes": [], "names": []})["boxes"].shape == (0, 4)
    assert fit({"image": torch.ones(1, 4, 4), "boxes": None})["boxes"] is None
    assert "boxes" not in fit({"image": torch.ones(1, 4, 4)})
    with pytest.raises(ValueError, match="'names' has 1 entries for 0 boxes in 'boxes'"):
        fit({"image": torch.ones(1, 4, 4), "boxes": [], "names": ["a"]})


def test_the_input_is_not_changed() -> None:
    image, boxes = MetaTensor(torch.rand(1, 30, 20)), [[1, 2, 3, 4]]
    before = image.clone()
    FitRadiographd("image", 16, boxes_key="boxes")({"image": image, "boxes": boxes})
    assert torch.equal(image, before)
    assert boxes == [[1, 2, 3, 4]]
    assert image.applied_operations == []


def test_invertd_takes_a_map_of_several_channels_back_after_batching() -> None:
    chain = Compose([FitRadiographd("image", 32, mask_keys="mask")])
    items = [chain({"image": MetaTensor(torch.rand(1, *shape))}) for shape in ((60, 40), (60, 40))]
    batch = list_data_collate(items)
    batch["map"] = MetaTensor(torch.rand(2, 3, 32, 32))
    invert = Invertd("map", chain, orig_keys="image", nearest_interp=False)
    for item in map(invert, decollate_batch(batch)):
        assert item["map"].shape == (3, 60, 40)
        assert item["map"].applied_operations == []


def test_invertd_with_nearest_invents_no_value() -> None:
    chain = Compose([FitRadiographd("image", 32)])
    data = chain({"image": MetaTensor(torch.rand(1, 60, 40))})
    data["labels"] = MetaTensor((torch.rand(1, 32, 32) * 5).int())
    back = Invertd("labels", chain, orig_keys="image", nearest_interp=True)(data)["labels"]
    assert back.shape == (1, 60, 40)
    assert set(back.unique().tolist()) <= set(range(5))


def test_unfit_fills_what_was_cut_away_with_the_value_asked_for() -> None:
    geometry = fit_geometry(100, 50, 20, "crop")
    back = unfit_image(torch.ones(1, 20, 20), geometry, fill=float("nan"))
    assert torch.isnan(back[:, :25]).all()
    assert torch.isnan(back[:, 75:]).all()
    torch.testing.assert_close(back[:, 25:75], torch.ones(1, 50, 50))


def test_fit_and_unfit_are_the_identity_where_nothing_is_resized() -> None:
    image = torch.rand(2, 32, 20)
    geometry = fit_geometry(32, 20, 32)
    assert torch.equal(unfit_image(fit_image(image, geometry), geometry), image)


def test_the_affine_keeps_the_spacing() -> None:
    image = MetaTensor(torch.rand(1, 100, 50), affine=torch.diag(torch.tensor([0.2, 0.4, 1, 1], dtype=torch.float64)))
    fit = FitRadiographd("image", 50)
    data = fit({"image": image})
    assert data["image"].pixdim.tolist()[:2] == pytest.approx([0.4, 0.8])
    torch.testing.assert_close(fit.inverse(data)["image"].affine, image.affine)


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"resize_rule must be one of \('pad', 'crop', 'stretch'\), got 'squash'"):
        FitRadiographd("image", 32, resize_rule="squash")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="image_size must be at least 1 pixel, got 0"):
        FitRadiographd("image", 0)
    with pytest.raises(ValueError, match=r"'image' must have the shape \(1, H, W\), got \(8, 8\)"):
        FitRadiographd("image", 4)({"image": torch.ones(8, 8)})
