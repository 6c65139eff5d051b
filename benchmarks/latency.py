"""Latency of one photograph: from a Pillow image to labels, and of the model alone, at 224 pixels.

python benchmarks/latency.py [--model ViT-S/16] [--rounds 25] [--quick]

End to end: ours is `Predictor(checkpoint, engine=…)(image)`; transformers' is `pipeline("image-classification")` with
its model and image processor; timm's is its transform, then its model in inference mode, then softmax and top 5, as its
documentation shows. Weights are the same, and so is the preprocessing (resize to 224, mean and deviation 0.5), up to
the resampling of each library. The photograph is 500 × 375, as those of ImageNet are.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from contest import Way, contest, gate, keep, product, ratios, summary
from inference import CPU, TOLERANCE, TOY, limit, module_run, ours, random_checkpoint
from peer_models import import_peer, timm_model, transformers_model
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.save import save
from vitascope.errors import ConfigError
from vitascope.inference.predictor import Predictor
from vitascope.precision import resolve_precision
from vitascope.studies.cost import forward_flops

ENGINES = ("eager", "openvino", "onnx")


def photograph() -> Image.Image:
    """Smooth in places and rough in others, 500 × 375."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)


def predictors(checkpoint: Checkpoint, precision: str) -> dict[str, Callable[[Image.Image], Any]]:
    """Ours, by engine."""
    found = {}
    for name in ENGINES:
        try:
            found[f"vitascope, {name}"] = Predictor(checkpoint, name, device="cpu", batch=1, precision=precision)
        except ConfigError as error:
            print(error)
    return found


def pipeline(checkpoint: Checkpoint, precision: str) -> Callable[[Image.Image], Any]:
    """transformers' pipeline, as its users make it."""
    transformers = import_peer("transformers")
    with tempfile.TemporaryDirectory() as folder:
        save(checkpoint, Path(folder) / "hf", format="huggingface")
        return transformers.pipeline(
            "image-classification", model=f"{folder}/hf", device="cpu", dtype=getattr(torch, precision), top_k=5
        )


def timm_chain(checkpoint: Checkpoint, precision: str) -> Callable[[Image.Image], Any]:
    """timm's transform and model."""
    data = import_peer("timm.data")
    model = timm_model(checkpoint).eval()
    transform = data.create_transform(**data.resolve_model_data_config(model), is_training=False)
    run = module_run(model, precision)

    def predict(image: Image.Image) -> Any:
        values, indices = run(transform(image)[None]).softmax(1).topk(5)
        return list(zip(indices[0].tolist(), values[0].tolist(), strict=True))

    return predict


def main() -> None:
    """Measures one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-S/16")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--quick", action="store_true")
    said = parser.parse_args()
    precision = resolve_precision("auto", CPU)
    checkpoint = random_checkpoint(said.model, 32, 10, **TOY) if said.quick else random_checkpoint(said.model, 224)
    image, flops = photograph(), forward_flops(checkpoint.config)
    batch = checkpoint.preprocess(image)[None]
    with torch.no_grad():
        expected = checkpoint.model(batch)
    whole = {
        **predictors(checkpoint, precision),
        "transformers pipeline": pipeline(checkpoint, precision),
        "timm": timm_chain(checkpoint, precision),
    }
    models = {f"{name}, model alone": run for name, run in ours(checkpoint, ENGINES, precision, 1).items()}
    models["timm, model alone"] = module_run(timm_model(checkpoint).eval(), precision)
    models["transformers, model alone"] = module_run(transformers_model(checkpoint).eval(), precision)
    apart = {name: gate(name, run(batch), expected, TOLERANCE[precision]) for name, run in models.items()}
    yardstick = product(getattr(torch, precision))
    ways = [Way(name=name, run=lambda run=run: run(image), flops=flops) for name, run in whole.items()]  # type: ignore[misc]
    alone = [Way(name=name, run=lambda run=run: run(batch), flops=flops) for name, run in models.items()]  # type: ignore[misc]
    seconds = contest([*ways, *alone, yardstick], said.rounds, pause=0.1)
    rates = [yardstick.flops / t for t in seconds[yardstick.name]]
    result = {
        "measure": f"one photograph, {said.model} at {checkpoint.preprocess.size[0]} px, {precision}",
        "gate": apart,
        "product_tflops": sorted(rates)[len(rates) // 2] / 1e12,
        "ways": (found := summary([*ways, *alone], seconds, rates)),
        "ratios": {**ratios(ways, seconds), **ratios(alone, seconds)},
    }
    result["limit"] = limit(found, ("transformers pipeline", "timm"))
    row = f"latency-{said.model.lower().replace('/', '-')}"
    print(keep(row + ("-quick" if said.quick else ""), result).read_text())


if __name__ == "__main__":
    main()
