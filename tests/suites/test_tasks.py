from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monai_place.data.datalist import load_records
from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.inference.collect import collect_studies
from monai_place.inference.loading import load_place
from monai_place.inference.probe import linear_probe_auroc, probe_features
from monai_place.metrics.zeroshot import zero_shot_auroc
from monai_place.suites.context import CellContext
from monai_place.suites.run import plan_suite
from monai_place.suites.spec import SuiteCell
from monai_place.suites.store import CellResult
from monai_place.suites.tables import SuiteTable
from monai_place.suites.tasks import TASKS
from tests.suites.test_run import rewrite


def cells_of(folder: Path, task: str) -> list[SuiteCell]:
    return [cell for cell in plan_suite(folder / "suite.json")[1] if cell.task.task == task]


def test_the_logistic_probe_is_that_of_the_demo(suite_folder: Path, tmp_path: Path) -> None:
    cell = next(cell for cell in cells_of(suite_folder, "logistic_probe") if cell.fraction == 1 and cell.seed == 0)
    found = TASKS["logistic_probe"].measure(cell, CellContext(tmp_path))
    loaded = load_place(suite_folder / "model")
    parts = [load_records(cell.dataset.datalist, split) for split in ("training", "test")]
    features = [probe_features(loaded, part, classes=PHANTOM_CLASSES) for part in parts]
    expected = linear_probe_auroc(*features[0], *features[1], findings=list(PHANTOM_CLASSES), bootstrap=10)["macro"]
    area = TASKS["logistic_probe"].statistic({})(found.studies, np.ones((1, len(found.ids))))[0]
    assert area == pytest.approx(expected.value, abs=1e-6)


def test_zero_shot_and_retrieval_are_those_of_evaluate(suite_folder: Path, measured: tuple[SuiteTable, Path]) -> None:
    records = load_records(suite_folder / "phantom" / "datalist.json", "test")
    studies = collect_studies(load_place(suite_folder / "model"), records, classes=PHANTOM_CLASSES)
    rows = {row.title: row.estimates["trained"].mean for row in measured[0].rows}
    assert rows["zero_shot"] == pytest.approx(zero_shot_auroc(studies.scores["global"], studies.labels).macro, abs=1e-6)
    scores = studies.images @ studies.reports.t()
    texts = [" ".join(text.split()) for text in studies.report_texts]
    assert len(set(texts)) == len(texts)
    ranks = 1 + (scores >= scores.diagonal()[:, None]).sum(dim=1) - 1
    assert rows["retrieval"] == pytest.approx(float((ranks <= 3).double().mean()))


def test_random_weights_are_drawn_from_the_seed_of_the_cell(suite_folder: Path, tmp_path: Path) -> None:
    cells = [cell for cell in cells_of(suite_folder, "logistic_probe") if cell.checkpoint.name == "random"]
    cells = [cell for cell in cells if cell.fraction == 1]
    context = CellContext(tmp_path)
    weights = [next(context.encoder(cell, ("global",)).network.parameters()).clone() for cell in cells]
    assert not torch.equal(*weights)


@pytest.mark.slow
def test_the_bundles_probe_and_finetuning_run_as_cells(suite_folder: Path, tmp_path: Path) -> None:
    short = {"epochs": 1, "val_interval": 1, "seeds": [0], "fractions": [1.0]}
    suite = rewrite(
        suite_folder,
        tmp_path / "s",
        tasks=[{"task": "linear_probe", **short}, {"task": "finetune", "batch_size": 8, **short}],
    )
    cells = plan_suite(suite)[1]
    for number in (0, 2, 3):
        cell = cells[number]
        found: CellResult = TASKS[cell.task.task].measure(cell, CellContext(tmp_path / str(number)))
        assert found.studies["scores"].shape == (16, len(PHANTOM_CLASSES))
        assert len(found.ids) == 16


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        pytest.param(
            "retrieval", {"direction": "typo"}, r"'direction' is 'typo', expected \('image_to_text'", id="text"
        ),
        pytest.param("retrieval", {"k": 0}, r"'k' is 0, expected a whole number of at least 1", id="rank"),
        pytest.param("retrieval", {"k": "5"}, r"'k' is '5', expected a whole", id="text for a number"),
        pytest.param("zero_shot", {"mode": "foo"}, r"'mode' is 'foo', expected \('global'", id="mode"),
        pytest.param("logistic_probe", {"features": "foo"}, r"'features' is 'foo'", id="features"),
        pytest.param(
            "logistic_probe",
            {"inverse_regularization": 0},
            r"'inverse_regularization' is 0, expected a finite",
            id="regularization",
        ),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_refused(task: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"s\.json: setting {message}"):
        TASKS[task].check(settings, "s.json")
