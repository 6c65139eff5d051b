"""What `train` chooses for the data, the time and this machine, each with its reason; all of it can be overridden."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.load import load
from vitascope.data.images import UInt8
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Source, Splits, View
from vitascope.device import resolve_device
from vitascope.errors import ConfigError
from vitascope.evaluation.fewshot import signs
from vitascope.evaluation.taught import teach_head
from vitascope.models.catalogue import forward_flops
from vitascope.models.config import ModelConfig, Size, ViTConfig
from vitascope.precision import resolve_precision
from vitascope.recipes.choose import AUTO, start_to_teach
from vitascope.recipes.presets import PRESETS
from vitascope.recipes.recipe import FinetuneRecipe
from vitascope.recipes.teach import features_of, teach
from vitascope.recipes.train_asked import Train
from vitascope.streams import Stream, generator
from vitascope.training.speed import free_memory, training_rate
from vitascope.training.train_settings import seconds
from vitascope.wording import duration

FETCHED = 300.0
"""Seconds of a budget from which a start may be fetched."""
_FEATURES = 0.25
"""Share of the budget that the features of all images may take."""
_LOOK = 0.2
"""Share of the budget that trying another image size may take."""
LEAST_IMAGES = 1920
"""Shown to fewer, in 60 steps of 32, fine-tuning was no better than the taught head (`results/teach/head_kept.md`)."""
_FINER_STEPS = 100
"""Steps of fine-tuning for which images are taken finer than the start saw them (`results/train`)."""
_FINER_LOSS = 1.15
"""How much larger the loss of images left out may be at that size."""
_SMALLER = 0.05
"""How much worse mirrored images may be told before fine-tuning does without them."""
_CHANCE = 2.5
"""Standard errors above one half in which images may be told from their mirror images by chance."""
_MIRRORED = 250
"""How many of them are tried."""
_TRIED, _ALL = 500, 1000
"""Images that image sizes are tried on, where there are more than so many."""
_PROBE = 8
"""Images of a step that is measured."""
_FORWARD = 1.5
"""How many times as fast as training features are, at least, which are always float32."""
_STEEP = 300.0
"""Largest gain of a taught head that fine-tuning begins with: one of 80 was improved on ants and bees; one of 2,400, of
the digits, was undone by the first steps."""
_MEMORY = 0.25
"""Share of the free memory that decoded images may take."""
_DROPPED, _DROPPED_FOR = 0.6, 0.75
"""Of the patches, and of the steps, as in `results/starts`, whose recipe from a head of zeros this is."""
_PATCHES = 64
"""From which patches are left out."""
_LR = 1e-3
"""Learning rate for a head that is taught (`results/teach/head_kept.md`)."""
_LINEAR = 224
"""Side of the images of starts that are compared by linear heads."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was chosen, or said."""

    start: str
    """What is begun from."""
    image_size: Size
    """Height and width that the model sees, in pixels."""
    flip: bool
    """Whether fine-tuning mirrors images."""
    threads: int
    """That compute."""
    rate: float
    """Images a second of training, as measured beforehand."""
    keeps_head: bool
    """Whether fine-tuning begins with the taught head; else with one of zeros."""
    drop_tokens: float
    """Share of the patches that fine-tuning leaves out at first."""
    lr: float
    """Learning rate of fine-tuning."""
    batch: int
    """Images per step of it."""
    why: dict[str, str]
    """One line for people of each, by the option that overrides it."""


