from __future__ import annotations

import pytest

from monai_place.metrics import rad_eval
from monai_place.metrics.rad_eval import rad_eval_scores


def test_without_rad_eval_the_error_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(rad_eval, "optional_import", lambda *_, **__: (None, False))
    with pytest.raises(ImportError, match="pip install RadEval"):
        rad_eval_scores(["No effusion."], ["Effusion."])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="got \\['bleu'\\]"):
        rad_eval_scores(["a"], ["a"], ["bleu"])
    with pytest.raises(ValueError, match="one length, got 2 and 1"):
        rad_eval_scores(["a", "b"], ["a"])


def test_rad_eval_is_asked_for_the_scores_and_no_other():
    pytest.importorskip("RadEval")
    found = rad_eval_scores(["No effusion."], ["No effusion."], ["radgraph"])
    assert any("radgraph" in name for name in found)
