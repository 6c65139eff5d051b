"""Inference of ViT-B/16 at 224 pixels, batch 16: our engines beside timm, transformers and OpenVINO by itself.

python benchmarks/inference.py [--model ViT-B/16] [--batch 16] [--rounds 5] [--compile] [--int8] [--quick]

Weights, images and dtype are the same for all; the dtype is what is faster on this processor. OpenVINO by itself is
timm's model as its users convert it, `openvino.convert_model(model, example_input=…)`, compiled with its own defaults.
Every way must give our model's logits before it is timed. `--compile` times the compiled ways alone beside ours: each
takes minutes to compile. `--int8` times our model in int8 beside OpenVINO's in the best float format; there the logits
differ by nature, and `benchmarks/int8.py` tells what that costs in accuracy. `--quick` is a toy for tests.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from contest import Way, contest, gate, keep, product, ratios, summary
from peer_models import timm_model, transformers_model
from vitascope.checkpoints.checkpoint import Checkpoint, numbered_labels
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError
from vitascope.inference.engines.openvino import OpenVinoEngine, convert, library
from vitascope.inference.engines.openvino_int8 import quantised
from vitascope.inference.engines.table import build
from vitascope.inference.engines.traced import quiet
from vitascope.models.catalogue import create_model, forward_flops
from vitascope.precision import resolve_precision

CPU = torch.device("cpu")
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.2}
"""Largest difference of logits, which are of the order of 1."""
TOY = {"width": 32, "depth": 2, "heads": 2, "hidden": 48}
Run = Callable[[Tensor], Tensor]


def random_checkpoint(name: str, size: int, classes: int = 1000, **fields: Any) -> Checkpoint:
    """Official initial values with a head that is not zero."""
    torch.manual_seed(0)
    model = create_model(name, image_size=size, classes=classes, **fields).eval()
    nn.init.normal_(model.head.linear.weight, std=0.05)  # new heads are zero, and would pass for equal
    preprocess, labels = Preprocess(size=(size, size)), numbered_labels(classes)
    return Checkpoint(model=model, preprocess=preprocess, labels=labels, card={})


def module_run(module: nn.Module, precision: str) -> Run:
    """A peer's module as its users run it: cast as a whole, in inference mode."""
    dtype = getattr(torch, precision)
    if precision != "float32":
        module = copy.deepcopy(module).to(dtype)

    @torch.inference_mode()
    def run(images: Tensor) -> Tensor:
        result = module(images.to(dtype))
        return getattr(result, "logits", result).float()

    return run


def compiled_run(module: nn.Module, precision: str) -> Run:
    """The same through torch.compile, for the one shape that is timed."""
    return module_run(torch.compile(module), precision)  # type: ignore[arg-type]


def openvino_run(module: nn.Module, images: Tensor) -> Run:
    """OpenVINO by itself, with its own defaults."""
    ov = library()
    with quiet(), torch.no_grad():
        model = ov.convert_model(module, example_input=images[:2])
    runner = ov.compile_model(model, "CPU")
    return lambda images: torch.from_numpy(runner(images.numpy())[0])


def int8_run(checkpoint: Checkpoint, samples: int = 8) -> Run:
    """Our model in int8; random images will do, because time alone is measured."""
    shape = (samples, 3, *checkpoint.preprocess.size)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    return OpenVinoEngine(quantised(convert(checkpoint), images), "float32")


def ours(checkpoint: Checkpoint, names: tuple[str, ...], precision: str, batch: int) -> dict[str, Run]:
    """Our engines that work here."""
    found = {}
    for name in names:
        try:
            found[f"vitascope, {name}"] = build(name, checkpoint, CPU, precision, batch)
        except ConfigError as error:
            print(error)
    return found


def limit(ways: dict[str, Any], peers: tuple[str, ...]) -> str:
    """What keeps any way from being much faster than these peers."""
    shares = {peer: ways[peer]["share_of_product"]["median"] for peer in peers if peer in ways}
    reached = ", ".join(f"{peer} reaches {100 * share:.0f} %" for peer, share in shares.items())
    most = ", ".join(f"{1 / share:.2f}" for share in shares.values())
    return (
        f"The matrix product is the limit: {reached} of its rate, so that whoever multiplies as much can be at most "
        f"{most} times as fast. Ours leaves out the last block's products that the head does not read."
    )


def main() -> None:
    """Measures one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B/16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--quick", action="store_true")
    said = parser.parse_args()
    precision = resolve_precision("auto", CPU)
    checkpoint = random_checkpoint(said.model, 32, 10, **TOY) if said.quick else random_checkpoint(said.model, 224)
    shape = (said.batch, 3, *checkpoint.preprocess.size)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1  # as preprocessing makes them
    with torch.no_grad():
        expected = checkpoint.model(images)
    timm = timm_model(checkpoint).eval()
    if said.int8:
        runs = {"vitascope, int8": int8_run(checkpoint), "openvino": openvino_run(timm, images)}
    elif said.compile:
        runs = ours(checkpoint, ("openvino", "compiled"), precision, said.batch)
        runs["timm compiled"] = compiled_run(timm, precision)
    else:
        runs = ours(checkpoint, ("eager", "openvino", "onnx"), precision, said.batch)
        runs["timm"] = module_run(timm, precision)
        runs["transformers"] = module_run(transformers_model(checkpoint).eval(), precision)
        runs["openvino"] = openvino_run(timm, images)
    largest = float(expected.abs().max())  # int8 is allowed that much, to tell rounding from nonsense
    tolerance = {name: largest if name == "vitascope, int8" else TOLERANCE[precision] for name in runs}
    apart = {name: gate(name, run(images), expected, tolerance[name]) for name, run in runs.items()}
    flops = forward_flops(checkpoint.config) * said.batch
    ways = [
        Way(name=name, run=lambda run=run: run(images), images=said.batch, flops=flops)  # type: ignore[misc]
        for name, run in runs.items()
    ]
    yardstick = product(getattr(torch, precision))
    seconds = contest([*ways, yardstick], said.rounds, warmup=1, pause=0.2)
    rates = [yardstick.flops / t for t in seconds[yardstick.name]]
    size, kind = checkpoint.preprocess.size[0], "int8 beside " if said.int8 else ""
    result = {
        "measure": f"inference, {said.model} at {size} px, batch {said.batch}, {kind}{precision}",
        "gate": apart,
        "product_tflops": sorted(rates)[len(rates) // 2] / 1e12,
        "ways": (found := summary(ways, seconds, rates)),
        "ratios": ratios(ways, seconds),
    }
    if said.int8:
        share = found["vitascope, int8"]["share_of_product"]["median"]
        result["limit"] = (
            f"In int8 the work goes at {100 * share:.0f} % of the {precision} matrix product's rate; only processors "
            "with instructions for it (VNNI, AMX) multiply int8 much faster than float."
        )
    else:
        result["limit"] = limit(found, ("timm compiled",) if said.compile else ("timm", "transformers", "openvino"))
    row = "inference" + ("-int8" if said.int8 else "-compiled" if said.compile else "")
    print(keep(row + ("-quick" if said.quick else ""), result).read_text())


if __name__ == "__main__":
    main()
