"""On a GPU: training and inference in bfloat16 beside timm's, and the time from scratch to three levels on CIFAR-10.

python benchmarks/gpu.py [--parts training inference record] [--seeds 5] [--rounds 11]
python benchmarks/gpu.py --device cpu --toy

training   images a second of ViT-S/16, B/16 and L/16: the step of our training loop, eager and compiled, beside timm's
           model in the usual step, with PyTorch's default mixed precision (float16, scaled loss), and in bfloat16
           compiled. Images lie on the device already. Every result holds the share of the rate of a matrix product.
inference  ViT-B/16, batch 256, and latency of batch 1, for which ours is also compiled to CUDA graphs
           (`mode="reduce-overhead"`); timm's weights are cast to bfloat16 as a whole, eager and compiled.
record     runs of the preset `record` on CIFAR-10, one for each seed, judged on the test images while they train:
           seconds from the first step until a level was first reached, with compilation and evaluations, and seconds
           in training steps alone.

`--toy` is the same with tiny models, without compiling, to see that it works.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contest import Way, contest, gate, keep, product, ratios, spread, summary
from peer_models import timm_model
from training import our_step, their_step
from vitascope.checkpoints.checkpoint import Checkpoint, numbered_labels
from vitascope.data.open import open_data
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Splits
from vitascope.inference.engines.pytorch import placed
from vitascope.models.catalogue import create_model, forward_flops
from vitascope.precision import autocast, processor
from vitascope.recipes.presets import PRESETS
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.recipe import PretrainRecipe
from vitascope.training.record import SPEED, read_metrics
from vitascope.training.train_settings import TrainSettings

LEVELS = (0.909, 0.94, 0.965)
"""ViT-CIFAR after 200 epochs (2 h 14 min on a V100), convolutions' speed runs, and CCT-7/3×1 after 300 epochs."""
APART = 5e-2
"""Largest difference in bfloat16, as a share of the largest logit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """How large everything is."""

    models: dict[str, int]
    """Models to train → batch."""
    inference: str = "ViT-B/16"
    """The model that predicts."""
    batch: int = 256
    """Its images at once."""
    size: int = 224
    """Pixels."""
    product: int = 8192
    """Side of the matrices whose product is the yardstick."""
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Changes of every model."""
    data: str = "cifar10"
    """What the record is trained on."""
    preset: str = "record"
    """Its settings."""
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Changes of them."""


FULL = Scale(models={"ViT-S/16": 256, "ViT-B/16": 256, "ViT-L/16": 128})
_TINY = {"width": 32, "depth": 2, "heads": 2, "hidden": 48}
TOY = Scale(
    models={"ViT-S/16": 4},
    batch=3,
    size=32,
    product=64,
    fields=_TINY,
    data="digits",
    preset="small",
    recipe={"model": "ViT-Ti/8", "model_fields": _TINY, "image_size": 16, "epochs": None, "steps": 6, "eval_every": 2},
)


def waiting(device: torch.device) -> Callable[[], object]:
    """What waits until the device has done everything."""
    return torch.cuda.synchronize if device.type == "cuda" else int


def machine(device: torch.device) -> str:
    """The name under which results are kept."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor()}, toy"


def subject(name: str, scale: Scale, classes: int = 1000) -> tuple[Checkpoint, nn.Module]:
    """Our model with drawn weights, and timm's with the same; ends the benchmark where they are not the same."""
    torch.manual_seed(0)
    model = create_model(name, image_size=scale.size, classes=classes, **scale.fields)
    nn.init.normal_(model.head.linear.weight, std=0.02)  # new heads are zero, and would pass for equal
    preprocess = Preprocess(size=(scale.size, scale.size))
    labels = numbered_labels(classes)
    checkpoint = Checkpoint(model=model.eval(), preprocess=preprocess, labels=labels, card={})
    theirs, images = timm_model(checkpoint).eval(), torch.randn(2, 3, scale.size, scale.size)
    with torch.no_grad():
        gate("timm", theirs(images), model(images), 1e-4)
    return checkpoint, theirs


