from __future__ import annotations

import pytest
import torch

from monai_place.data.report_format import ReportFormat
from monai_place.transforms import StudyCollate
from monai_place.transforms.report_target import ReportTargetd
from tests.support.models import tiny_tokenizer


def test_sequence_and_prompt_length_are_added_and_collated():
    step = ReportTargetd(tiny_tokenizer(), ReportFormat(("findings",)))
    items = [step({"id": "a", "report": "There is cardiomegaly."}), step({"id": "b", "report": "No nodule is seen."})]
    assert items[0]["report"] == "There is cardiomegaly."
    batch = StudyCollate(0, stack_keys=["target_start"])(items)
    assert batch["target_start"].tolist() == [2, 2]
    assert batch["attention_mask"].sum(1).tolist() == [len(item["input_ids"]) for item in items]


def test_stacked_keys_of_different_shapes_are_named():
    with pytest.raises(ValueError, match="'observations' must have one shape"):
        StudyCollate(stack_keys=["observations"])([{"observations": torch.zeros(2)}, {"observations": torch.zeros(3)}])
