"""Diagnostics along with a validation of MONAI's evaluator."""

from __future__ import annotations

import torch
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer

from monai_place.engines import DiagnosticsHandler, PretrainingDiagnostics, prepare_study_batch
from monai_place.losses import PLACELoss
from tests.networks.models import make_batch, small_model


def test_metrics_of_the_evaluator_hold_the_numbers_of_its_last_run_alone() -> None:
    model, batches = small_model().eval(), [make_batch([1, 2, 2]), make_batch([2, 1, 1], seed=1)]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=batches,
        epoch_length=len(batches),
        network=model,
        inferer=SimpleInferer(),
        prepare_batch=prepare_study_batch,
        decollate=False,
        val_handlers=[DiagnosticsHandler(PLACELoss())],
    )
    expected = PretrainingDiagnostics(PLACELoss())
    with torch.no_grad():
        for batch in batches:
            expected.update(model, batch, model(batch))
    for _ in range(2):  # a second run must not add to the first
        evaluator.run()
        assert evaluator.state.metrics == expected.compute()
