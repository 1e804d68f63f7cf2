from __future__ import annotations

import pandas as pd
import pytest

from monai_place.data.class_draws import SAMPLING_SEEDS
from monai_place.data.sources.chexpert_5x200 import NUMBER, draw_5x200, drawn_by_any, exclusive_task
from monai_place.data.sources.chexpert_labels import CHEXPERT_CLASSES, COMPETITION_CLASSES

NOTHING = dict.fromkeys(CHEXPERT_CLASSES, "")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param({"Edema": "1.0"}, "Edema", id="alone, others blank"),
        pytest.param({"Edema": "1.0", "Fracture": "0.0"}, "Edema", id="another is 0"),
        pytest.param({"Edema": "1.0", "No Finding": "1.0"}, "Edema", id="No Finding is not looked at"),
        pytest.param({"Edema": "1.0", "Fracture": "-1.0"}, None, id="another is uncertain"),
        pytest.param({"Edema": "1.0", "Support Devices": "1.0"}, None, id="another is positive"),
        pytest.param({"Edema": "-1.0"}, None, id="uncertain itself"),
        pytest.param({"Fracture": "1.0"}, None, id="no task of the competition"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_a_task_is_exclusive_when_nothing_else_is_positive_or_uncertain(
    cells: dict[str, str], expected: str | None
) -> None:
    assert exclusive_task(NOTHING | cells, "t") == expected


@pytest.mark.parametrize("seed", SAMPLING_SEEDS)
def test_the_draw_is_that_of_pandas_as_the_field_publishes_it(seed: int) -> None:
    tasks: list[str | None] = [
        (None, *COMPETITION_CLASSES, "Edema")[(7 * row + row // 5) % 7] for row in range(NUMBER * 12)
    ]
    frame = pd.DataFrame({"task": tasks})
    expected = [
        row
        for name in COMPETITION_CLASSES
        for row in frame[frame["task"] == name].sample(n=NUMBER, random_state=seed).index
    ]
    drawn = draw_5x200(tasks, seed)
    assert drawn == expected
    assert len(set(drawn)) == 1000


def test_several_draws_are_joined() -> None:
    tasks = [name for name in COMPETITION_CLASSES for _ in range(2 * NUMBER)]
    joined = drawn_by_any(tasks, (0, 1))
    assert joined == {*draw_5x200(tasks, 0), *draw_5x200(tasks, 1)}
    assert len(joined) > 1000


def test_too_few_images_are_an_error_that_names_the_task() -> None:
    with pytest.raises(
        ValueError, match=r"5x200: 200 rows .* 3 with 'Atelectasis' alone.* exclude_5x200=false goes without"
    ):
        draw_5x200(["Atelectasis"] * 3, 0)


def test_a_seed_that_is_not_committed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"samplings must be among the seeds \[0, 1, 2, 3, 4\], got 9"):
        draw_5x200([], 9)


def test_a_cell_that_is_no_label_is_named_with_its_place_each_time() -> None:
    for place in ("train.csv: row 7", "train.csv: row 9"):
        with pytest.raises(ValueError, match=f"^{place}: column 'Edema' holds '2'"):
            exclusive_task(NOTHING | {"Edema": "2"}, place)
