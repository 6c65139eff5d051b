"""`vitascope predict` on photographs with ViT-S/16, beside transformers' image-classification pipeline.

python benchmarks/predict.py [--photographs FOLDER] [--files 1000] [--few 64] [--rounds 5]

Both have the same random weights and preprocessing (squashed to 224 pixels); the gate is the share of files with the
same top label. In process, some files are predicted in turns, the pipeline with batches of 1 and 8. End to end, each
side is started once as a process on `--files` photographs, those of FOLDER repeated under other names, from its first
import to the last label in a file; the pipeline with its better batch. FOLDER is otherwise
$VITASCOPE_TEST_DATA/ants_bees.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from contest import Way, contest, keep, product, ratios, spread, summary
from peer_models import import_peer
from profiles import of_torch, table
from vitascope.checkpoints.checkpoint import Checkpoint, numbered_labels
from vitascope.checkpoints.save import save
from vitascope.data.preprocess import Preprocess
from vitascope.inference.files import find_images, predict_files
from vitascope.inference.predictor import Predictor
from vitascope.models.catalogue import create_model
from vitascope.studies.cost import forward_flops

AIM = 4.0
LIMIT = "the model, nine tenths of it products, GELU and attention (profile); photographs are read meanwhile"


def checkpoint(name: str = "ViT-S/16", size: int = 224, classes: int = 1000) -> Checkpoint:
    """Random weights with logits that differ."""
    torch.manual_seed(0)
    model = create_model(name, image_size=size, classes=classes)
    torch.nn.init.normal_(model.head.linear.weight, std=0.5)
    preprocess = Preprocess(size=(size, size), fit="squash")
    labels = numbered_labels(classes)
    return Checkpoint(model=model.eval(), preprocess=preprocess, labels=labels, card={})


def repeated(files: list[Path], count: int, folder: Path) -> list[Path]:
    """`count` files under new names, copies of those given in turn."""
    folder.mkdir()
    copies = [folder / f"{i:06}{files[i % len(files)].suffix}" for i in range(count)]
    for i, copy in enumerate(copies):
        copy.write_bytes(files[i % len(files)].read_bytes())
    return copies


def pipeline(model: Path) -> Any:
    """transformers' pipeline on the CPU."""
    transformers = import_peer("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers.pipeline("image-classification", model=str(model), device="cpu")


def as_peer(model: Path, folder: Path, batch: int, out: Path) -> None:
    """What a user of transformers writes: a folder's labels into a file."""
    files = sorted(str(file) for file in folder.iterdir())
    found = [row[0]["label"] for row in pipeline(model)(files, batch_size=batch, top_k=5)]
    out.write_text(json.dumps(found))


def seconds_of(*words: str | Path) -> float:
    """Of a process from start to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Measures in process, then end to end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--few", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--as-peer", nargs=4, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.as_peer:
        model, folder, batch, out = said.as_peer
        as_peer(Path(model), Path(folder), int(batch), Path(out))
        return
    photographs = said.photographs or Path(os.environ.get("VITASCOPE_TEST_DATA", ".")) / "ants_bees"
    with tempfile.TemporaryDirectory() as name:
        place, ours = Path(name), checkpoint()
        save(ours, place / "ours")
        save(ours, place / "hf", format="huggingface")
        files = repeated(find_images([str(photographs)]), said.files, place / "photographs")
        few = files[: said.few]
        predictor, theirs = Predictor(place / "ours"), pipeline(place / "hf")
        got = [result.predictions[0] for result in predict_files(predictor, few, top=1)]
        expected = [row[0] for row in theirs([str(file) for file in few], batch_size=8, top_k=1)]
        same = sum(a[1] == int(str(b["label"]).rpartition("_")[2]) for a, b in zip(got, expected, strict=True))
        if same < 0.97 * len(few):
            sys.exit(f"only {same} of {len(few)} top labels agree")
        flops = forward_flops(ours.config) * len(few)
        shared: dict[str, Any] = {"images": len(few), "flops": flops}
        ways = [
            Way(name="vitascope", run=lambda: list(predict_files(predictor, few)), **shared),
            *(
                Way(
                    name=f"transformers pipeline, batch {batch}",
                    run=lambda batch=batch: theirs([str(file) for file in few], batch_size=batch, top_k=5),
                    **shared,
                )
                for batch in (1, 8)
            ),
        ]
        yardstick = product(torch.float32)
        seconds = contest([*ways, yardstick], said.rounds, warmup=1)
        rates = [yardstick.flops / t for t in seconds[yardstick.name]]
        batch = min((1, 8), key=lambda b: sum(seconds[f"transformers pipeline, batch {b}"]))
        ends = {
            "vitascope": seconds_of("-m", "vitascope", "predict", place / "ours", place / "photographs",
                                    "--csv", place / "ours.csv"),
            "transformers pipeline": seconds_of(__file__, "--as-peer", place / "hf", place / "photographs",
                                                str(batch), place / "theirs.json"),
        }  # fmt: skip
        profile = table("predict_files", *of_torch(ways[0].run))
        engine = str(getattr(predictor.engine, "name", "eager"))
    result = {
        "measure": f"labels of photographs, ViT-S/16, 224 px, {len(few)} files in process, {said.files} end to end",
        "gate": {"same top label": f"{same} of {len(few)}"},
        "engine": engine,
        "ways": summary(ways, seconds, rates),
        "end_to_end": {
            "files": said.files,
            "seconds": {name: round(t, 1) for name, t in ends.items()},
            "ratio": round(ends["transformers pipeline"] / ends["vitascope"], 2),
            "transformers_batch": batch,
        },
        "ratios": {
            **ratios(ways, seconds),
            f"vitascope, {said.files} files end to end over transformers pipeline": spread(
                [ends["transformers pipeline"] / ends["vitascope"]]
            ),
        },
    }
    if result["end_to_end"]["ratio"] < AIM:
        result["limit"] = LIMIT
    path = keep("predict", result)
    path.with_name("predict-profile.txt").write_text(profile)
    print(path.read_text())


if __name__ == "__main__":
    main()
