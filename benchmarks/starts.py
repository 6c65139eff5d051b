"""Images a second of every start of `vitascope models --starts`, predicted and trained, on random weights.

python benchmarks/starts.py [--batch 2] [--rounds 3] [NAMES…]

Weights do not change how long a product takes, so none are fetched. All are measured at 224 pixels, or at their own
where those are fewer, float32, on one thread, by the processor's time for this process alone: other work on the machine
hardly changes that, so that a figure is of one core that has nothing else to do. In each round a forward pass in
evaluation, one with gradients, and a matrix product take turns. With NAMES only these are measured anew.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from contest import FOLDER, Way, keep, product, slug, spread
from vitascope.checkpoints.starts import STARTS, USUAL_SIZE, Start
from vitascope.models.catalogue import build_model, forward_flops
from vitascope.precision import processor

CLASSES = 10


def measured(start: Start, batch: int, rounds: int, yardstick: Way) -> dict[str, Any]:
    """One start's figures."""
    config = replace(start.config(start.counted_at), classes=CLASSES)
    model = build_model(config, torch.Generator().manual_seed(0))
    images = torch.randn(batch, config.channels, start.counted_at, start.counted_at)
    labels = torch.zeros(batch, dtype=torch.long)

    @torch.inference_mode()
    def predict() -> None:
        model.eval()(images)

    def train() -> None:
        F.cross_entropy(model.train()(images), labels).backward()
        model.zero_grad(set_to_none=True)

    flops = batch * forward_flops(config)
    ways = {"predicted": (predict, flops), "trained": (train, 3 * flops), "product": (yardstick.run, yardstick.flops)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (work, _flops) in ways.items():
            begun = time.process_time()
            work()
            seconds[name].append(time.process_time() - begun)
    rates = [yardstick.flops / took for took in seconds["product"]]
    found = {}
    for name in ("predicted", "trained"):
        shares = [ways[name][1] / took / rate for took, rate in zip(seconds[name], rates, strict=True)]
        found[f"{name}_per_second"] = spread([batch / took for took in seconds[name]])
        found[f"{name}_share_of_product"] = spread(shares)
    return found


def main() -> None:
    """Measures and keeps them all, in one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAMES")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    torch.set_num_threads(1)
    yardstick = product(torch.float32)
    before = FOLDER / slug(processor()) / "starts.json"
    found: dict[str, Any] = json.loads(before.read_text())["ways"] if said.names and before.exists() else {}
    for start in STARTS:
        if not said.names or start.name in said.names:
            found[start.name] = measured(start, said.batch, said.rounds, yardstick)
            rates = [found[start.name][f"{way}_per_second"]["median"] for way in ("predicted", "trained")]
            print(f"{start.name}: {rates[0]} predicted, {rates[1]} trained a second", flush=True)
            gc.collect()
    measure = f"starts, images a second of one core, {USUAL_SIZE} px or its own, batch {said.batch}, float32"
    known = {start.name: found[start.name] for start in STARTS if start.name in found}
    print(keep("starts", {"measure": measure, "ways": known, "ratios": {}}))


if __name__ == "__main__":
    main()