def chosen_for(asked: Train, splits: Splits, sides: int, begun: float) -> Chosen:
    """What is chosen for the training images of `splits`; `sides`: their median shorter side in pixels; `begun`: when
    the budget began. Raises `ConfigError` where the budget is too short to teach.
    """
    assert splits.train is not None
    total, why = seconds(asked.time_budget), dict[str, str]()
    start, size, why["start"] = _start(asked, splits, total)
    config = load(start, image_size=size).model.config
    threads, rate, why["threads"] = _threads(asked, config)
    torch.set_num_threads(threads)
    images, left = sum(map(len, splits.present().values())), begun + total - time.monotonic()
    takes = images / (_FORWARD * rate)
    if takes > left:
        least = duration(1.5 * (total - left + takes))
        raise ConfigError(
            f"time_budget {asked.time_budget}: the features of {images:,} images take about {duration(takes)} here, "
            f"and {duration(max(left, 0))} are left; give {least}, or a smaller --start or --image-size"
        )
    tried, some = dict[Size, Checkpoint](), _drawn(splits.train, asked.seed, _TRIED, beyond=_ALL)
    for each in [config.image_size] if size else sizes_to_try(config, sides):
        more = forward_flops(replace(config, image_size=each)) / forward_flops(config)
        if not tried or more * len(some) / (_FORWARD * rate) < _LOOK * total:
            tried[each] = teach(load(start, image_size=each), Splits(train=some), device=asked.device)
    left = 0.0 if asked.way == "teach" else begun + total - time.monotonic()
    best, why["image-size"] = _size(asked, config, tried, rate * left / (asked.batch or _recipe(True).batch))
    flip, why["flip"] = _flip(asked, splits.train, tried[best])
    head = tried[best].model.head.linear
    assert head is not None
    keeps = float(torch.linalg.matrix_norm(head.weight.detach(), 2)) <= _STEEP
    recipe = replace(_recipe(keeps), **{name: n for name in ("lr", "batch") if (n := getattr(asked, name)) is not None})
    head_text = "from the taught head" if keeps else "from a head of zeros: the first steps would undo the taught one"
    why["lr"] = f"{recipe.lr:g} in batches of {recipe.batch}, {head_text}"
    return Chosen(
        start=start,
        image_size=best,
        flip=flip,
        threads=threads,
        rate=rate * forward_flops(config) / forward_flops(replace(config, image_size=best)),
        keeps_head=keeps,
        drop_tokens=0.0 if keeps or not _many_patches(replace(config, image_size=best)) else _DROPPED,
        lr=recipe.lr,
        batch=recipe.batch,
        why=why,
    )


def _recipe(keeps_head: bool, **where: Any) -> FinetuneRecipe:
    """What fine-tuning begins with: small steps from a head that is right, larger ones from a head of zeros."""
    where = where or {"data": "", "out": "", "checkpoint": ""}
    if keeps_head:
        recipe = PRESETS[FinetuneRecipe]["small"](**where, lr=_LR)
        assert isinstance(recipe, FinetuneRecipe)
        return recipe
    muon: dict[str, Any] = {"optimizer": "muon", "momentum": 0.95, "decay": "linear", "warmup": 0.05, "lr": 2e-3}
    return FinetuneRecipe(**where, **muon, batch=64, weight_decay=0.05, label_smoothing=0.1)


def _many_patches(config: ModelConfig) -> bool:
    """Whether so many patches are left without the dropped ones that an image is still seen."""
    if not isinstance(config, ViTConfig):
        return False
    height, width = config.image_size
    return height * width >= _PATCHES * config.pixels_per_token**2


def finetuning(asked: Train, chosen: Chosen, sides: int, **where: Any) -> FinetuneRecipe:
    """The recipe of fine-tuning; `where` says its data, checkpoint, out and time_budget."""
    recipe = _recipe(chosen.keeps_head, **where)
    crop: dict[str, Any] = {"crop_area": (0.3, 1.0), "randaugment_layers": 2}
    if sides < 2 * max(chosen.image_size) or not chosen.flip:  # of small pictures and writing every part counts
        crop = {"crop": "shift"}
    shorter = 2 * min(chosen.image_size)
    free = free_memory(torch.device("cpu"))
    return replace(
        recipe,
        image_size=chosen.image_size,
        lr=chosen.lr,
        batch=chosen.batch,
        augment=AugmentConfig(flip=chosen.flip, **crop),
        shrink=shorter if sides > shorter else None,
        drop_tokens=chosen.drop_tokens,
        drop_tokens_for=_DROPPED_FOR if chosen.drop_tokens else 1.0,
        memory_budget=f"{int(min(_MEMORY * free, 2**31) / 2**20)}M",
        on_error="skip",
        seed=asked.seed,
        device=asked.device,
    )


def steps_in(left: float, chosen: Chosen) -> int:
    """About how many steps of fine-tuning fit into so many seconds."""
    faster = 1 / (1 - chosen.drop_tokens * _DROPPED_FOR)  # a step costs about what it has patches
    return max(int(left * chosen.rate * faster / chosen.batch), 0)


def _start(asked: Train, splits: Splits, total: float) -> tuple[str, int | None, str]:
    """What to begin from, the image size that goes with it, and why."""
    if asked.start != AUTO:
        return asked.start, asked.image_size, f"{asked.start}: as asked"
    choice = start_to_teach(splits, asked.image_size, asked.device, _FEATURES * total, cached=total < FETCHED)
    size = asked.image_size or (_LINEAR if choice.judged else None)
    return choice.name, size, choice.why if choice.judged else f"{choice.name}: {choice.why}"


