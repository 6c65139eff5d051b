"""One optimiser step: images to the device, prepared; forward, loss, backward, clip, decay, step, average."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vitascope.data.batches import Batch
from vitascope.errors import DivergedError
from vitascope.precision import autocast
from vitascope.streams import Stream, seed_of
from vitascope.training.job import Job
from vitascope.training.optimizer import clip_gradients, decay_kernels, set_learning_rate
from vitascope.training.parallel import World
from vitascope.training.schedule import dropped_share, learning_rate
from vitascope.training.signals import StopFlag
from vitascope.training.state import TrainState
from vitascope.training.train_settings import TrainSettings


def compiled_and_shared(model: nn.Module, settings: TrainSettings, world: World) -> nn.Module:
    """`model` as the forward pass calls it: compiled where that is asked for, gradients averaged over processes."""
    runner = compiled(model) if settings.compile else model
    if world.size == 1:
        return runner
    return nn.parallel.DistributedDataParallel(
        runner, device_ids=[world.device.index] if world.device.type == "cuda" else None
    )


def compiled(model: nn.Module) -> nn.Module:
    """`model` compiled; what was before is forgotten, or the ninth model of a process would be left as it is."""
    torch.compiler.reset()
    return torch.compile(model)  # type: ignore[return-value]


def training_step(
    job: Job, state: TrainState, runner: nn.Module, batch: Batch, world: World, stop: StopFlag | None = None
) -> None:
    """One optimiser step on this process's share of the images; left undone where `stop` is raised meanwhile."""
    s, counters = job.settings, state.counters
    rate = learning_rate(s, job.steps, counters.position)
    set_learning_rate(state.optimizer, rate)
    dropped = dropped_share(s, counters.position, job.steps)
    loss = gradients(job, runner, batch, counters.step, world, dropped, stop)
    if loss is None:
        state.optimizer.zero_grad(set_to_none=True)
        return
    norm = clip_gradients(state.model, s.clip)
    if not math.isfinite(float(loss)) or not math.isfinite(float(norm)):
        raise DivergedError(
            f"loss {float(loss)}, gradient norm {float(norm)} at step {counters.step} (learning rate {rate:.3g}): "
            f"the last checkpoint is kept; try a lower --lr, a longer --warmup or --precision float32"
        )
    decay_kernels(state.optimizer)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    if state.ema is not None:
        state.ema.update(state.model, counters.step)
    counters.step += 1
    counters.loss_sum += float(loss)
    counters.loss_steps += 1


def gradients(
    job: Job,
    runner: nn.Module,
    batch: Batch,
    step: int,
    world: World,
    dropped: float = 0.0,
    stop: StopFlag | None = None,
) -> Tensor | None:
    """Adds the gradients of the mean loss over this process's images, in micro-batches; returns that loss.

    `dropped` is the share of the patches that is left out. None where `stop` was raised between two micro-batches: a
    step of minutes must not keep a signal waiting. Not with several processes, of which each would leave at another
    place.
    """
    s, device = job.settings, world.device
    images, labels = (tensor.to(device, non_blocking=True) for tensor in batch)
    objective = job.objective
    asked, answers = objective.prepare(images, labels, step, world)
    micro = s.micro_batch if isinstance(s.micro_batch, int) else len(images)
    # A ResNet has no tokens to drop.
    options = {"recompute": s.checkpoint_activations} | ({"drop_tokens": dropped} if dropped else {})
    total = torch.zeros((), device=device)
    starts = range(0, len(images), micro)
    with _drawing((s.seed, step, world.rank), device):
        for start in starts:
            if start and stop is not None and stop.number and world.size == 1:
                return None
            x, y = (tuple(whole[start : start + micro] for whole in wholes) for wholes in (asked, answers))
            # Gradients travel between processes once a step, with the last micro-batch.
            if isinstance(runner, nn.parallel.DistributedDataParallel):
                runner.require_backward_grad_sync = start == starts[-1]
            with autocast(s.precision, device):
                output = runner(*x, **options)
            loss = objective.loss(output, y) * (len(x[0]) / len(images))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
    return total


@contextmanager
def _drawing(key: tuple[int, ...], device: torch.device) -> Iterator[None]:
    """Within it dropout, stochastic depth and dropped tokens are drawn from `key`; what draws elsewhere is left alone.

    They depend on the step alone: a resumed run draws what it would have. PyTorch's dropout takes no generator.
    """
    gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if gpu else []):
        # Not `torch.manual_seed`, which asks every kind of device, for a millisecond.
        torch.default_generator.manual_seed(seed_of(Stream.STEP, *key))
        if gpu:
            torch.cuda.manual_seed(seed_of(Stream.STEP, *key))
        yield
