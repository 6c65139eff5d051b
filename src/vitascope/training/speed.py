"""Measuring before training: how many images fit the memory at once, how long a step takes, how fast a model trains."""

from __future__ import annotations

import dataclasses
import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from vitascope import memory
from vitascope.data.batches import training_batches
from vitascope.device import resolve_device
from vitascope.errors import ConfigError, Stopped
from vitascope.models.bit import BiT
from vitascope.models.catalogue import build_model
from vitascope.models.config import ModelConfig
from vitascope.models.masked import Masked
from vitascope.models.vit import ViT
from vitascope.precision import autocast
from vitascope.streams import Stream, seed_of
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.signals import StopFlag
from vitascope.training.step import compiled, gradients
from vitascope.wording import memory_text

_FLOAT32 = 2.0
"""How many times as long a forward pass is in float32 as in bfloat16 where that was chosen: products are up to five
times as long, but all else is not."""
_MARGIN = 0.85
"""Share of the free memory that is planned for: the formula is good to within 15 %."""
_PROBE = 2.0
"""Seconds after which nothing larger is measured."""
_ENOUGH = 16
"""Images that are measured even so, unless they take as long: where threads wait for others, one tells little."""
_MEASURED = 1.5
"""Seconds of steps, or of forward passes, on random images."""
_CPU_IS_FULL = "can't allocate memory"
_TIMES = 4
"""How often each number of images is measured, where that is a matter of less than a second."""


def judged_at_once(passes: float, precision: str) -> float:
    """Images judged, always in float32, in the time that a training step in `precision` has for one, of so many forward
    passes."""
    return passes / (_FLOAT32 if precision == "bfloat16" else 1.0)


def fitting_micro_batch(job: Job, model: ViT | BiT | Masked, world: World) -> tuple[int, float]:
    """The largest micro-batch, halving from this process's share of a step, that fits the memory, and its bytes.

    By formula: nothing is tried, because Linux gives what it does not have, and kills whoever uses it. Raises
    `ConfigError` where not even one image fits, or not the micro-batch that the settings ask for.
    """
    s, cuda = job.settings, world.device.type == "cuda"
    share = math.ceil(s.batch / world.size)
    asked = s.micro_batch if isinstance(s.micro_batch, int) else None
    micro = min(asked or share, share)
    free = free_memory(world.device) / (1 if cuda else world.size)

    def needed(images: int) -> float:
        return job.objective.memory(
            model.config,
            images,
            precision=s.precision,
            optimizer=s.optimizer,
            ema=s.ema > 0,
            checkpoint_activations=s.checkpoint_activations,
            fused_attention=cuda,
            accumulated=images < share,
            # Where all tokens come back for the last steps, it is those that have to fit.
            drop_tokens=s.drop_tokens if s.drop_tokens_for == 1 else 0.0,
            learned=job.learned,
        ).peak

    while (need := needed(micro)) > _MARGIN * free and micro > 1:
        micro = math.ceil(micro / 2)
    micro = -world.largest(-micro)
    if need > _MARGIN * free:
        raise ConfigError(
            f"training on one image at a time takes about {memory_text(need)} of memory, {memory_text(free)} are free: "
            "choose a smaller model or --image-size, or give --checkpoint-activations true"
        )
    if asked is not None and micro < min(asked, share):
        raise ConfigError(f"micro_batch {asked} does not fit the {memory_text(free)} that are free; {micro} does")
    return micro, need