def sizes_to_try(config: ModelConfig, sides: int) -> list[Size]:
    """The start's own size first, then half of it where images are no larger, or twice it where they are."""
    height, width = config.image_size
    other = (height * 2, width * 2) if sides >= 1.5 * height else (height // 2, width // 2)
    fits = all(side and side % config.pixels_per_token == 0 for side in other)
    return [config.image_size, *([other] if fits and (sides >= 1.5 * height or sides <= height // 2) else [])]


def _left_out(taught: Checkpoint) -> dict[str, Any]:
    """The leave-one-out figures of a taught head."""
    results: dict[str, Any] = taught.card["results"]
    return results


def _size(asked: Train, config: ModelConfig, tried: dict[Size, Checkpoint], steps: float) -> tuple[Size, str]:
    """The image size, and why; `steps` of fine-tuning fit at the start's own."""
    losses = {each: float(_left_out(taught)["loss"]) for each, taught in tried.items()}
    best = min(losses, key=lambda each: (losses[each], each))
    finest = max(losses)
    steps *= forward_flops(config) / forward_flops(replace(config, image_size=finest))
    text = "there the taught head does best on images that it has not learned"
    if finest > config.image_size and steps >= _FINER_STEPS and losses[finest] <= _FINER_LOSS * losses[best]:
        best, text = finest, f"finer images gain in fine-tuning, of which about {steps:.0f} steps fit"
    told = ", ".join(f"{loss:.3f} at {size[0]} px" for size, loss in losses.items())
    shown = f"{best[1]} px" if best[0] == best[1] else f"{best[0]}×{best[1]} px"
    if len(tried) > 1:
        return best, f"{shown}: {text} (the head's loss {told})"
    return best, f"{shown}: {'as asked' if asked.image_size else 'what the start saw'}"


_FLIPPED = {True: "true, mirror images are learned too", False: "false, mirror images are not learned"}


def _flip(asked: Train, train: Source, taught: Checkpoint) -> tuple[bool, str]:
    """Whether mirror images may be learned from: not where classes are sides, nor of writing, which has a direction."""
    if asked.flip is not None:
        return asked.flip, f"{_FLIPPED[asked.flip]}: as asked"
    if train.several:
        return True, f"{_FLIPPED[True]}: labels rarely depend on sides"
    some = _drawn(train, asked.seed, _MIRRORED)
    rows = [features_of(taught, each, asked.device) for each in (some, _Mirrored(some))]
    linear = taught.model.head.linear
    assert linear is not None
    with torch.no_grad():
        found = (torch.from_numpy(rows[1]) @ linear.weight.T.float() + linear.bias).argmax(dim=1).numpy()
    known, usual = float((found == some.labels).mean()), float(_left_out(taught)["loo_top1"])
    sides, pairs = np.repeat(np.arange(2), len(some)), np.tile(np.arange(len(some)), 2)
    told = teach_head(np.concatenate(rows), signs(sides, 2), groups=pairs).left_out.argmax(axis=1) == sides
    apart = float(told.mean())
    flip = known >= usual - _SMALLER and apart <= 0.5 + _CHANCE * 0.5 / len(some) ** 0.5
    said = f"{_FLIPPED[flip]}: the taught head names {100 * known:.0f} % of mirrored images right"
    return flip, f"{said}; which ones are mirrored is told in {100 * apart:.0f} % (by chance 50 %)"


def _drawn(source: Source, seed: int, most: int, beyond: int = 0) -> Source:
    """At most so many of its images, at random; all where there are no more than `beyond`."""
    if len(source) <= max(most, beyond):
        return source
    drawn = generator(Stream.TRIED, seed).permutation(len(source))[:most]
    return View(source, np.sort(drawn).astype(np.int64))


def _threads(asked: Train, config: ModelConfig) -> tuple[int, float, str]:
    """How many threads, the images a second that they train, and why."""
    device, usual = resolve_device(asked.device), torch.get_num_threads()
    precision = resolve_precision("auto", device)
    numbers = [asked.threads] if asked.threads else sorted({1, usual}) if device.type == "cpu" else [usual]
    rates = {n: training_rate(config, _PROBE, n, device=str(device), precision=precision) for n in numbers}
    best = max(rates, key=lambda n: rates[n])
    told = ", ".join(f"{rate:.0f} images a second with {n}" for n, rate in rates.items())
    return best, rates[best], f"{best}: training takes {told} ({precision})"


class _Mirrored(Source):
    """Images with left and right exchanged."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name, self.classes, self.labels = f"{source.name} (mirrored)", source.classes, source.labels

    def __getitem__(self, index: int) -> UInt8:
        return np.ascontiguousarray(self.source[index][:, ::-1])

    def identity(self) -> Iterator[bytes]:
        yield self.source.fingerprint().encode()
