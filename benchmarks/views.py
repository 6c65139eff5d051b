"""Time and memory of the views, beside hooks that keep every attention matrix.

python benchmarks/views.py [--model ViT-B/16] [--images 128] [--rounds 3]

Every measurement is a process of its own, since memory once taken is not given back. Each is done in every round, one
way after the other; both ways must give the same numbers. Memory is the peak of the process less what it had with the
model and the images loaded, so that "forward", the model alone, stands for the model's own.

Where the time of one batch goes is kept as views-profile.txt.

The hooks do what is usual: attention written out instead of fused, every matrix of every layer and image kept, the
numbers computed from them afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contest import gate, keep, spread
from profiles import of_torch, table, write_profile
from vitascope import views
from vitascope.layers import attention as attention_module
from vitascope.layers.attention import attention_weights
from vitascope.models.catalogue import build_model, model_config
from vitascope.models.config import ViTConfig
from vitascope.models.vit import ViT
from vitascope.views.attention_rollout import Rollouts
from vitascope.views.capture import captures, read_attention
from vitascope.views.distance import distances, patch_distances

BATCH = 16


def forward(model: ViT, images: Tensor) -> list[Tensor]:
    """The model alone."""
    with torch.no_grad():
        return [torch.cat([model(batch) for batch in images.split(BATCH)])]


def ours(model: ViT, images: Tensor) -> list[Tensor]:
    """Attention distance and rollout in one pass, as `inspect` takes them."""
    parts = [read_attention(c, distances, Rollouts) for c in captures(model, images)]
    return [torch.cat([d for d, _ in parts]).mean(0), torch.cat([r for _, r in parts])]


def ours_separately(model: ViT, images: Tensor) -> list[Tensor]:
    """The same by the two public functions, one after the other."""
    return [views.attention_distance(model, images), views.rollout(model, images)]


def hooks(model: ViT, images: Tensor) -> list[Tensor]:
    """The same from matrices that were all kept."""
    config, grid = model.config, model.config.grid
    table = patch_distances(grid, config.pixels_per_token).float()
    first, distances, flows = config.prefix, [], []
    for kept in keep_all(model, images):
        distances.append(torch.stack([(a[..., first:, first:] * table).sum((-1, -2)) for a in kept], dim=1))
        identity = torch.eye(kept[0].shape[-1])
        flow = identity
        for a in kept:
            flow = ((a.mean(1) + identity) / 2) @ flow
        flows.append(flow[:, 0, first:].unflatten(1, grid))
    return [torch.cat(distances).mean(0) / len(table), torch.cat(flows)]


def ours_one_layer(model: ViT, images: Tensor) -> list[Tensor]:
    """The attention of the layer a third up, for which the model need not run on."""
    layer = model.config.depth // 3
    return [views.attention(model, images, [layer])[layer]]


def hooks_one_layer(model: ViT, images: Tensor) -> list[Tensor]:
    """The same, chosen from matrices that were all kept."""
    return [torch.cat([kept[model.config.depth // 3] for kept in keep_all(model, images)])]


def ours_class_maps(model: ViT, images: Tensor) -> list[Tensor]:
    """Attention of the class token in all layers."""
    return [views.class_attention(model, images)]


def hooks_class_maps(model: ViT, images: Tensor) -> list[Tensor]:
    """The same, cut from matrices that were all kept."""
    first = model.config.prefix
    maps = [torch.stack([a[:, :, 0, first:] for a in kept], dim=1) for kept in keep_all(model, images)]
    return [torch.cat(maps).unflatten(3, model.config.grid)]


def keep_all(model: ViT, images: Tensor) -> list[list[Tensor]]:
    """Every attention matrix, (B, h, T, T) for each batch and layer."""
    kept: list[list[Tensor]] = []

    def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = attention_weights(q, k)
        kept[-1].append(weights)
        return weights @ v

    fused, attention_module.attend = attention_module.attend, written_out
    try:
        with torch.no_grad():
            for batch in images.split(BATCH):
                kept.append([])
                model(batch)
    finally:
        attention_module.attend = fused
    return kept


WAYS: dict[str, Callable[[ViT, Tensor], list[Tensor]]] = {
    "forward": forward,
    "distance and rollout": ours,
    "distance and rollout, hooks": hooks,
    "distance and rollout, two calls": ours_separately,
    "one layer": ours_one_layer,
    "one layer, hooks": hooks_one_layer,
    "class maps": ours_class_maps,
    "class maps, hooks": hooks_class_maps,
}


DEFAULT = ("forward", "distance and rollout", "distance and rollout, hooks", "one layer", "one layer, hooks")


def measure(way: str, name: str, count: int, size: int | None, bfloat16: bool) -> dict[str, float]:
    """Seconds and peak bytes of one way, in this process."""
    model, images = model_and_images(name, count, size)
    with precision(bfloat16):
        forward(model, images[:1])  # kernels are chosen, threads started
        before = resident()
        start, start_cpu = time.perf_counter(), time.process_time()
        result = WAYS[way](model, images)
        seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    norm = float(result[0].double().square().mean().sqrt())
    return {"seconds": seconds, "cpu": cpu, "bytes": max(peak - before, 0), "norm": norm}


def model_and_images(name: str, count: int, size: int | None) -> tuple[ViT, Tensor]:
    """The same in every process."""
    config = model_config(name, **({} if size is None else {"image_size": size}))
    assert isinstance(config, ViTConfig)
    model = build_model(config, torch.Generator().manual_seed(0)).eval()
    assert isinstance(model, ViT)
    generator = torch.Generator().manual_seed(1)
    return model, torch.randn(count, config.channels, *config.image_size, generator=generator)


def precision(bfloat16: bool) -> AbstractContextManager[object]:
    """What a way runs under."""
    return torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


RATIOS = {
    "vitascope over hooks": ("distance and rollout", "seconds"),
    "vitascope over hooks, memory": ("distance and rollout", "bytes"),
    "vitascope, one layer over hooks, one layer": ("one layer", "seconds"),
    "vitascope, one layer over hooks, one layer, memory": ("one layer", "bytes"),
}
"""What the hooks need over what ours needs: of which view, in what."""


def main() -> None:
    """Measures every way, in rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B/16")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--image-size", type=int, help="in pixels; the model's own by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=DEFAULT)
    parser.add_argument("--bfloat16", action="store_true", help="the model under torch.autocast, in all ways")
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.only:
        print(json.dumps(measure(said.only, said.model, said.images, said.image_size, said.bfloat16)))
        return
    command = [sys.executable, __file__, "--model", said.model, "--images", str(said.images)]
    command += ["--bfloat16"] if said.bfloat16 else []
    command += ["--image-size", str(said.image_size)] if said.image_size else []
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in said.ways}
    for _ in range(said.rounds):
        for way, measured in rounds.items():
            done = subprocess.run([*command, "--only", way], check=True, capture_output=True, text=True)
            measured.append(json.loads(done.stdout))
    path = keep("views", result(said, rounds))
    print(path.read_text())
    model, images = model_and_images(said.model, BATCH, said.image_size)
    with precision(said.bfloat16):
        parts = [table(way, *of_torch(partial(WAYS[way], model, images))) for way in said.ways]
    write_profile(path, f"{said.model}, {BATCH} images, {torch.get_num_threads()} threads", parts)


