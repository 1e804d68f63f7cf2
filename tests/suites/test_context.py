from __future__ import annotations

from pathlib import Path

from monai_place.suites.context import CellContext
from monai_place.suites.run import plan_suite


def test_the_identity_tells_weights_from_weights_and_data_from_data(suite_folder: Path, tmp_path: Path) -> None:
    spec = plan_suite(suite_folder / "suite.json")[0]
    context = CellContext(tmp_path)
    datalist = spec.datasets[0].datalist
    found = [context.identity(checkpoint, datalist)["weights"] for checkpoint in spec.checkpoints]
    assert len(set(found)) == 3
    assert found == [CellContext(tmp_path).identity(checkpoint, datalist)["weights"] for checkpoint in spec.checkpoints]
    (tmp_path / "other.json").write_text(Path(datalist).read_text().replace("phantom", "fantom", 1))
    same, other = (context.identity(spec.checkpoints[0], path) for path in (datalist, str(tmp_path / "other.json")))
    assert same["weights"] == other["weights"]
    assert same["datalist"] != other["datalist"]


def test_a_network_is_loaded_once_for_cells_in_a_row(suite_folder: Path, tmp_path: Path) -> None:
    cells = [cell for cell in plan_suite(suite_folder / "suite.json")[1] if cell.task.task == "logistic_probe"]
    context = CellContext(tmp_path)
    first, again = (context.encoder(cell, ("global",)) for cell in cells[:2])
    assert first is again
    assert context.encoder(cells[-1], ("global",)) is not first
