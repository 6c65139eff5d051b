"""Photographs of all kinds through a graph that takes them as they are, beside `Predictor`.

python results/export/photographs.py CHECKPOINT DATA   # DATA holds ants_bees and cifar10; writes photographs.json
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vitascope.checkpoints.load import load
from vitascope.data.open import open_data
from vitascope.inference.engines import onnx
from vitascope.inference.export import export
from vitascope.inference.photograph import preparation
from vitascope.inference.predictor import Predictor
from vitascope.precision import processor
from vitascope.version import source_commit

HERE = Path(__file__).parent
COLUMNS = (
    *("images", "same_label", "probability"),
    *("largest_level", "pixels_apart", "largest_level_224", "pixels_apart_224"),
)


def png(image: Image.Image, **how: Any) -> bytes:
    """As a file."""
    file = io.BytesIO()
    image.save(file, "PNG", **how)
    return file.getvalue()


def turned(image: Image.Image, orientation: int) -> bytes:
    """As a JPEG that says how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


def kinds(data: Path) -> Iterator[tuple[str, bytes]]:
    """Kind and file of each photograph."""
    rng = np.random.default_rng(0)
    paths = sorted((data / "ants_bees").rglob("*.jp*g"))
    for path in paths:
        yield "JPEG, ants and bees", path.read_bytes()
    test = open_data(str(data / "cifar10")).test
    assert test is not None
    for n in range(300):
        yield "PNG, CIFAR-10 at 32 px", png(Image.fromarray(np.asarray(test[n])))
    pictures = [Image.open(path).convert("RGB") for path in paths[:60]]
    for n in range(120):
        width, height = (int(side) for side in rng.integers(17, 900, 2))
        yield "odd sizes, 17 to 900 px", png(pictures[n % 60].resize((width, height)))
    for n in range(60):
        width, height = (int(side) for side in rng.integers(1, 17, 2))
        yield "very small, 1 to 16 px", png(pictures[n].resize((width, height)))
    for n in range(8):
        yield "very large, 12 megapixels", turned(pictures[n].resize((4000, 3000)), 1)
    for n in range(40):
        size = (int(rng.integers(1, 30)), int(rng.integers(900, 2500)))
        yield "strips, up to 1 : 2,500", png(pictures[n].resize(size if n % 2 else size[::-1]))
    for n in range(40):
        yield "grey", png(pictures[n].convert("L"))
    for n in range(40):
        picture = pictures[n].copy()
        picture.putalpha(picture.convert("L").point(lambda v: 255 - v))
        yield "with transparency", png(picture)
    for n in range(56):
        yield "turned by EXIF", turned(pictures[n], 1 + n % 8)


def main() -> None:
    """Compares, and writes the table."""
    checkpoint, data = load(sys.argv[1]), Path(sys.argv[2])
    preprocess, predictor = checkpoint.preprocess, Predictor(checkpoint, "eager")
    sizes = {"": preprocess, "_224": preprocess.with_size(224)}
    graphs = {name: onnx.session(preparation(each).SerializeToString()) for name, each in sizes.items()}
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        record = export(checkpoint, Path(folder) / "out", "onnx", form="image")
        graph = onnx.session(Path(folder) / "out" / "model.onnx")
        for kind, file in kinds(data):
            image = preprocess.read(file)
            probabilities, label = graph.run(["probabilities", "label"], {"image": image})
            expected = predictor.probabilities(file).numpy()
            apart = float(np.abs(probabilities - expected).max())
            row = rows.setdefault(kind, dict.fromkeys(COLUMNS, 0))
            row["images"] += 1
            row["same_label"] += int(label[0] == expected.argmax())
            for name, each in sizes.items():
                (prepared,) = graphs[name].run(None, {"image": image})
                found = each.restored(torch.from_numpy(prepared))[0].permute(1, 2, 0).numpy()
                levels = np.abs(found.astype(int) - each.pixels(file))
                row["largest_level" + name] = max(row["largest_level" + name], int(levels.max()))
                row["pixels_apart" + name] += float((levels > 0).mean())
            row["probability"] = max(row["probability"], apart)
    for row in rows.values():
        for name in sizes:
            row["pixels_apart" + name] = float(f"{row['pixels_apart' + name] / row['images']:.3g}")
        row["probability"] = float(f"{row['probability']:.2g}")
    result = {
        **source_commit(),
        "processor": processor(),
        "size": preprocess.size,
        "labels": checkpoint.labels,
        "at_the_models_size": record["differences"],
        "images": sum(row["images"] for row in rows.values()),
        "rows": rows,
    }
    (HERE / "photographs.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    for kind, row in rows.items():
        pixels = (f"{row['largest_level' + name]}, {100 * row['pixels_apart' + name]:.2f} %" for name in sizes)
        print(f"| {kind} | {row['same_label']} of {row['images']} | {row['probability']:g} | {' | '.join(pixels)} |")


if __name__ == "__main__":
    main()
