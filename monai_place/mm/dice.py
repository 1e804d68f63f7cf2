"""Dice as the published protocols count it: of each picture, 1 or 0 where there is nothing to find."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS as ROOT_METRICS

from monai_place.registry import METRICS

__all__ = ["PerImageDiceMetric"]

Mode: TypeAlias = Literal["clean", "mgca"]
Counts: TypeAlias = tuple[tuple[int, int], list[float]]  # (rank, batch), Dice by class


@ROOT_METRICS.register_module()
@METRICS.register_module()
class PerImageDiceMetric(BaseMetric):
    """Dice (twice the overlap over the sum of both areas) of each picture, and the mean of it over pictures.

    A picture without truth scores 1 where nothing is predicted, and else 0.

    Evaluates what MMSegmentation hands over, prediction and truth at the size of the picture: in the pipeline of the
    evaluation the annotation is loaded behind `Resize`. Reported are `Dice`, the mean over classes, and with several
    classes `Dice.<class>`.

    Args:
        classes: names of the classes that count; None takes all but `background`.
        threshold: a one-logit head's prediction is where its probability is above this; None takes what the head
            decided by its own threshold, which is 0.3 where a config does not say.
        mode: `clean` averages over pictures; `mgca` averages the means of the batches, as published code does, so that
            pictures of a short last batch weigh more, and the result depends on the batch size.
        ignore_index: the label of pixels that do not count.
        collect_device: `cpu` or `gpu`, see BaseMetric.
        prefix: of the names of the results.

    Raises:
        ValueError: the mode is unknown.
    """

    default_prefix = ""  # none, said on purpose

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        threshold: float | None = None,
        *,
        mode: Mode = "clean",
        ignore_index: int = 255,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {get_args(Mode)}, got {mode!r}")
        self.classes = classes
        self.threshold = threshold
        self.mode = mode
        self.ignore_index = ignore_index
        self._batch = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Take the Dice of each picture of a batch.

        Raises:
            ValueError: there is no truth, or it has another size than the prediction.
        """
        labels = [label for label, _ in self._counted()]
        batch = get_rank(), self._batch
        self._batch += 1
        for sample in data_samples:
            prediction, truth = self._prediction(sample), _truth(sample)
            if prediction.shape != truth.shape:
                raise ValueError(
                    f"the prediction has {tuple(prediction.shape)} pixels, the truth {tuple(truth.shape)}: load the "
                    "annotation behind Resize in the pipeline of the evaluation"
                )
            counted = truth != self.ignore_index
            dice = [_dice((prediction == label) & counted, (truth == label) & counted) for label in labels]
            self.results.append((batch, dice))

    def compute_metrics(self, results: list[Counts]) -> dict[str, float]:
        """Average over pictures or over batches, and then over classes."""
        self._batch = 0
        names = [name for _, name in self._counted()]
        if not results:
            return dict.fromkeys(["Dice", *_keys(names)], float("nan"))
        batches: defaultdict[tuple[int, int], list[list[float]]] = defaultdict(list)
        for batch, dice in results:
            batches[batch if self.mode == "mgca" else (0, 0)].append(dice)
        by_class = np.mean([np.mean(dice, axis=0) for dice in batches.values()], axis=0)  # (classes,)
        return {"Dice": float(by_class.mean()), **dict(zip(_keys(names), by_class.tolist(), strict=False))}

    def _counted(self) -> list[tuple[int, str]]:
        """Label and name of each class that counts."""
        known = list((self.dataset_meta or {}).get("classes", ()))
        chosen = [name for name in known if name != "background"] if self.classes is None else list(self.classes)
        if unknown := [name for name in chosen if name not in known]:
            raise ValueError(f"classes {unknown} are not in the data set, which has {known}")
        if not chosen:
            raise ValueError(f"there is no class to evaluate; the data set has {known}")
        return [(known.index(name), name) for name in chosen]

    def _prediction(self, sample: Mapping[str, Any]) -> torch.Tensor:
        logits = sample.get("seg_logits")
        if self.threshold is not None and logits is not None and len(logits["data"]) == 1:
            return (logits["data"][0] > self.threshold).long()  # of one logit MMSegmentation hands over the probability
        return sample["pred_sem_seg"]["data"].squeeze(0).long()  # (1, H, W) -> (H, W)


def _truth(sample: Mapping[str, Any]) -> torch.Tensor:
    if sample.get("gt_sem_seg") is None:
        raise ValueError("a picture comes without truth: the pipeline of the evaluation must load the annotation")
    prediction: torch.Tensor = sample["pred_sem_seg"]["data"]
    return sample["gt_sem_seg"]["data"].squeeze(0).to(prediction.device)


def _dice(prediction: torch.Tensor, truth: torch.Tensor) -> float:
    predicted, true = int(prediction.sum()), int(truth.sum())
    if true == 0:
        return float(predicted == 0)
    return 2 * int((prediction & truth).sum()) / (predicted + true)


def _keys(names: Sequence[str]) -> list[str]:
    return [f"Dice.{name}" for name in names] if len(names) > 1 else []
