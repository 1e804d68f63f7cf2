from __future__ import annotations

from monai_place.transforms import FitRadiographd, RandRadiographAffined, SplitReportd
from monai_place.transforms.contract.sample import IMAGE
from monai_place.transforms.contract.subject import Subject, find_object
from tests.support.bad_transforms import GoodReader


def test_keys_are_handed_over_where_they_are_taken() -> None:
    assert Subject(FitRadiographd, arguments={"image_size": 8}).make().keys == ("image",)
    assert Subject(FitRadiographd, ("lateral",), {"image_size": 8}).make().keys == ("lateral",)
    assert Subject(FitRadiographd, arguments={"keys": "other", "image_size": 8}).make().keys == ("other",)
    assert isinstance(Subject(GoodReader).make(), GoodReader)


def test_arguments_are_those_of_a_json_with_parts_of_their_own() -> None:
    steps = [{"_target_": "monai.transforms.Identityd", "keys": "image"}]
    kind = find_object("monai_place.transforms:RadiographStepsd")
    assert type(Subject(kind, arguments={"steps": steps}).make().steps[0]).__name__ == "Identityd"


def test_random_ones_are_seeded_and_others_run_as_they_are() -> None:
    moving = Subject(RandRadiographAffined, arguments={"prob": 1.0})
    assert moving.is_random
    assert (moving.run(seed=1)[IMAGE] == moving.run(seed=1)[IMAGE]).all()
    assert not Subject(SplitReportd, ("report",)).is_random
    assert Subject(SplitReportd, ("report",)).run()["id"] == "planted"


def test_a_sample_file_takes_the_place_of_the_picture() -> None:
    assert Subject(SplitReportd, ("report",), sample="a.png").record()[IMAGE] == "a.png"
