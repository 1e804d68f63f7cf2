from __future__ import annotations

import pytest

from monai_place.data.report_format import ReportFormat, find_indication, format_report
from monai_place.data.tokens import ReportTokenizer

REPORT = (
    "INDICATION: Cough and fever.\nWET READ: Nodule.\nCOMPARISON: Prior nodule.\n"
    "FINDINGS: Clear lungs. No effusion.\nIMPRESSION: Normal chest."
)


@pytest.fixture(scope="module")
def tokenizer():
    return ReportTokenizer.train([REPORT] * 2, vocab_size=300, max_tokens=64, min_frequency=1)


def words(tokenizer, ids):
    return tokenizer.decode(ids)


def test_both_sections_stand_under_their_headings(tokenizer):
    encoded = ReportFormat().encode(tokenizer, {"report": REPORT})
    prompt, target = encoded.input_ids[: encoded.target_start], encoded.input_ids[encoded.target_start :]
    assert words(tokenizer, prompt) == "cough and fever."
    assert words(tokenizer, target) == "findings : clear lungs. no effusion. impression : normal chest."
    assert prompt[0] == tokenizer.special_ids["cls"]
    assert prompt[-1] == target[-1] == tokenizer.special_ids["sep"]
    assert encoded.truncated == 0


def test_without_an_indication_the_prompt_is_empty(tokenizer):
    wanted = [tokenizer.special_ids["cls"], tokenizer.special_ids["sep"]]
    for choice, record in (
        (ReportFormat(indication=False), {"report": REPORT}),
        (ReportFormat(), {"report": "FINDINGS: Clear lungs."}),
        (ReportFormat(), {"sections": {"findings": "Clear lungs.", "indication": None}}),
    ):
        encoded = choice.encode(tokenizer, record)
        assert encoded.input_ids[: encoded.target_start].tolist() == wanted


def test_sections_of_the_record_count_before_its_report():
    record = {"report": REPORT, "sections": {"impression": "Seen by another.", "indication": "Fall."}}
    assert ReportFormat(("impression",)).target_sentences(record) == ["Seen by another."]
    assert ReportFormat(("findings",)).target_sentences(record) == ["Clear lungs.", "No effusion."]
    assert find_indication(record) == "Fall."


def test_indication_holds_nothing_that_was_read_off_the_image():
    assert find_indication({"report": REPORT}) == "Cough and fever."
    assert find_indication({"report": "Clear lungs."}) == ""
    body = "HISTORY: Cough.\n\nThe lungs are clear and the heart is normal.\nIMPRESSION: Normal."
    assert find_indication({"report": body}) == "Cough."


def test_a_report_that_is_cut_has_no_end_to_learn(tokenizer):
    whole = ReportFormat(("findings",)).encode(tokenizer, {"report": REPORT})
    room = len(whole.input_ids) - 3
    cut = ReportFormat(("findings",), max_tokens=room, max_prompt_tokens=8).encode(tokenizer, {"report": REPORT})
    assert len(cut.input_ids) == room
    assert cut.truncated == 3
    assert cut.input_ids[-1] != tokenizer.special_ids["sep"]
    exact = ReportFormat(("findings",), max_tokens=room + 3, max_prompt_tokens=8).encode(tokenizer, {"report": REPORT})
    assert exact.input_ids.tolist() == whole.input_ids.tolist()


def test_a_tokenizer_that_cuts_first_leaves_no_end_either(tokenizer):
    short = ReportTokenizer.train([REPORT] * 2, vocab_size=300, max_tokens=6, min_frequency=1)
    encoded = ReportFormat(("findings",), indication=False).encode(short, {"report": REPORT})
    assert encoded.truncated > 0
    assert encoded.input_ids[-1] != short.special_ids["sep"]


def test_a_long_indication_is_cut_and_keeps_its_end_mark(tokenizer):
    prompt = ReportFormat(max_prompt_tokens=5).encode_prompt(tokenizer, "Cough and fever. " * 9)
    assert len(prompt) == 5
    assert prompt[-1] == tokenizer.special_ids["sep"]


def test_a_record_without_the_section_has_nothing_to_learn(tokenizer):
    encoded = ReportFormat(("impression",)).encode(tokenizer, {"report": "FINDINGS: Clear lungs."})
    assert encoded.target_start == len(encoded.input_ids) == 2


def test_reference_is_the_text_of_the_sections():
    assert ReportFormat().reference({"report": REPORT}) == (
        "FINDINGS: Clear lungs. No effusion.\nIMPRESSION: Normal chest."
    )
    assert ReportFormat(("impression",)).reference({"report": REPORT}) == "Normal chest."
    assert format_report({}, ("findings",)) == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"sections": ("other",)}, "sections must be one or both", id="name"),
        pytest.param({"sections": ()}, "sections must be one or both", id="none"),
        pytest.param({"sections": ("findings", "findings")}, "each once", id="twice"),
        pytest.param({"max_tokens": 20, "max_prompt_tokens": 19}, "max_prompt_tokens is 19", id="lengths"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReportFormat(**arguments)
