"""One rank of test_gather.py: `python -m tests.losses.rank_worker RANK WORLD FOLDER`.

A case is computed by the same function in one process, on the whole batch, and on each rank, on its rows. What comes
back is a dict of tensors; results of ranks lie in FOLDER/RANK.pt.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from monai_place.losses import (
    GlobalAlignmentLoss,
    ObservationAlignmentLoss,
    PatchCorrelationLoss,
    PLACELoss,
    gather_across_ranks,
    local_offset,
)
from tests.losses.cases import Studies, make_studies, unit_rows
from tests.networks.models import make_batch, small_model

__all__ = ["CASES", "LAYOUTS", "Result", "run_case", "run_model"]

Result = dict[str, torch.Tensor]
Case = Callable[[slice], Result]

# name -> sentences of each report on rank 0, and on rank 1
LAYOUTS: dict[str, tuple[list[int], list[int]]] = {
    "equal": ([3, 1, 2], [2, 4, 1]),
    "uneven": ([2], [3, 1, 5, 0]),
    "rank 0 has no sentence": ([0, 0], [3, 1, 2]),
    "no rank has a sentence": ([0, 0], [0]),
}


def rows_of(layout: str, rank: int | None) -> slice:
    """Return the rows of the global batch that a rank holds; None is a single process, which holds all."""
    first, second = (len(counts) for counts in LAYOUTS[layout])
    return {None: slice(0, first + second), 0: slice(0, first), 1: slice(first, first + second)}[rank]


def counts_of(layout: str) -> list[int]:
    first, second = LAYOUTS[layout]
    return first + second


def backward(loss: torch.Tensor, **leaves: torch.Tensor) -> Result:
    found = torch.autograd.grad(loss, list(leaves.values()))
    return {"loss": loss.detach(), **dict(zip(leaves, found, strict=True))}


def global_alignment(layout: str, rows: slice) -> Result:
    counts = torch.tensor(counts_of(layout))
    image, report = (unit_rows(len(counts), 5, seed=seed).detach()[rows].clone().requires_grad_() for seed in (0, 1))
    loss = GlobalAlignmentLoss()(image, report, 0.1, has_text=counts[rows] > 0)
    return backward(loss, image=image, report=report)


def observation_alignment(layout: str, rows: slice, **options: object) -> Result:
    counts = counts_of(layout)
    studies = make_studies(counts).take(range(len(counts))[rows])
    longest = max(*counts[rows], 1)  # a rank's collation knows its own reports only
    studies = Studies(
        studies.sentences[:, :longest], studies.mask[:, :longest], studies.keys[:, :longest], studies.observations
    ).as_leaves()
    loss = ObservationAlignmentLoss(**options)(*studies.arguments)  # type: ignore[arg-type]
    result = backward(loss, sentences=studies.sentences, observations=studies.observations)
    # Ranks pad to different lengths: what is compared is the gradient of the sentences that exist.
    result["sentences"] = result["sentences"][studies.mask]
    return result


def correlation(layout: str, rows: slice) -> Result:
    counts = torch.tensor(counts_of(layout))
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(2, len(counts), 4, 4, generator=generator, dtype=torch.float64)
    prediction = prediction[rows].clone().requires_grad_()
    loss = PatchCorrelationLoss()(prediction, target[rows], has_text=counts[rows] > 0)
    return backward(loss, prediction=prediction)


def gathered_rows(layout: str, rows: slice) -> Result:
    """The function itself: values, order, and the gradient of a sum that weighs each global row differently."""
    tensor = torch.arange(3.0 * len(counts_of(layout))).view(-1, 3)[rows].clone().requires_grad_()
    gathered = gather_across_ranks(tensor)
    weight = torch.arange(1.0, len(gathered) + 1).unsqueeze(1)
    result = backward((gathered * weight).sum(), tensor=tensor)
    return {**result, "gathered": gathered.detach(), "offset": torch.tensor(local_offset(tensor))}


FUNCTIONS: dict[str, Callable[..., Result]] = {
    "gathered rows": gathered_rows,
    "ITA": global_alignment,
    "PCMA by report": lambda layout, rows: observation_alignment(layout, rows, mode="report"),
    "PCMA by sentence": lambda layout, rows: observation_alignment(layout, rows, mode="sentence", duplicates="soften"),
    "PCMA in chunks": lambda layout, rows: observation_alignment(layout, rows, mode="both", chunk_sentences=3),
    "CCE": correlation,
}
CASES = tuple((name, layout) for name in FUNCTIONS for layout in LAYOUTS)


def run_case(name: str, layout: str, rank: int | None) -> Result:
    return FUNCTIONS[name](layout, rows_of(layout, rank))


def run_model(layout: str, rank: int | None) -> Result:
    """Forward and backward of a whole PLACE, on a rank inside DistributedDataParallel."""
    model = small_model().eval()  # without dropout, which no two processes draw alike
    batch = {key: value[rows_of(layout, rank)] for key, value in make_batch(counts_of(layout)).items()}
    longest = int(batch["attention_mask"].sum(dim=1).max())
    for key in ("input_ids", "attention_mask", "sentence_ids"):
        batch[key] = batch[key][:, :longest]
    wrapped = model if rank is None else DistributedDataParallel(model)
    terms = PLACELoss(mode="both", patch_weight=0.5)(wrapped(batch))
    terms["loss"].backward()
    result = {name: value.detach() for name, value in terms.items()}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient for {name}"
        result[f"gradient of {name}"] = parameter.grad
    return result


def main(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=(folder / "rendezvous").as_uri(),
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=120),
    )
    results = {f"{name}, {layout}": run_case(name, layout, rank) for name, layout in CASES}
    results |= {f"model, {layout}": run_model(layout, rank) for layout in LAYOUTS}
    torch.save(results, folder / f"{rank}.pt")
    time.sleep(0.5)  # see `in_group` of tests.support.processes: meanwhile the group's thread has the interpreter
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
