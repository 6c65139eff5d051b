"""A training step where only a part learns (`finetune --train`): images a second of one core, and peak memory.

python benchmarks/partly.py [--model ViT-S/16] [--batch 2] [--rounds 3]

A step is the loop's own, with SGD in float32, on images of 224 pixels and random weights. Times are the processor's for
this process alone, on one thread: other work on the machine hardly changes that. In each round all parts and a matrix
product take turns. Memory is weights, optimiser's state and the most that PyTorch allocates at once during a further
step, beside what the formula foretells (`docs/memory.md`).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from contest import keep, product, spread
from memory import MIB, allocated
from vitascope.checkpoints.checkpoint import numbered_labels
from vitascope.data.kept import ArraySource
from vitascope.data.preprocess import Preprocess
from vitascope.models.catalogue import create_model, forward_flops, model_config
from vitascope.models.learned import learned
from vitascope.models.memory import training_memory
from vitascope.models.partly import partly
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.state import new_state
from vitascope.training.step import compiled_and_shared, training_step
from vitascope.training.train_settings import TrainSettings

PARTS = ("all", "head", "last:1", "last:4", "lora:4", "lora:16")
CLASSES = 10


def stepper(name: str, part: str, batch: int, size: int = 224) -> Callable[[], None]:
    """Makes one step of training at each call."""
    generator = torch.Generator().manual_seed(0)
    model = partly(create_model(name, image_size=size, classes=CLASSES, generator=generator), learned(part), generator)
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)
    labels = torch.randint(CLASSES, (batch,), generator=generator)
    settings = TrainSettings(batch=batch, optimizer="sgd", lr=1e-4, precision="float32", steps=1000)
    job = Job(
        settings=settings,
        steps=1000,
        train=ArraySource("bench", numbered_labels(CLASSES), labels.numpy(), images.numpy()),
        validation=None,
        preprocess=Preprocess(size=(size, size)),
        folder=Path("unused"),
        learned=learned(part),
    )
    state, world = new_state(model.train(), settings), World()
    runner = compiled_and_shared(model, settings, world)

    def step() -> None:
        training_step(job, state, runner, (images, labels), world)

    return step


def timed(steps: dict[str, Callable[[], None]], rounds: int) -> tuple[dict[str, list[float]], list[float]]:
    """Processor seconds of every part's step in every round, and operations a second of the product in each."""
    yardstick = product(torch.float32)
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    rates: list[float] = []
    for number in range(-1, rounds):
        turn = number % len(PARTS)
        for part in (*PARTS[turn:], *PARTS[:turn]):
            begun = time.process_time()
            steps[part]()
            if number >= 0:  # the first round warms up
                seconds[part].append(time.process_time() - begun)
        begun = time.process_time()
        yardstick.run()
        rates.append(yardstick.flops / (time.process_time() - begun))
    return seconds, rates[1:]


def main() -> None:
    """Measures and keeps it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-S/16")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    torch.set_num_threads(1)
    config = model_config(said.model, image_size=224, classes=CLASSES)
    steps = {part: stepper(said.model, part, said.batch) for part in PARTS}
    seconds, rates = timed(steps, said.rounds)
    ways = {}
    for part in PARTS:
        formula = training_memory(config, said.batch, optimizer="sgd", learned=learned(part))
        lasting = formula.weights + formula.optimizer  # held to the byte by tests
        flops = said.batch * learned(part).passes(config) * forward_flops(config)
        ways[part] = {
            "images_per_second": spread([said.batch / took for took in seconds[part]]),
            "share_of_product": spread([flops / s / rate for s, rate in zip(seconds[part], rates, strict=True)]),
            "times_as_fast_as_all": spread([a / s for a, s in zip(seconds["all"], seconds[part], strict=True)]),
            "MiB": spread([(lasting + allocated(steps[part])) / MIB]),
            "MiB_predicted": spread([formula.peak / MIB]),
        }
    measure = f"a training step of a part, {said.model}, 224 px, batch {said.batch}, float32, SGD, one core"
    print(keep("partly", {"measure": measure, "ways": ways, "load": os.getloadavg()[0], "ratios": {}}))


if __name__ == "__main__":
    main()
