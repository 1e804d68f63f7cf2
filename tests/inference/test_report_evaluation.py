from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from monai_place.data.datalist import load_records
from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.data.report_format import ReportFormat
from monai_place.inference.report_evaluation import choose_labeller, constant_reports, evaluate_reports
from monai_place.inference.report_results import GeneratedReport, GeneratedReports, GeneratedSentence
from monai_place.inference.report_writer import load_report_generator
from tests.support.generators import save_tiny_generator

JUDGE = choose_labeller(PHANTOM_CLASSES)


@pytest.fixture(scope="module")
def training(phantom):
    return load_records(phantom, "training")


def told_by(texts, form):
    """Return a writer that says what it is told, through the same face as the real one."""

    def generate(images, **_):
        reports = [
            GeneratedReport(place, str(place), (GeneratedSentence(text, "impression"),), form.sections)
            for place, text in enumerate(texts)
        ]
        return GeneratedReports(tuple(reports))

    return SimpleNamespace(loaded=SimpleNamespace(report_format=form), generate=generate)


def test_a_generator_that_copies_the_references_beats_every_constant(records, training):
    form = ReportFormat(("impression",))
    texts = [form.reference(record) for record in records]
    values = evaluate_reports(told_by(texts, form), records, training=training, judge=JUDGE, bootstrap=200)
    assert values["generator"]["text"]["bleu_4"]["value"] == pytest.approx(1)
    assert values["generator"]["clinical"]["micro"]["precision"]["value"] == 1
    for name in ("most_frequent", "best_f1"):
        gain = values["differences"][name]["clinical"]["micro_f1"]
        assert gain["low"] > 0
        ours, theirs = (values[key]["clinical"]["micro"]["f1"]["value"] for key in ("generator", name))
        assert gain["value"] == pytest.approx(ours - theirs)
        assert values[name]["report"] in {form.reference(record) for record in training}
    assert values["labels"] == "of the records"
    json.dumps(values, allow_nan=False)


def test_a_real_generator_is_measured_on_its_own_sections(records, training, tmp_path):
    writer = load_report_generator(save_tiny_generator(tmp_path / "generator"), device="cpu")
    values = evaluate_reports(writer, records[:4], training=training, judge=JUDGE, bootstrap=20)
    assert values["studies"] == 4
    assert values["sections"] == ["impression"]
    assert values["left_out"] == {"meteor": "not asked for"}
    assert 0 < values["reports_alike"] <= 1
    again = evaluate_reports(writer, records[:4], training=training, judge=JUDGE, bootstrap=20)
    assert again == values


def test_other_classes_are_judged_by_the_reference_reports(records, training):
    form = ReportFormat(("impression",))
    judge = choose_labeller(["COVID-19"])
    assert not judge.by_labels
    texts = [form.reference(record) for record in records]
    values = evaluate_reports(told_by(texts, form), records, training=training, judge=judge, bootstrap=10)
    assert values["labels"] == "of the reference reports"
    assert values["labeller"] == "chexpert-14"
    assert values["generator"]["clinical"]["micro"]["f1"]["value"] == 1


def test_the_best_constant_asserts_something_and_is_chosen_on_training_records(training):
    form = ReportFormat(("impression",))
    references = [form.reference(record) for record in training]
    found = constant_reports(training, references, JUDGE)
    assert JUDGE.asserted([found["best_f1"]]).sum() > 0
    assert set(found.values()) <= set(references)


def test_records_without_the_sections_are_told(records, training):
    bare = [{"id": "a", "image": "a.png"}]
    form = ReportFormat(("impression",))
    with pytest.raises(ValueError, match="none of the 1 records has a report in the sections \\['impression'\\]"):
        evaluate_reports(told_by([], form), bare, training=training, judge=JUDGE)