def result(said: argparse.Namespace, rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """What is kept; ends the benchmark where two ways to the same view do not agree."""
    ratios = {}
    for name, (way, unit) in RATIOS.items():
        if way in rounds and f"{way}, hooks" in rounds:
            pairs = list(zip(rounds[f"{way}, hooks"], rounds[way], strict=True))
            gate(name, torch.tensor(pairs[0][0]["norm"] / pairs[0][1]["norm"]), torch.ones(()), tolerance=1e-4)
            ratios[name] = spread([theirs[unit] / max(ours[unit], 1.0e-9) for theirs, ours in pairs])
    dtype = "bfloat16 autocast" if said.bfloat16 else "float32"
    limit = {}
    if {"forward", "distance and rollout", "distance and rollout, hooks"} <= rounds.keys():
        alone, ours, theirs = (
            statistics.median(m["seconds"] for m in rounds[way])
            for way in ("forward", "distance and rollout", "distance and rollout, hooks")
        )
        limit["limit"] = (
            f"The model alone takes {100 * alone / ours:.0f} % of the time of ours, and the hooks {theirs / alone:.2f} "
            "times as long as the model alone: no way to read attention in all layers is faster than the model."
        )
    return {
        "measure": f"views of {said.model} on {said.images} images, {dtype}",
        "ways": {
            way: {
                "milliseconds": spread([1000 * m["seconds"] for m in measured]),
                "processor_seconds": spread([m["cpu"] for m in measured]),
                "MiB": spread([m["bytes"] / 2**20 for m in measured]),
            }
            for way, measured in rounds.items()
        },
        "ratios": ratios,
        **limit,
    }


if __name__ == "__main__":
    main()
