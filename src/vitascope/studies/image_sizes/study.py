"""Measures models in turns at every size of the image; largest batches are by formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from vitascope.device import resolve_device
from vitascope.inference.class_token import for_prediction
from vitascope.models.catalogue import build_model, count_parameters, forward_flops, model_config
from vitascope.models.config import ModelConfig
from vitascope.models.memory import training_memory
from vitascope.precision import autocast
from vitascope.streams import Stream, seed_of
from vitascope.studies.image_sizes.settings import ImageSizes
from vitascope.studies.lineup import Contender
from vitascope.training.speed import fastest, given_threads, training_rate
from vitascope.training.train_settings import memory_bytes

_MOST = 1 << 24
"""Images in a batch, more than anybody asks for."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Of one model at one size."""

    model: str
    """Its name."""
    kind: str
    """ViT, hybrid or ResNet."""
    size: int
    """Side of the image in pixels."""
    parameters: int
    """Trainable values."""
    flops: float
    """Operations of a forward pass of one image."""
    inference: tuple[float, ...]
    """Images a second, of each round."""
    training: tuple[float, ...]
    """The same of training steps."""
    largest_batch: int
    """Images of a training step within the memory; 0 where not one fits."""

    @property
    def rates(self) -> dict[str, float]:
        """The median rounds, by what was done."""
        return {"inference": median(self.inference), "training": median(self.training)}


def measure(settings: ImageSizes, progress: Callable[[int, int], None]) -> list[Measured]:
    """Every model at every size, by model; `progress` hears of each measurement and of how many there are."""
    memory = memory_bytes(settings.memory, "memory")
    configs = {
        (c, size): model_config(c.model, image_size=size) for c in settings.contenders for size in settings.sizes
    }
    device, batch, threads, precision = (
        str(resolve_device(settings.device)), settings.batch, settings.threads, settings.precision
    )  # fmt: skip
    rates: dict[tuple[Contender, int], list[tuple[float, float]]] = {place: [] for place in configs}
    for number in range(settings.rounds):
        for done, (place, config) in enumerate(configs.items(), start=1 + number * len(configs)):
            forward = inference_rate(config, batch, threads, device, precision)
            step = training_rate(config, batch, threads, device=device, precision=precision)
            rates[place].append((forward, step))
            progress(done, settings.rounds * len(configs))
    return [
        Measured(
            model=contender.name,
            kind=contender.kind,
            size=size,
            parameters=count_parameters(config),
            flops=forward_flops(config),
            inference=tuple(forward for forward, _ in rates[contender, size]),
            training=tuple(step for _, step in rates[contender, size]),
            largest_batch=largest_batch(config, memory, precision, device.startswith("cuda")),
        )
        for (contender, size), config in configs.items()
    ]


def largest_batch(config: ModelConfig, memory: float, precision: str = "float32", fused: bool = False) -> int:
    """Images of a training step that fit so many bytes at once, by formula (`models/memory.py`); 0: not one."""

    def fits(batch: int) -> bool:
        needed = training_memory(config, batch, precision=precision, fused_attention=fused)
        return needed.peak <= memory

    low, high = 0, 1
    while high < _MOST and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def inference_rate(config: ModelConfig, batch: int, threads: int, device: str, precision: str = "float32") -> float:
    """Images a second of the fastest of several forward passes of random images."""
    place = torch.device(device)
    with given_threads(threads), torch.inference_mode(), autocast(precision, place):
        drawn = torch.Generator().manual_seed(seed_of(Stream.COST, 1))
        model = for_prediction(build_model(config, drawn).eval()).to(place)
        images = torch.randn(batch, config.channels, *config.image_size, generator=drawn).to(place)
        return batch / fastest(lambda: model(images), place)
