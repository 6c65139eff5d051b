"""Peak memory and time of a training step against batch, resolution and depth, beside the formula's.

python benchmarks/memory.py [--model ViT-Ti/16] [--batches 8 16 32] [--sizes 96 160 224] [--depths 4 8 12]

One of the three is varied at a time, the others are at their middle value. "training" is a step of the training loop
with Adam, float32, on the CPU; "checkpointed" the same with activation checkpointing. Every
measurement is a process of its own. Its memory is the peak of the process less what it had before there were model and
images. glibc keeps freed blocks of up to 32 MiB in case they are wanted again, which saves
time and costs memory in pieces that fit nothing; so each is measured twice, as it is, with the time, and with
MALLOC_MMAP_THRESHOLD_ set so that what is freed is returned. The gate: with and without checkpointing the weights after
the last step are the same to the last bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from contest import keep, spread
from vitascope.checkpoints.checkpoint import numbered_labels
from vitascope.data.kept import ArraySource
from vitascope.data.preprocess import Preprocess
from vitascope.models.catalogue import create_model, model_config
from vitascope.models.memory import Memory, training_memory
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.state import new_state
from vitascope.training.step import compiled_and_shared, training_step
from vitascope.training.train_settings import TrainSettings

WAYS = ("training", "checkpointed")
CLASSES = 100
NEAR = 0.15
"""How far a good prediction may be from what was measured."""
MIB = 2**20
RETURNED = {"MALLOC_MMAP_THRESHOLD_": str(2**18)}
"""Makes glibc return freed blocks from so many bytes up."""
Point = tuple[int, int, int]  # batch, size, depth


def allocated(work: Callable[[], object]) -> int:
    """The most bytes there were at once of those that PyTorch allocated for `work`."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = largest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        largest = max(largest, held)
    return largest


def points(batches: Sequence[int], sizes: Sequence[int], depths: Sequence[int]) -> list[Point]:
    """The middle point, and those where one of the three differs from it."""
    b, s, d = (values[len(values) // 2] for values in (batches, sizes, depths))
    return list(
        dict.fromkeys([*((x, s, d) for x in batches), *((b, x, d) for x in sizes), *((b, s, x) for x in depths)])
    )


def predicted(model: str, way: str, point: Point) -> Memory:
    """By the formula."""
    batch, size, depth = point
    config = model_config(model, image_size=size, depth=depth, classes=CLASSES)
    return training_memory(config, batch, checkpoint_activations=way == "checkpointed")


def measure(model: str, way: str, point: Point, steps: int) -> dict[str, Any]:
    """Seconds of the fastest step, peak bytes, and a hash of what came out; in this process."""
    work("ViT-Ti/16", way, (1, 32, 1), 1)  # libraries are loaded, threads started
    before = resident()
    seconds, came_out = work(model, way, point, steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "bytes": max(peak - before, 0), "sha256": came_out}


def work(name: str, way: str, point: Point, steps: int) -> tuple[float, str]:
    """Trains; seconds of the fastest step, and a hash of the weights."""
    batch, size, depth = point
    generator = torch.Generator().manual_seed(0)
    model = create_model(name, image_size=size, depth=depth, classes=CLASSES, generator=generator)
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)
    labels = torch.randint(CLASSES, (batch,), generator=generator)
    preprocess = Preprocess(size=(size, size))
    fastest = float("inf")
    settings = TrainSettings(
        batch=batch, lr=1e-4, precision="float32", checkpoint_activations=way == "checkpointed", steps=steps
    )
    job = Job(
        settings=settings,
        steps=steps,
        train=ArraySource("bench", numbered_labels(CLASSES), labels.numpy(), images.numpy()),
        validation=None,
        preprocess=preprocess,
        folder=Path("unused"),
    )
    state, world = new_state(model.train(), settings), World()
    runner = compiled_and_shared(model, settings, world)
    for _ in range(steps):
        start = time.perf_counter()
        training_step(job, state, runner, (images, labels), world)
        fastest = min(fastest, time.perf_counter() - start)
    return fastest, digest(list(model.parameters()))


def digest(tensors: list[torch.Tensor]) -> str:
    """SHA-256 of their bytes."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().numpy().tobytes())
    return found.hexdigest()


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def row(
    model: str, way: str, point: Point, returned: dict[str, Any], usual: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """What was measured beside what was predicted, in the form of the tables."""
    expected = predicted(model, way, point).peak
    values = {
        "MiB_predicted": expected / MIB,
        "MiB": returned["bytes"] / MIB,
        "measured_over_predicted": returned["bytes"] / expected,
        "MiB_with_what_glibc_keeps": usual["bytes"] / MIB,
        "milliseconds_an_image": 1000 * usual["seconds"] / point[0],
    }
    return {name: spread([value]) for name, value in values.items()}


def main() -> None:
    """Measures every point in every way, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-Ti/16")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 160, 224])
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 8, 12])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--only", nargs=4, metavar=("WAY", "BATCH", "SIZE", "DEPTH"), help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.only:
        way, *numbers = said.only
        print(json.dumps(measure(said.model, way, (int(numbers[0]), int(numbers[1]), int(numbers[2])), said.steps)))
        return
    found: dict[str, dict[str, dict[str, float]]] = {}
    command = [sys.executable, __file__, "--model", said.model, "--steps", str(said.steps), "--only"]
    for point in points(said.batches, said.sizes, said.depths):
        hashes = {}
        for way in WAYS:
            both = []
            for more in (RETURNED, {}):
                words, environment = [*command, way, *map(str, point)], {**os.environ, **more}
                done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=environment)
                both.append(json.loads(done.stdout))
            hashes[way] = {measured["sha256"] for measured in both}
            found["{}, batch {}, {} px, {} blocks".format(way, *point)] = row(said.model, way, point, *both)
        if len(hashes["training"] | hashes["checkpointed"]) > 1:
            sys.exit(f"activation checkpointing changes the weights at {point}")
    near = sum(abs(values["measured_over_predicted"]["median"] - 1) <= NEAR for values in found.values())
    result = {
        "measure": f"peak memory beside the formula's, {said.model}, float32, Adam",
        "near": f"{near} of {len(found)} predictions are within {NEAR:.0%} of what was measured",
        "ways": found,
        "ratios": {},
    }
    print(keep("memory", result).read_text())


if __name__ == "__main__":
    main()
