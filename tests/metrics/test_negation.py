from __future__ import annotations

import pytest

from monai_place.metrics.negation import assertion_of


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("there is a small effusion.", "positive"),
        ("no effusion.", "negative"),
        ("no focal consolidation, effusion or pneumothorax.", "negative"),
        ("no consolidation, small effusion on the left.", "positive"),
        ("no pneumothorax, but there is an effusion.", "positive"),
        ("no pneumothorax; effusion is unchanged.", "positive"),
        ("neither consolidation nor effusion is identified.", "negative"),
        ("lungs are clear without effusion.", "negative"),
        ("effusion without mediastinal shift.", "positive"),
        ("effusion is not seen.", "negative"),
        ("the effusion has resolved.", "negative"),
        ("resolution of the effusion.", "negative"),
        ("no change in the effusion.", "positive"),
        ("no significant interval change of the left effusion.", "positive"),
        ("a small effusion cannot be excluded.", "uncertain"),
        ("possible effusion.", "uncertain"),
        ("there may be an effusion.", "uncertain"),
        ("no pneumothorax, there may be an effusion.", "uncertain"),
        ("effusion versus thickening.", "positive"),
        ("pleural thickening versus effusion.", "uncertain"),
        ("apart from an effusion no finding.", "positive"),
        ("known effusion with no pneumothorax.", "positive"),
        ("the cardiac silhouette and effusion", "positive"),
    ],
)
def test_what_a_sentence_says_of_an_effusion(sentence, expected):
    start = sentence.index("effusion")
    assert assertion_of(sentence, start, start + len("effusion")) == expected


def test_words_inside_of_the_mention_count():
    text = "the heart is not enlarged."
    assert assertion_of(text, 4, len(text) - 1) == "negative"
    assert assertion_of(text.replace("not", "possibly"), 4, len(text) + 4) == "uncertain"
