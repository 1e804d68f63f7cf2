"""Step time of full PLACE against ITA alone with the same encoders, and against the encoders alone.

One process, the variants in turn (A B C A B C ...), so that a drifting machine meets all alike; reported are medians,
spread, and the ratios step by step.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from monai_place.losses import GlobalAlignmentLoss, PLACELoss
from monai_place.networks import PLACEModel, place_preset


def make_batch(*, batch: int, size: int, tokens: int, vocabulary: int, device: str) -> dict[str, torch.Tensor]:
    """Return a batch of noise with 8 sentences a report."""
    draw = torch.Generator().manual_seed(0)
    values = {
        "image": torch.randn(batch, 1, size, size, generator=draw),
        "input_ids": torch.randint(5, vocabulary, (batch, tokens), generator=draw),
        "attention_mask": torch.ones(batch, tokens, dtype=torch.bool),
        "sentence_ids": (torch.arange(tokens) * 8 // tokens).expand(batch, -1).contiguous(),
    }
    return {key: value.to(device) for key, value in values.items()}


def variants(model: PLACEModel, batch: dict[str, torch.Tensor], *, patch_weight: float) -> dict[str, Callable[[], Any]]:
    """Return the three losses of one step, each a function of nothing."""
    full = PLACELoss(patch_weight=patch_weight, mode="both")
    ita = GlobalAlignmentLoss()

    def encoders() -> torch.Tensor:
        tokens, _ = model.image_encoder(batch["image"])
        states = model.report_encoder(batch["input_ids"], batch["attention_mask"])
        return tokens.float().mean() + states.float().mean()

    def aligned() -> torch.Tensor:
        tokens, _ = model.image_encoder(batch["image"])
        states = model.report_encoder(batch["input_ids"], batch["attention_mask"])
        image = torch.nn.functional.normalize(model.image_projection(tokens[:, 0]).float(), dim=-1)
        report = torch.nn.functional.normalize(model.report_projection(states[:, 0]).float(), dim=-1)
        return ita(image, report, model.temperature)

    return {"full": lambda: full(model(batch))["loss"], "ita": aligned, "encoders": encoders}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Time forward, backward and optimizer step of each variant."""
    torch.manual_seed(0)
    overrides = json.loads(args.overrides)
    model = PLACEModel(place_preset(args.preset, **overrides)).to(args.device).train()
    config = model.config
    batch = make_batch(
        batch=args.batch, size=config.image_size, tokens=args.tokens, vocabulary=config.vocab_size, device=args.device
    )
    steps = variants(model, batch, patch_weight=args.patch_weight)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(args.warmup + args.repeats):
        for name, loss in steps.items():
            begin = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(torch.device(args.device).type, dtype=torch.bfloat16, enabled=args.amp):
                value = loss()
            value.backward()
            optimizer.step()
            if args.device != "cpu":
                torch.cuda.synchronize()
            if number >= args.warmup:
                times[name].append(time.perf_counter() - begin)
    ratios = {name: [a / b for a, b in zip(times["full"], times[name], strict=True)] for name in ("ita", "encoders")}
    return {
        "setting": {key: value for key, value in vars(args).items() if key != "json"},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "threads": torch.get_num_threads(),
        "seconds": {name: _spread(values) for name, values in times.items()},
        "full_over": {name: _spread(values) for name, values in ratios.items()},
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="place_small")
    parser.add_argument("--overrides", default="{}", help="JSON of PLACEConfig fields")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--patch-weight", type=float, default=0.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    print(json.dumps(measure(parser.parse_args()), indent=2))


if __name__ == "__main__":
    main()
