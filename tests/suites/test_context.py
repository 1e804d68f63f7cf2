from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from monai_place.data.phantom import write_phantom
from monai_place.suites.context import CellContext
from monai_place.suites.run import plan_suite


def test_the_identity_tells_weights_from_weights_and_data_from_data(suite_folder: Path, tmp_path: Path) -> None:
    spec = plan_suite(suite_folder / "suite.json")[0]
    context = CellContext(tmp_path)
    data = spec.datasets[0]
    found = [context.identity(checkpoint, data)["weights"] for checkpoint in spec.checkpoints]
    assert len(set(found)) == 3
    assert found == [CellContext(tmp_path).identity(checkpoint, data)["weights"] for checkpoint in spec.checkpoints]
    (tmp_path / "other.json").write_text(Path(data.datalist).read_text().replace("phantom", "fantom", 1))
    more = replace(data, datalist=str(tmp_path / "other.json"))
    same, other = (context.identity(spec.checkpoints[0], entry) for entry in (data, more))
    assert same["weights"] == other["weights"]
    assert same["datalist"] != other["datalist"]


def test_the_identity_tells_the_same_datalist_beside_other_images(suite_folder: Path, tmp_path: Path) -> None:
    spec = plan_suite(suite_folder / "suite.json")[0]

    def identity(folder: Path) -> str:
        data = replace(spec.datasets[0], datalist=str(folder / "datalist.json"))
        return CellContext(tmp_path).identity(spec.checkpoints[0], data)["datalist"]

    shutil.copytree(suite_folder / "phantom", tmp_path / "phantom")
    before = identity(tmp_path / "phantom")
    assert before == identity(suite_folder / "phantom")  # where it lies takes no part
    write_phantom(tmp_path / "small", studies=40, size=48, seed=1, fractions=(0.5, 0.1, 0.4))
    shutil.copy(tmp_path / "phantom" / "datalist.json", tmp_path / "small")
    assert identity(tmp_path / "small") != before
    next((tmp_path / "phantom" / "images").iterdir()).unlink()
    assert identity(tmp_path / "phantom") != before


def test_the_identity_tells_splits_and_prompts(suite_folder: Path, tmp_path: Path) -> None:
    spec = plan_suite(suite_folder / "suite.json")[0]
    found = []
    for sentence in ("There is edema.", "Edema."):
        finding = {"name": "edema", "positive": [sentence], "negative": ["No edema."]}
        (tmp_path / "prompts.json").write_text(json.dumps({"name": "mine", "findings": [finding]}))
        data = replace(spec.datasets[0], prompts=str(tmp_path / "prompts.json"))
        found += [
            tuple(CellContext(tmp_path, split).identity(spec.checkpoints[1], data).values())
            for split in ("test", "validation")
        ]
    assert len(set(found)) == 4


def test_a_network_is_loaded_once_for_cells_in_a_row(suite_folder: Path, tmp_path: Path) -> None:
    cells = [cell for cell in plan_suite(suite_folder / "suite.json")[1] if cell.task.task == "logistic_probe"]
    context = CellContext(tmp_path)
    first, again = (context.encoder(cell, ("global",)) for cell in cells[:2])
    assert first is again
    assert context.encoder(cells[-1], ("global",)) is not first
