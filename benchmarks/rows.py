"""What is measured against whom, and how many times as fast is aimed at: the rows of `make bench` and its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AMX = "amx_bf16"
"""What the name of a processor with fast bfloat16 tiles holds."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One result file."""

    name: str
    """Of the file, results/benchmarks/PROCESSOR/NAME.json."""
    measure: str
    """For people."""
    command: tuple[str, ...] = ()
    """After `python`, from the root of the project; empty where it needs something of the user's."""
    aims: Mapping[str, float] = field(default_factory=dict)
    """Peer → how many times as fast ours is meant to be, by the medians of the rounds."""
    aims_with_amx: Mapping[str, float] = field(default_factory=dict)
    """The same on a processor with AMX, where that differs."""
    gpu: bool = False
    """Whether it needs one."""
    photographs: bool = False
    """Whether it needs ants_bees/ in the folder that VITASCOPE_TEST_DATA names."""

    def aim(self, peer: str, processor: str) -> float | None:
        """How many times as fast as `peer`; None where nothing is aimed at."""
        return (self.aims_with_amx if AMX in processor else {}).get(peer, self.aims.get(peer))


ROWS: tuple[Row, ...] = (
    Row(
        name="training-vit-ti-4",
        measure="training step, ViT-Ti/4, 32 px, batch 128",
        command=("benchmarks/training.py", "--model", "ViT-Ti/4", "--compile"),
        aims={"timm": 1.6, "timm compiled": 1.6},
        aims_with_amx={"timm": 2.0, "timm compiled": 2.0},
    ),
    Row(
        name="training-vit-s-16",
        measure="training step, ViT-S/16, 224 px, batch 16",
        command=("benchmarks/training.py", "--model", "ViT-S/16", "--compile"),
        aims={"timm": 1.25, "timm compiled": 1.25},
        aims_with_amx={"timm": 1.5, "timm compiled": 1.5},
    ),
    Row(
        name="inference",
        measure="inference, ViT-B/16, 224 px, batch 16",
        command=("benchmarks/inference.py",),
        aims={"timm": 1.25, "openvino": 1.0},
    ),
    Row(
        name="inference-compiled",
        measure="the same, compiled",
        command=("benchmarks/inference.py", "--compile", "--rounds", "3"),
        aims={"timm compiled": 1.2},
    ),
    Row(
        name="inference-int8",
        measure="the same in int8",
        command=("benchmarks/inference.py", "--int8"),
        aims={"openvino": 1.6},
    ),
    Row(name="int8-accuracy", measure="what int8 costs in accuracy: benchmarks/int8.py CHECKPOINT DATA"),
    Row(
        name="latency-vit-s-16",
        measure="one photograph, ViT-S/16",
        command=("benchmarks/latency.py", "--model", "ViT-S/16"),
        aims={"transformers pipeline": 3.0, "timm": 1.5},
    ),
    Row(
        name="latency-vit-b-16",
        measure="one photograph, ViT-B/16",
        command=("benchmarks/latency.py", "--model", "ViT-B/16"),
        aims={"transformers pipeline": 3.0, "timm": 1.5},
    ),
    Row(
        name="data-first-epoch",
        measure="photographs to random crops of 224 px, one core",
        command=("benchmarks/data.py",),
        aims={"torchvision": 2.0},
        photographs=True,
    ),
    Row(
        name="data-second-epoch",
        measure="the same, kept decoded",
        command=("benchmarks/data.py",),
        aims={"torchvision": 10.0},
        photographs=True,
    ),
    Row(
        name="predict",
        measure="labels of 1,000 photographs, ViT-S/16",
        command=("benchmarks/predict.py", "--few", "32", "--rounds", "3"),
        aims={
            "transformers pipeline, batch 1": 4.0,
            "transformers pipeline, batch 8": 4.0,
            "transformers pipeline": 4.0,
        },
        photographs=True,
    ),
    Row(
        name="teach",
        measure="teaching 397 photographs, ViT-S/16, and their features by an engine",
        command=("benchmarks/teach.py",),
        aims={"eager": 0.91, "openvino": 0.91, "onnx": 0.91},
        photographs=True,
    ),
    Row(
        name="views",
        measure="attention distance and rollout, ViT-B/16, 128 images",
        command=("benchmarks/views.py",),
        aims={"hooks": 3.0, "hooks, memory": 5.0},
    ),
    Row(
        name="fractals",
        measure="fractals, 64 px, one core",
        command=("benchmarks/fractals.py",),
        aims={"plain chaos game": 5.0},
    ),
    Row(name="start", measure="start of the command and of the package", command=("benchmarks/start.py",)),
    Row(name="memory", measure="memory of a training step", command=("benchmarks/memory.py",)),
    Row(name="starts", measure="starts, images a second of one core", command=("benchmarks/starts.py",)),
    Row(name="partly", measure="a training step of a part of the model", command=("benchmarks/partly.py",)),
    Row(name="streaming", measure="memory over a set of 20 GB", command=("benchmarks/streaming.py",)),
    *(
        Row(
            name=f"gpu-training-vit-{size}-16",
            measure=f"training, ViT-{size.upper()}/16",
            command=("benchmarks/gpu.py",),
            aims={"timm, default AMP": 1.6, "timm compiled": 1.15},
            gpu=True,
        )
        for size in "sbl"
    ),
    Row(
        name="gpu-inference",
        measure="inference, ViT-B/16, batch 256",
        command=("benchmarks/gpu.py",),
        aims={"timm compiled": 1.1},
        gpu=True,
    ),
    Row(
        name="gpu-latency",
        measure="one image, ViT-B/16",
        command=("benchmarks/gpu.py",),
        aims={"timm": 4.0},
        gpu=True,
    ),
    Row(name="gpu-cifar10", measure="CIFAR-10 from scratch", command=("benchmarks/gpu.py",), gpu=True),
)
"""In the order of the table."""