def default_amp_step(
    model: nn.Module, images: Tensor, labels: Tensor, settings: TrainSettings, device: torch.device
) -> Callable[[], Any]:
    """PyTorch's mixed precision as it comes: float16, and the loss scaled so that gradients do not vanish."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    scaler = torch.amp.GradScaler(device.type)

    def step() -> None:
        with torch.autocast(device.type, torch.float16):
            loss = F.cross_entropy(model(images), labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return step


def training(name: str, scale: Scale, device: torch.device, rounds: int) -> dict[str, Any]:
    """Training steps of one model."""
    batch, classes = scale.models[name], 1000
    checkpoint, theirs = subject(name, scale, classes)
    settings = TrainSettings(batch=batch, lr=1e-4, weight_decay=0.05, precision="bfloat16")
    compiled = dataclasses.replace(settings, compile=True)
    images = torch.randint(0, 256, (batch, 3, scale.size, scale.size), dtype=torch.uint8, device=device)
    labels = torch.randint(classes, (batch,), device=device)
    floats = checkpoint.preprocess.normalise(images)
    amp = default_amp_step(theirs.train().to(device), floats, labels, settings, device)
    steps = {
        "vitascope": our_step(checkpoint, images, labels, settings, device),
        "vitascope compiled": our_step(checkpoint, images, labels, compiled, device),
        "timm, default AMP": amp,
        "timm compiled": their_step(theirs, floats, labels, compiled, device),
    }
    flops = 3 * forward_flops(checkpoint.config) * batch
    ways = [Way(name=title, run=step, images=batch, flops=flops) for title, step in steps.items()]
    measure = f"training step, {name} at {scale.size} px, batch {batch}, bfloat16"
    return {"measure": measure, **measured(ways, scale, device, rounds)}


def inference(scale: Scale, batch: int, device: torch.device, rounds: int) -> dict[str, Any]:
    """Forward passes, each compared with the model in float32 first."""
    checkpoint, theirs = subject(scale.inference, scale)
    images = torch.randn(batch, 3, scale.size, scale.size)
    with torch.no_grad():
        expected = checkpoint.model(images[:2])
    ours = placed(checkpoint, device, "bfloat16")
    theirs = theirs.to(device, torch.bfloat16)
    floats = images.to(device)
    halves = floats.to(torch.bfloat16)

    def cast(module: Callable[[Tensor], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.inference_mode(), autocast("bfloat16", device):
                return module(floats)

        return run

    def plain(module: Callable[[Tensor], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.inference_mode():
                return module(halves)

        return run

    runs = {"vitascope": cast(ours), "vitascope compiled": cast(torch.compile(ours))}
    if batch == 1:
        runs["vitascope, CUDA graphs"] = cast(torch.compile(ours, mode="reduce-overhead"))
    runs |= {"timm": plain(theirs), "timm compiled": plain(torch.compile(theirs))}
    within = APART * max(float(expected.abs().max()), 1.0)
    apart = {name: gate(name, run()[:2].cpu(), expected[:batch], within) for name, run in runs.items()}
    flops = forward_flops(checkpoint.config) * batch
    ways = [Way(name=name, run=run, images=batch, flops=flops) for name, run in runs.items()]
    measure = f"inference, {scale.inference} at {scale.size} px, batch {batch}, bfloat16"
    return {"measure": measure, "gate": apart, **measured(ways, scale, device, rounds)}


def measured(ways: Sequence[Way], scale: Scale, device: torch.device, rounds: int) -> dict[str, Any]:
    """The contest of `ways`, with the matrix product beside them."""
    yardstick = product(torch.bfloat16, device, scale.product)
    seconds = contest([*ways, yardstick], rounds, warmup=5, sync=waiting(device))
    rates = [yardstick.flops / t for t in seconds[yardstick.name]]
    return {
        "product_tflops": statistics.median(rates) / 1e12,
        "ways": summary(ways, seconds, rates),
        "ratios": ratios(ways, seconds),
    }


def record(scale: Scale, device: torch.device, seeds: int, folder: Path) -> dict[str, Any]:
    """One run for each seed; seconds to each level, and what every run reached."""
    held = open_data(scale.data)
    judged = held.test or held.validation
    splits = Splits(train=held.train, validation=judged)
    runs = []
    for seed in range(seeds):
        out, start = folder / f"seed-{seed}", PRESETS[PretrainRecipe][scale.preset]
        recipe = start(data=scale.data, out=str(out), device=str(device), **scale.recipe, seed=seed, keep="last")
        assert isinstance(recipe, PretrainRecipe)
        assert held.train is not None
        every = recipe.eval_every or math.ceil(len(held.train) / recipe.batch)  # an epoch
        pretrain(dataclasses.replace(recipe, eval_every=every), splits=splits)
        runs.append({"seed": seed, **reached(out)})
    ways = {}
    for level in LEVELS:
        times = [run["levels"][f"{level:g}"] for run in runs]
        done = [found for found in times if found is not None]
        if done:
            ways[f"to {100 * level:g} %"] = {
                "reached_by": spread([len(done) / len(runs)]),
                **{name: deviation([found[name] for found in done]) for name in ("seconds", "training_seconds")},
            }
    return {
        "measure": f"{scale.data} from scratch, preset {scale.preset}, {seeds} seeds",
        "runs": runs,
        "top1": deviation([run["top1"] for run in runs]),
        "ways": ways,
        "ratios": {},
    }


def reached(out: Path) -> dict[str, Any]:
    """Of one run: accuracy at the end, and seconds to each level, or None; from metrics.jsonl and speed.jsonl."""
    laps = [json.loads(line) for line in (out / SPEED).read_text().splitlines()]
    judged = [(line["step"], line["validation"]["top1"]) for line in read_metrics(out) if "validation" in line]
    levels = {}
    for level in LEVELS:
        step = next((step for step, top1 in judged if top1 >= level), None)
        levels[f"{level:g}"] = None if step is None else until(laps, step)
    return {"top1": judged[-1][1], "levels": levels, **until(laps, judged[-1][0])}


def until(laps: Sequence[dict[str, Any]], step: int) -> dict[str, float]:
    """Seconds up to the end of the lap that `step` is in."""
    end = next((lap["step"] for lap in laps if lap["step"] >= step), step)
    counted = [lap for lap in laps if lap["step"] <= end]
    return {name: round(sum(lap[name] for lap in counted), 3) for name in ("seconds", "training_seconds")}


def deviation(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles, mean and standard deviation."""
    scatter = statistics.stdev(values) if len(values) > 1 else 0.0
    return {**spread(values), "mean": round(statistics.mean(values), 4), "deviation": round(scatter, 4)}


def main() -> None:
    """Measures the parts asked for; each writes its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("training", "inference", "record")
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=parts)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--runs", type=Path, help="where the runs of the record are kept; nowhere by default")
    said = parser.parse_args()
    scale, device = (TOY if said.toy else FULL), torch.device(said.device)
    with torch.compiler.set_stance("force_eager" if said.toy else "default"), tempfile.TemporaryDirectory() as folder:
        for part in said.parts:
            for row, result in measure(part, scale, device, said, said.runs or Path(folder)).items():
                print(keep(row, result, machine(device)).read_text())


def measure(part: str, scale: Scale, device: torch.device, said: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The result of every row of one part."""
    if part == "record":
        return {"gpu-cifar10": record(scale, device, said.seeds, folder)}
    if part == "inference":
        return {
            "gpu-inference": inference(scale, scale.batch, device, said.rounds),
            "gpu-latency": inference(scale, 1, device, 3 * said.rounds),
        }
    return {
        f"gpu-training-{name.lower().replace('/', '-')}": training(name, scale, device, said.rounds)
        for name in scale.models
    }


if __name__ == "__main__":
    main()
