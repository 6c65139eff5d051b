"""Images a second of every start of `vitascope models --starts`, predicted and trained, on random weights.

python benchmarks/starts.py [--batch 2] [--rounds 2] [NAMES…]

Weights do not change how long a product takes, so none are fetched. All are measured at 224 pixels, float32, on one
thread, by the processor's time for this process alone: other work on the machine hardly changes that, so that a figure
is of one core that has nothing else to do. Counted is the fastest of the rounds, of a forward pass in evaluation and of
one with gradients, and beside both the operations a second that they reach.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from contest import keep, product
from vitascope.checkpoints.starts import STARTS, Start
from vitascope.models.catalogue import build_model, forward_flops

PIXELS, CLASSES = 224, 10


def fastest(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the processor."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


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

    flops, found = batch * forward_flops(config), dict[str, Any]()
    for name, work, operations in (("predict", predict, flops), ("train", train, 3 * flops)):
        took = fastest(work, rounds)
        found[name] = {
            "images_per_second": float(f"{batch / took:.3g}"),
            "gigaflops": float(f"{operations / took / 1e9:.3g}"),
        }
    return found


def main() -> None:
    """Measures and keeps them all, in one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAMES")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    said = parser.parse_args()
    torch.set_num_threads(1)
    yardstick = product(torch.float32)
    best = yardstick.flops / fastest(yardstick.run, 5) / 1e9
    found: dict[str, Any] = {}
    for start in STARTS:
        if not said.names or start.name in said.names:
            found[start.name] = measured(start, said.batch, said.rounds)
            rates = {name: way["images_per_second"] for name, way in found[start.name].items()}
            print(f"{start.name}: {rates['predict']} predicted, {rates['train']} trained a second", flush=True)
            gc.collect()
    measure = f"images a second of one core, {PIXELS} px, batch {said.batch}, float32"
    print(keep("starts", {"measure": measure, "product_gigaflops": float(f"{best:.3g}"), "starts": found}))


if __name__ == "__main__":
    main()
