from __future__ import annotations

import csv
import io
import json

from monai_place.suites.compare import Difference, SeedEstimate
from monai_place.suites.tables import SuiteRow, SuiteTable

NAN = float("nan")
ROWS = [
    SuiteRow(
        "linear probe",
        "phantom",
        0.1,
        "macro AUROC",
        100,
        {"=PLACE": SeedEstimate(0.75, 0.7, 0.8, 0.01, 5), "random": SeedEstimate(0.6, 0.5, 0.7, 0.02, 5)},
        [Difference("=PLACE", "random", 0.15, 0.1, 0.2, 0.001, 0.002)],
        {"=PLACE": {"AUPRC": 0.4, "ECE": None}},
    ),
    SuiteRow(
        "zero-shot",
        "phantom",
        None,
        "macro AUROC",
        100,
        {"=PLACE": SeedEstimate(0.7, NAN, NAN, None, 1)},
    ),
]
TABLE = SuiteTable(
    "demo",
    "test",
    ROWS,
    ["=PLACE", "random"],
    [("probe, random", "OSError")],
    [("zero-shot, random", "no text")],
    "Note.",
)


def test_json_holds_no_nan() -> None:
    text = json.dumps(TABLE.to_dict(), allow_nan=False)
    assert json.loads(text)["rows"][1]["estimates"]["=PLACE"] == {
        "mean": 0.7,
        "low": None,
        "high": None,
        "deviation": None,
        "seeds": 1,
    }


def test_csv_has_a_line_for_each_number_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(TABLE.to_csv())))
    assert [(row["checkpoint"], row["metric"], row["mean"], row["low"]) for row in rows] == [
        ("'=PLACE", "macro AUROC", "0.75", "0.7"),
        ("'=PLACE", "AUPRC", "0.4", ""),
        ("'=PLACE", "ECE", "", ""),
        ("random", "macro AUROC", "0.6", "0.5"),
        ("'=PLACE", "macro AUROC", "0.7", ""),
    ]


def test_markdown_has_a_column_a_checkpoint_the_pairs_and_what_is_missing() -> None:
    text = TABLE.to_markdown()
    cells = "0.750 [0.700, 0.800], SD 0.010 (n=5) | 0.600 [0.500, 0.700], SD 0.020 (n=5)"
    assert f"| linear probe, 10 %: macro AUROC | {cells} |" in text
    assert "| zero-shot: macro AUROC | 0.700 | \N{EN DASH} |" in text
    assert "| linear probe, 10 % | =PLACE - random | +0.150 [+0.100, +0.200] | 0.002 |" in text
    assert "## Not measured\n\n- probe, random: OSError" in text
    assert "## Does not apply\n\n- zero-shot, random: no text" in text


def test_a_name_of_signs_and_a_number_that_is_not_defined_keep_the_markdown_whole() -> None:
    name = "a|b <script>\nc"
    row = SuiteRow(
        name,
        name,
        None,
        "macro AUROC",
        3,
        {name: SeedEstimate(NAN, NAN, NAN, None, 1)},
        [Difference(name, name, NAN, NAN, NAN, NAN, NAN)],
    )
    lines = SuiteTable(name, "test", [row], [name], [(name, name)]).to_markdown().splitlines()
    shown = r"a\|b \<script\> c"
    assert f"# {shown}" in lines
    assert f"| | {shown} |" in lines
    assert f"| {shown}: macro AUROC | \N{EN DASH} |" in lines
    assert f"| {shown} | {shown} - {shown} | \N{EN DASH} | \N{EN DASH} |" in lines
    assert f"- {shown}: {shown}" in lines
