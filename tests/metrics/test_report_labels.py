"""The labeller against the phantom's ground truth, sentence by sentence, and on sentences of real style."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.data.phantom.findings import sample_findings
from monai_place.data.phantom.report import join_report, write_sentences
from monai_place.metrics.report_labels import ReportLabeller, builtin_vocabularies, presence_table

PHANTOM, CHEXPERT = ReportLabeller("phantom"), ReportLabeller("chexpert-14")
STUDIES = 1500


@pytest.fixture(scope="module")
def studies():
    made = []
    for seed in range(STUDIES):
        generator = np.random.default_rng([97, seed])
        specs = sample_findings(generator)
        sentences = write_sentences(specs, generator)
        made.append((specs, sentences, join_report(sentences, generator)[0]))
    return made


def test_labels_of_phantom_reports_are_their_ground_truth(studies):
    truth = [[float(name in {spec.class_name for spec in specs}) for name in PHANTOM_CLASSES] for specs, *_ in studies]
    found = presence_table(PHANTOM.table([report for *_, report in studies]))
    assert PHANTOM.classes == PHANTOM_CLASSES
    assert (found == np.array(truth)).mean() > 0.999


def test_sentences_of_the_phantom_say_what_they_were_made_to_say(studies):
    wrong = {
        sentence.text: PHANTOM.sentence_labels(sentence.text)
        for _, sentences, _ in studies
        for sentence in sentences
        if PHANTOM.sentence_labels(sentence.text) != dict.fromkeys(sentence.classes, sentence.polarity)
    }
    assert len(wrong) <= 0.001 * sum(len(sentences) for _, sentences, _ in studies), wrong


def test_seven_findings_agree_between_the_vocabularies(studies):
    names = {"cardiomegaly": "Cardiomegaly", "pleural effusion": "Pleural Effusion", "pneumothorax": "Pneumothorax"}
    names |= {"edema": "Edema", "atelectasis": "Atelectasis", "nodule": "Lung Lesion"}
    for _, _, report in studies[:200]:
        ours, theirs = PHANTOM.label(report), CHEXPERT.label(report)
        for name, other in names.items():
            assert (ours[name] in (1, -1)) == (theirs[other] in (1, -1)), (name, report)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Stable cardiomegaly with mild pulmonary vascular congestion.", {"Cardiomegaly": 1, "Edema": 1}),
        ("ET tube terminates 4 cm above the carina.", {"Support Devices": 1}),
        ("Right PICC line ends in the SVC. No pneumothorax.", {"Support Devices": 1, "Pneumothorax": 0}),
        ("Widened mediastinum.", {"Enlarged Cardiomediastinum": 1}),
        ("Bibasilar opacities, atelectasis versus pneumonia.", {"Lung Opacity": 1, "Atelectasis": 1, "Pneumonia": -1}),
        ("No acute fracture. Old healed rib fractures.", {"Fracture": 1}),
        ("Pleural thickening at the right apex.", {"Pleural Other": 1}),
        ("Findings concerning for aspiration.", {"Pneumonia": -1}),
        ("No focal consolidation to suggest pneumonia.", {"Consolidation": 0, "Pneumonia": 0}),
        ("Interval resolution of left pleural effusion.", {"Pleural Effusion": 0}),
        ("Small pericardial effusion.", {}),
        ("Metastatic disease with numerous pulmonary nodules.", {"Lung Lesion": 1}),
        ("Cardiomediastinal silhouette is within normal limits.", {"Cardiomegaly": 0, "Enlarged Cardiomediastinum": 0}),
    ],
)
def test_sentences_as_radiologists_write_them(sentence, expected):
    found = {name: value for name, value in CHEXPERT.label(sentence).items() if value is not None}
    devices_only = not {name for name, value in expected.items() if value in (1, -1)} - {"Support Devices"}
    assert found == {"No Finding": float(devices_only), **expected}


def test_strongest_mention_counts_and_silence_is_none():
    labels = PHANTOM.label("No pneumothorax. Possible pneumothorax. There is a left pneumothorax.")
    assert labels["pneumothorax"] == 1
    assert labels["edema"] is None
    assert PHANTOM.label("") == dict.fromkeys(PHANTOM_CLASSES)
    assert np.isnan(PHANTOM.table([""])).all()
    assert PHANTOM.table([]).shape == (0, 7)


def test_uncertain_becomes_what_is_asked():
    labels = [[1, -1, 0, np.nan]]
    assert presence_table(labels, uncertain="negative").tolist() == [[1, 0, 0, 0]]
    assert np.isnan(presence_table(labels, uncertain="unknown"))[0].tolist() == [False, True, False, False]
    with pytest.raises(ValueError, match="uncertain must be one of"):
        presence_table(labels, uncertain="maybe")


def test_own_vocabulary_and_its_faults():
    own = ReportLabeller({"findings": {"hernia": {"mentions": ["hernias?"]}}})
    assert own.label("Large hiatal hernia.") == {"hernia": 1.0}
    with pytest.raises(ValueError, match="must be one of \\('chexpert-14', 'phantom'\\)"):
        ReportLabeller("nih")
    for fault in ({"classes": []}, {"findings": {"a": {}}}, {"findings": {"a": {"mentions": ["("]}}}):
        with pytest.raises(ValueError, match="not of the form"):
            ReportLabeller(fault)


def test_builtin_vocabularies_say_where_they_are_from():
    from monai_place.metrics.report_labels import FOLDER

    for name in builtin_vocabularies():
        content = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        assert content["name"] == name
        assert "written for monai-place" in content["source"]
    assert len(CHEXPERT.classes) == 14
