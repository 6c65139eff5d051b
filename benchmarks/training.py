"""Training step of ViT-Ti/4 at 32 pixels and ViT-S/16 at 224, beside timm's, eager and compiled.

python benchmarks/training.py [--model ViT-Ti/4] [--compile] [--rounds 11]

Ours is the step that `vitascope pretrain` takes, from uint8 images on; timm's is the usual one on images that are
normalised already: forward, cross-entropy, backward, clipping, fused AdamW. Weights, dtype and batch are the same.
The dtype is what is faster on this processor. Where the time of both goes is kept as ROW-profile.txt.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contest import Way, contest, gate, keep, product, ratios, summary
from inference import limit, random_checkpoint
from peer_models import timm_model
from profiles import of_torch, table, write_profile
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.kept import ArraySource
from vitascope.precision import autocast, resolve_precision
from vitascope.studies.cost import forward_flops
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.state import new_state
from vitascope.training.step import compiled_and_shared, training_step
from vitascope.training.train_settings import TrainSettings

SETUPS: dict[str, tuple[int, int, int]] = {"ViT-Ti/4": (32, 128, 10), "ViT-S/16": (224, 16, 1000)}
"""Model → image size, batch, classes."""


CPU = torch.device("cpu")


def our_step(
    checkpoint: Checkpoint, images: Tensor, labels: Tensor, settings: TrainSettings, device: torch.device = CPU
) -> Callable[[], Any]:
    """A step of the training loop on a copy of the model."""
    job = Job(
        settings=settings,
        steps=10**6,
        train=ArraySource("bench", checkpoint.labels, labels.cpu().numpy(), images.cpu().numpy()),
        validation=None,
        preprocess=checkpoint.preprocess,
        folder=Path("unused"),
    )
    model, world = copy.deepcopy(checkpoint.model).train().to(device), World(device=device)
    state, runner = new_state(model, settings), compiled_and_shared(model, settings, world)
    return lambda: training_step(job, state, runner, (images, labels), world)


def their_step(
    model: nn.Module, images: Tensor, labels: Tensor, settings: TrainSettings, device: torch.device = CPU
) -> Callable[[], Any]:
    """The usual step with any model."""
    model = copy.deepcopy(model).train().to(device)
    runner: Any = torch.compile(model) if settings.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)

    def step() -> None:
        with autocast(settings.precision, device):
            loss = F.cross_entropy(runner(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    """Measures one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-Ti/4", choices=SETUPS)
    parser.add_argument("--compile", action="store_true", help="both compiled as well; takes minutes")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=11)
    said = parser.parse_args()
    size, batch, classes = SETUPS[said.model]
    batch = said.batch or batch
    precision = resolve_precision("auto", torch.device("cpu"))
    settings = TrainSettings(batch=batch, lr=1e-4, weight_decay=0.05, precision=precision)  # type: ignore[arg-type]
    checkpoint = random_checkpoint(said.model, size, classes)
    model, preprocess = checkpoint.model, checkpoint.preprocess
    images, labels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8), torch.randint(classes, (batch,))
    floats, theirs = preprocess.normalise(images), timm_model(checkpoint).eval()
    with torch.no_grad():
        apart = gate("timm", theirs(floats), model(floats), 1e-4)
    flops = 3 * forward_flops(model.config) * batch
    ways = []
    for compiled in (False, True) if said.compile else (False,):
        s, ending = dataclasses.replace(settings, compile=compiled), " compiled" if compiled else ""
        shared = {"images": batch, "flops": flops}
        ways.append(Way(name=f"vitascope{ending}", run=our_step(checkpoint, images, labels, s), **shared))
        ways.append(Way(name=f"timm{ending}", run=their_step(theirs, floats, labels, s), **shared))
    yardstick = product(torch.bfloat16 if precision == "bfloat16" else torch.float32)
    seconds = contest([*ways, yardstick], said.rounds)
    rates = [yardstick.flops / t for t in seconds[yardstick.name]]
    found = summary(ways, seconds, rates)
    result = {
        "measure": f"training step, {said.model} at {size} px, batch {batch}, {precision}",
        "gate": {"timm": apart},
        "product_tflops": sorted(rates)[len(rates) // 2] / 1e12,
        "ways": found,
        "ratios": ratios(ways, seconds),
        "limit": limit(found, ("timm", "timm compiled")),
    }
    path = keep(f"training-{said.model.lower().replace('/', '-')}", result)
    print(path.read_text())
    write_profile(path, result["measure"], [table(way.name, *of_torch(way.run)) for way in ways[:2]])


if __name__ == "__main__":
    main()
