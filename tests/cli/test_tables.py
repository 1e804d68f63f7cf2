from __future__ import annotations

import copy
from typing import Any

from monai_place.cli.tables import evaluation_tables, print_tables, validation_table

ESTIMATE = {"value": 0.75, "low": 0.5, "high": 1.0}
UNKNOWN = {"value": None, "low": None, "high": None}


def values() -> dict[str, Any]:
    side = {"intervals": {"recall_at_1": ESTIMATE, "recall_at_5": UNKNOWN}, "median_rank": 2.5}
    mode = {
        "macro": ESTIMATE,
        "per_finding": {"nodule": ESTIMATE, "edema": UNKNOWN},
        "positives": {"nodule": 3, "edema": 0},
        "negatives": {"nodule": 7, "edema": 10},
    }
    return {
        "zero_shot": {"global": mode, "local": copy.deepcopy(mode)},
        "retrieval": {"image_to_text": side, "text_to_image": side},
        "grounding": {
            "sentences": 5,
            "studies": 3,
            "pointing": {"model": ESTIMATE, "prior": ESTIMATE, "chance": ESTIMATE},
            "miou": {"model": UNKNOWN},
            "pointing_by_finding": {"nodule": {"sentences": 5, "model": 0.5, "prior": None}},
        },
        "diagnostics": {"pcma_gap": 1.5, "slot_cosine": None, "cce_explained": float("nan")},
    }


def test_probe_and_toolboxes_of_a_demo_have_their_tables() -> None:
    probe = {"pretrained": {"0.01": ESTIMATE, "1.0": ESTIMATE}, "untrained": {"0.01": UNKNOWN, "1.0": ESTIMATE}}
    scores = {"pretrained": [0.5, 0.6], "random start": [0.25, float("nan")]}
    demo = {**values(), "linear_probe": probe, "downstream": [{"task": "Boxes", "metric": "AP50", "scores": scores}]}
    tables = {table.title: table for table in evaluation_tables(demo)}
    linear = tables["Linear probe, macro AUROC [95 % interval] by share of labels"]
    assert linear.header == ["network", "1 %", "100 %"]
    assert [row[0] for row in linear.rows] == ["pretrained", "untrained"]
    assert tables["Boxes (AP50)"].header == ["start", "seed 0", "seed 1"]
    assert tables["Boxes (AP50)"].rows == [["pretrained", "0.500", "0.600"], ["random start", "0.250", "-"]]


def test_the_classification_of_a_demo_has_its_table() -> None:
    tables = evaluation_tables({**values(), "classification": {"AUROC": ESTIMATE, "F1": UNKNOWN}})
    (table,) = [table for table in tables if table.title.startswith("Classification")]
    assert [row[0] for row in table.rows] == ["AUROC", "F1"]


def test_a_whole_evaluation_has_four_tables() -> None:
    zero, retrieval, grounding, diagnostics = evaluation_tables(values())
    assert zero.header == ["finding", "global", "local", "positive"]
    assert zero.rows[0] == ["nodule", "0.750 [0.500, 1.000]", "0.750 [0.500, 1.000]", "3/10"]
    assert retrieval.header == ["retrieval", "image to text", "text to image"]
    assert retrieval.rows[-1] == ["median rank", "2.5", "2.5"]
    assert [row[0] for row in grounding.rows] == ["pointing", "miou"]
    assert diagnostics.title == "Diagnostics"


def test_retrieval_by_class_has_its_interval_and_its_spread() -> None:
    side = {
        "queries": 10,
        "precision_at_1": ESTIMATE | {"std": 0.0125},
        "by_class": {"nodule": {"precision_at_1": 1.0}},
    }
    other = {"queries": 10, "precision_at_1": UNKNOWN | {"std": None}, "by_class": {}}
    drawn = {"tasks": ["nodule", "edema"], "per_class": 5, "samplings": [0, 1], "chance": 0.5}
    drawn["sides"] = {"image_to_text": side | {"recall_at_1": ESTIMATE | {"std": None}}, "image_to_image": other}
    (table,) = [
        table for table in evaluation_tables({**values(), "class_retrieval": drawn}) if "by class" in table.title
    ]
    assert table.title.startswith("Retrieval by class, 2 x 5 studies, 2 draws, by chance 0.500")
    assert table.header == ["retrieval", "image to text", "image to image"]
    assert table.rows == [
        ["precision at 1", "0.750 [0.500, 1.000] (0.013)", "-"],
        ["recall at 1", "0.750 [0.500, 1.000]", ""],
    ]


def test_what_is_not_defined_is_a_dash_and_what_was_not_asked_is_empty() -> None:
    zero, retrieval, grounding, diagnostics = evaluation_tables(values())
    assert zero.rows[1] == ["edema", "-", "-", "0/10"]
    assert retrieval.rows[1][1:] == ["-", "-"]
    assert grounding.rows[1] == ["miou", "-", "", ""]
    assert diagnostics.rows == [["pcma_gap", "1.500"], ["slot_cosine", "-"], ["cce_explained", "-"]]


def test_a_part_without_an_answer_has_no_table() -> None:
    nothing = values() | {"zero_shot": {"global": {}, "local": {}}, "retrieval": {}, "grounding": {}}
    assert [table.title for table in evaluation_tables(nothing)] == ["Diagnostics"]
    assert evaluation_tables(values() | {"zero_shot": {}})[0].title.startswith("Retrieval")


def history(*losses: float | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for epoch, loss in enumerate(losses, 1):
        rows.append({"kind": "train", "epoch": epoch, "iteration": epoch * 3, "loss": 9.0})
        rows.append(
            {"kind": "validation", "epoch": epoch, "iteration": epoch * 3, "val_loss": loss, "pcma_gap": epoch / 10}
        )
    return rows


def test_last_and_kept_validation_stand_side_by_side() -> None:
    table = validation_table(history(3.0, 2.0, 2.0, 4.0))
    assert table is not None
    assert table.header == ["validation", "epoch 4, last", "epoch 2, kept"]
    assert table.rows == [["val_loss", "4.000", "2.000"], ["pcma_gap", "0.400", "0.200"]]


def test_the_last_validation_stands_alone_where_it_is_the_kept_one() -> None:
    table = validation_table(history(3.0, 2.0))
    assert table is not None
    assert table.header == ["validation", "epoch 2, last"]


def test_a_loss_that_was_not_finite_is_not_the_kept_one() -> None:
    table = validation_table(history(3.0, None))
    assert table is not None
    assert table.rows[0] == ["val_loss", "-", "3.000"]
    assert validation_table(history(None)) is not None


def test_a_run_without_validation_has_no_table() -> None:
    assert validation_table(history()) is None
    assert validation_table(history(3.0)[:1]) is None


def test_tables_are_printed_with_their_titles(capsys: Any) -> None:
    print_tables(evaluation_tables(values()))
    out = capsys.readouterr().out
    assert out.startswith("\nZero-shot AUROC")
    assert out.count("\n\n") == 3
