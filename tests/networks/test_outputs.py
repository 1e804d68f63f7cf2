"""What the networks return: named fields that cannot be changed, and which reports hold text."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from monai_place.networks import CorrelationOutput, ReportFeatures


def test_report_has_text_where_it_has_a_sentence() -> None:
    mask = torch.tensor([[True, True], [False, False], [False, True]])
    nothing = torch.zeros(3, 2)
    report = ReportFeatures(
        global_embedding=nothing,
        sentence_embeddings=nothing,
        sentence_mask=mask,
        token_states=nothing,
        attention_mask=nothing,
    )
    assert report.has_text.tolist() == [True, False, True]


def test_fields_cannot_be_changed() -> None:
    output = CorrelationOutput(prediction=torch.zeros(1), target=torch.zeros(1))
    with pytest.raises(FrozenInstanceError):
        output.target = torch.ones(1)  # type: ignore[misc]
