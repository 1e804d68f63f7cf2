"""Prompt sets: those that come with the package, those of a user, and names without prompts."""

from __future__ import annotations

import json

import pytest

from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.data.sources.chexpert_labels import COMPETITION_CLASSES
from monai_place.data.sources.covidx import THREE as COVIDX
from monai_place.data.sources.rsna import CLASS as RSNA
from monai_place.data.sources.siim import CLASS as SIIM
from monai_place.inference.prompts import builtin_prompt_sets, generic_prompts, load_prompts, prompts_for

CHEXPERT = """No Finding;Enlarged Cardiomediastinum;Cardiomegaly;Lung Opacity;Lung Lesion;Edema;Consolidation;Pneumonia;
Atelectasis;Pneumothorax;Pleural Effusion;Pleural Other;Fracture;Support Devices""".replace("\n", "").split(";")


NIH = """Atelectasis;Cardiomegaly;Effusion;Infiltration;Mass;Nodule;Pneumonia;Pneumothorax;Consolidation;Edema;
Emphysema;Fibrosis;Pleural_Thickening;Hernia""".replace("\n", "").split(";")


@pytest.mark.parametrize("name", builtin_prompt_sets())
def test_every_finding_has_several_prompts_and_no_prompt_is_both_positive_and_negative(name):
    for entry in load_prompts(name).findings:
        assert min(len(entry.positive), len(entry.negative)) >= 2
        assert not set(entry.positive) & set(entry.negative)
        assert len(set(entry.positive + entry.negative)) == len(entry.positive + entry.negative)


def test_the_phantom_s_classes_have_prompts_in_their_order():
    assert load_prompts("phantom").classes == PHANTOM_CLASSES


def test_the_fourteen_observations_of_chexpert_are_there():
    assert list(load_prompts("chexpert14").classes) == CHEXPERT


def test_prompts_of_a_side_say_both_sides_alike():
    for entry in load_prompts("phantom").findings:
        text = " ".join(entry.positive).lower()
        assert text.count("left") == text.count("right")


def test_names_are_found_whatever_their_case_and_keep_their_own_spelling():
    chosen = load_prompts("chexpert14").select(["PNEUMOTHORAX", "edema"])
    assert chosen.classes == ("PNEUMOTHORAX", "edema")
    assert chosen.findings[0].positive == load_prompts("chexpert14").findings[9].positive


def test_an_unknown_finding_gets_generic_prompts():
    chosen = prompts_for(["nodule", "scoliosis"])
    assert chosen.findings[1] == generic_prompts("scoliosis")
    assert chosen.findings[1].positive[0] == "There is scoliosis."
    assert chosen.findings[1].negative[0] == "No scoliosis."


def test_braces_in_a_name_are_text():
    assert generic_prompts("{0} {finding}").positive[0] == "There is {0} {finding}."


def test_the_set_that_knows_most_names_is_taken():
    assert prompts_for(["COVID-19", "ARDS"]).name == "covid19_cxr"
    assert prompts_for(list(PHANTOM_CLASSES)).name == "phantom"


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (list(PHANTOM_CLASSES), "phantom"),
        (CHEXPERT, "chexpert14"),
        (list(COMPETITION_CLASSES), "chexpert14"),
        (list(load_prompts("covid19_cxr").classes), "covid19_cxr"),
        (["nodule"], "phantom"),
        (["Pneumonia"], "chexpert14"),
        (["pneumothorax"], "chexpert14"),
        (["Pneumonia", "COVID-19"], "covid19_cxr"),
        (["normal", "pneumonia", "COVID-19"], "covidx"),
        (list(load_prompts("nih14").classes), "nih14"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sets_that_came_later_leave_the_older_ones_theirs(names, chosen):
    assert prompts_for(names).name == chosen


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("chexpert5", list(COMPETITION_CLASSES)),
        ("rsna", [RSNA]),
        ("siim", [SIIM]),
        ("covidx", list(COVIDX)),
    ],
)
def test_a_data_set_s_own_prompts_have_its_names(name, classes):
    assert list(load_prompts(name).classes) == classes


def test_the_fourteen_findings_of_nih_are_there():
    assert list(load_prompts("nih14").classes) == NIH


def test_the_five_tasks_have_the_prompts_of_the_fourteen_observations():
    fourteen = {entry.finding: entry for entry in load_prompts("chexpert14").findings}
    assert all(entry == fourteen[entry.finding] for entry in load_prompts("chexpert5").findings)


def test_every_finding_of_a_data_set_has_several_prompts():
    for name in ("chexpert5", "nih14", "rsna", "siim", "covidx"):
        assert all(min(len(entry.positive), len(entry.negative)) >= 3 for entry in load_prompts(name).findings)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "at least one"),
        (["nodule", " "], "blank"),
        (["Nodule", "nodule"], "stand twice"),
        ([3], "at least one text"),
    ],
)
def test_names_that_are_missing_blank_or_doubled_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        prompts_for(names)


GOOD = {"name": "a", "positive": ["A."], "negative": ["No a."]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "key 'findings'"),
        ({"findings": []}, "at least one finding"),
        ({"findings": ["a"]}, r"findings\[0\] must be an object"),
        ({"findings": [GOOD | {"name": ""}]}, "key 'name'"),
        ({"findings": [GOOD | {"positive": []}]}, r"findings\[0\] \('a'\): key 'positive'"),
        ({"findings": [GOOD | {"positive": "A."}]}, "key 'positive'"),
        ({"findings": [GOOD | {"negative": ["No a.", " "]}]}, "key 'negative'"),
        ({"findings": [GOOD, GOOD]}, "stand twice"),
    ],
)
def test_a_file_that_is_no_prompt_set_is_refused_by_place(tmp_path, content, message):
    (tmp_path / "mine.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"mine\.json.*{message}"):
        load_prompts(tmp_path / "mine.json")


def test_a_file_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "mine.json").write_text("{")
    with pytest.raises(ValueError, match=r"mine\.json: not JSON"):
        load_prompts(tmp_path / "mine.json")


def test_a_set_that_is_not_there_names_those_that_are():
    with pytest.raises(FileNotFoundError, match="chexpert14"):
        load_prompts("chexpert15")


def test_a_file_of_one_s_own_is_read(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"findings": [GOOD]}))
    assert load_prompts(tmp_path / "mine.json").classes == ("a",)
