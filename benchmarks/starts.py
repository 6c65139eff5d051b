"""Images a second of every start of `vitascope models --starts`, predicted and trained, on random weights.

python benchmarks/starts.py [--batch 4] [--rounds 3] [NAMES…]

Weights do not change how long a product takes, so none are fetched. All are measured at 224 pixels, float32, in turns
of two: a forward pass in evaluation, and one with gradients. The matrix product beside them tells what the processor
could do in those seconds.
"""

from __future__ import annotations

import argparse
import gc
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from contest import Way, contest, keep, product, spread
from vitascope.checkpoints.starts import STARTS, Start
from vitascope.models.catalogue import build_model, forward_flops

PIXELS, CLASSES = 224, 10


def measured(start: Start, batch: int, rounds: int) -> dict[str, Any]:
    """One start's figures."""
    config = replace(start.config(PIXELS), classes=CLASSES)
    model = build_model(config, torch.Generator().manual_seed(0))
    images = torch.randn(batch, config.channels, PIXELS, PIXELS)
    labels = torch.zeros(batch, dtype=torch.long)

    @torch.inference_mode()
    def predict() -> None:
        model.eval()(images)

    def train() -> None:
        F.cross_entropy(model.train()(images), labels).backward()
        model.zero_grad(set_to_none=True)

    flops = batch * forward_flops(config)
    ways = [
        Way(name="predict", run=predict, images=batch, flops=flops),
        Way(name="train", run=train, images=batch, flops=3 * flops),
        product(torch.float32),
    ]
    seconds = contest(ways, rounds, warmup=1)
    return {
        way.name: {
            "images_per_second": spread([way.images / t for t in seconds[way.name]]),
            "teraflops": spread([way.flops / t / 1e12 for t in seconds[way.name]]),
        }
        for way in ways
    }


def main() -> None:
    """Measures and keeps them all, in one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAMES")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    found: dict[str, Any] = {}
    for start in STARTS:
        if not said.names or start.name in said.names:
            found[start.name] = measured(start, said.batch, said.rounds)
            rates = {name: way["images_per_second"]["median"] for name, way in found[start.name].items()}
            print(f"{start.name}: {rates['predict']:.3g} predicted, {rates['train']:.3g} trained a second", flush=True)
            gc.collect()
    result = {"measure": f"images a second, {PIXELS} px, batch {said.batch}, float32", "starts": found, "ratios": {}}
    print(keep("starts", result))


if __name__ == "__main__":
    main()