def measure_step(job: Job, model: nn.Module, world: World) -> tuple[float, int]:
    """Seconds of a training step, and the micro-batch it was possible with, halved where a GPU's memory ended.

    Measured on the gradients of one image and more, up to a micro-batch, in a second or two; they leave the model as it
    is. Larger ones are in proportion. Reading and augmenting the images is included.
    """
    s = job.settings
    share = math.ceil(s.batch / world.size)
    micro = min(s.micro_batch, share) if isinstance(s.micro_batch, int) else share
    parts = {0.0: 1 - s.drop_tokens_for, s.drop_tokens: s.drop_tokens_for} if s.drop_tokens else {0.0: 1.0}
    images, begun, one = 1, time.perf_counter(), 0.0
    with StopFlag(hurry=True) as stop:
        while True:
            took, full = 0.0, False
            try:
                took = sum(part * _gradients_of(job, model, images, dropped, world) for dropped, part in parts.items())
            except (MemoryError, RuntimeError) as error:
                full = isinstance(error, MemoryError | torch.OutOfMemoryError) or _CPU_IS_FULL in str(error)
                if not full:
                    raise
            if world.device.type == "cuda":
                gc.collect()
                torch.cuda.empty_cache()
            if number := world.largest(stop.number):
                raise Stopped(number, "stopped before the first step: nothing to save", "start again")
            if world.largest(int(full)):
                if images == 1:
                    raise ConfigError("not even one image fits the memory: choose a smaller model or --image-size")
                micro = images = math.ceil(images / 2)
                continue
            one = took if images == 1 else one
            long = took > _PROBE or (images >= _ENOUGH and time.perf_counter() - begun > _PROBE)
            if world.largest(int(images == micro or long)):
                # A part costs something of its own, much where threads wait for each other: only images count that came
                # on top of the first.
                each = max((took - one) / (images - 1), took / images / 4) if images > 1 else took
                step = min(took + min(each, took / images) * (share - images), one * share)
                return world.first_says(step), micro
            images = min(4 * images, micro)


def _gradients_of(job: Job, model: nn.Module, images: int, dropped: float, world: World) -> float:
    """Seconds for so many images: the shortest of a few times, because other work may interfere, or of a long one.

    One image is tried with one thread too: on a busy machine several wait for each other, much longer than they work.
    """
    trial = dataclasses.replace(job, settings=dataclasses.replace(job.settings, batch=images, micro_batch=None))
    alone = World(device=world.device)  # a process without memory would leave the others waiting for its gradients
    took, was_training, begun, threads = math.inf, model.training, time.perf_counter(), torch.get_num_threads()
    model.train()
    try:
        with closing(training_batches(job.train, job.transform(), trial.order(alone), 0, _TIMES)) as batches:
            start = begun
            for number, batch in enumerate(batches):
                torch.set_num_threads(1 if images == 1 and number % 2 else threads)
                float(gradients(trial, model, batch, 0, alone, dropped) or 0.0)  # waits for a GPU
                took, start = min(took, time.perf_counter() - start), time.perf_counter()
                if time.perf_counter() - begun > _PROBE / 2 and (number or threads == 1 or images > 1):
                    break
        return took
    finally:
        torch.set_num_threads(threads)
        model.zero_grad(set_to_none=True)
        model.train(was_training)


def free_memory(device: torch.device) -> float:
    """Bytes that the GPU, the system or the container says can be taken; infinite where none says."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return memory.free_memory()


def training_rate(
    config: ModelConfig,
    batch: int,
    threads: int,
    *,
    device: str | None = None,
    precision: str = "float32",
    compile: bool = False,
) -> float:
    """Images per second of the fastest of several training steps on random images, on the GPU if there is one."""
    place = resolve_device(device)
    with given_threads(threads):
        drawn = torch.Generator().manual_seed(seed_of(Stream.COST, 0))
        model = build_model(config, drawn).train().to(place)
        runner = compiled(model) if compile else model
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        images = torch.randn(batch, config.channels, *config.image_size, generator=drawn).to(place)
        labels = torch.zeros(batch, dtype=torch.long, device=place)

        def step() -> None:
            with autocast(precision, place):
                loss = F.cross_entropy(runner(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()

        if compile:
            step()
        return batch / fastest(step, place)


def fastest(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of several runs, at least one, within a second or so."""
    best, begun = math.inf, time.perf_counter()
    while math.isinf(best) or time.perf_counter() - begun < _MEASURED:
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()  # a GPU is only told what to do; this waits until it is done
        best = min(best, time.perf_counter() - start)
    return best


@contextmanager
def given_threads(number: int) -> Iterator[None]:
    """So many threads within, as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
