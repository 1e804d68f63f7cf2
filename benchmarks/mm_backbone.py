"""PLACEViT against MMSegmentation's own VisionTransformer of the same size, and windowed against global attention.

One process, the two in turn (A B A B ...), so that a drifting machine meets both alike; reported are medians, spread,
and the ratios call by call: below 1, the first named is the faster. A training step is forward, backward and AdamW.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import nn


def build(args: argparse.Namespace) -> dict[str, tuple[nn.Module, nn.Module, int]]:
    """Return, by case, the first model, its reference and the side of the images."""
    from mmseg.models.backbones import VisionTransformer

    from monai_place.mm import PLACEViT

    def ours(size: int, **options: Any) -> nn.Module:
        return PLACEViT(args.arch, img_size=size, stem="patch", norm_out=True, **options)

    model = ours(args.size)
    theirs = VisionTransformer(
        img_size=args.size,
        patch_size=model.patch_size,
        embed_dims=model.embed_dim,
        num_layers=model.depth,
        num_heads=model.vit.blocks[0].attn.num_heads,
        out_indices=-1,
        final_norm=True,
    )
    large = args.large
    return {
        f"PLACEViT over mmseg's VisionTransformer, {args.size} pixels": (model, theirs, args.size),
        f"windows of 14 over global attention, {large} pixels": (ours(large, window_size=14), ours(large), large),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Time forward and training step of each pair in turn."""
    torch.manual_seed(0)
    found = {}
    for title, (first, second, size) in build(args).items():
        batch = args.batch if size == args.size else 1
        repeats = args.repeats if size == args.size else args.large_repeats
        image = torch.randn(batch, 3, size, size, device=args.device)
        networks = [network.to(args.device) for network in (first, second)]
        parts = {"forward": [forward(network, image) for network in networks]}
        parts["training step"] = [training_step(network, image) for network in networks]
        for part, calls in parts.items():
            times: list[list[float]] = [[], []]
            for number in range(args.warmup + repeats):
                for place, call in enumerate(calls):
                    begin = time.perf_counter()
                    call()
                    if args.device != "cpu":
                        torch.cuda.synchronize()
                    if number >= args.warmup:
                        times[place].append(time.perf_counter() - begin)
            ratios = [a / b for a, b in zip(*times, strict=True)]
            found[f"{title}, {part}"] = {"seconds": [_spread(values) for values in times], "ratio": _spread(ratios)}
    return {
        "setting": vars(args),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "threads": torch.get_num_threads(),
        "cases": found,
    }


def forward(network: nn.Module, image: torch.Tensor) -> Callable[[], Any]:
    """Return a forward pass in eval mode without gradient."""

    def call() -> Any:
        network.eval()
        with torch.no_grad():
            return network(image)

    return call


def training_step(network: nn.Module, image: torch.Tensor) -> Callable[[], Any]:
    """Return forward, backward and optimizer step."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)

    def call() -> None:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        network(image)[-1].square().mean().backward()
        optimizer.step()

    return call


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="place_small")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--large", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--large-repeats", type=int, default=3)
    args = parser.parse_args()
    with redirect_stdout(sys.stderr):  # MMEngine logs on stdout
        found = measure(args)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
