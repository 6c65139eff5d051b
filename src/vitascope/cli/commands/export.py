"""`vitascope export CHECKPOINT OUT --format onnx|openvino`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.errors import CheckpointError, ConfigError, DataError, UnlabelledError
from vitascope.fields import DataName, refuse_idle
from vitascope.recipes.asked import Stated


@dataclass(frozen=True, kw_only=True)
class Export(Stated):
    """A model for runtimes without PyTorch."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "format",
        "input",
        "precision",
        "calibration",
        "image_size",
        "labels",
        "overwrite",
    )

    out: str
    """New folder for the model, its labels and its preprocessing."""
    format: Literal["onnx", "openvino"] = "onnx"
    """What to write."""
    input: Literal["image", "batch"] | None = None
    """One photograph of any size, which the graph resizes itself, or a batch already resized; none: image for onnx,
    batch for openvino, which takes no other."""
    rollout: bool = False
    """Give the attention rollout of a photograph too, the share of each patch in what the head reads; of ViTs."""
    opset: int = 18
    """Version of the ONNX operators, 18 to 23."""
    precision: Literal["float32", "int8"] = "float32"
    """Of the products; int8 for openvino only."""
    calibration: DataName | None = None
    """For int8: images like those to come (`vitascope data` lists the kinds)."""
    samples: int = 300
    """For int8: images that calibrate, and as many that judge."""
    tolerance: float = 1e-4
    """Largest difference accepted, as a share of the largest logit; not for int8."""
    overwrite: bool = False
    """Replace what is at OUT."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision == "int8":
            if self.format != "openvino":
                raise ConfigError(f"--precision int8 is for --format openvino, not {self.format}")
            refuse_idle(self, "int8 is judged by the labels that stay the same", "tolerance")
        else:
            refuse_idle(self, "nothing is calibrated for float32", "samples")
        if self.format == "openvino":
            if self.input == "image":
                raise ConfigError("--input image is for --format onnx; openvino takes --input batch")
            refuse_idle(self, "OpenVINO's files have no ONNX operators", "opset")
        if self.form == "batch":
            refuse_idle(self, "a batch gives logits alone", "rollout")
        if (self.precision == "int8") != bool(self.calibration):
            raise ConfigError("--precision int8 and --calibration DATA belong together; give both or neither")

    @property
    def form(self) -> Literal["image", "batch"]:
        """Of the input."""
        return self.input or ("image" if self.format == "onnx" else "batch")


def run(asked: Export, console: Console) -> dict[str, Any]:
    """Exports, and says how well it agrees."""
    sources = [asked.checkpoint, *filter(None, [asked.calibration])]
    check_output(asked.out, "export", overwrite=asked.overwrite, sources=sources)
    from vitascope.checkpoints.load import load
    from vitascope.inference.contract import ROLLOUT
    from vitascope.inference.export import export
    from vitascope.views.attention_rollout import rollout_in_graph

    checkpoint = load(asked.checkpoint, **asked.stated)
    record = export(
        checkpoint,
        Path(asked.out),
        asked.format,
        form=asked.form,
        further={ROLLOUT: rollout_in_graph} if asked.rollout else None,
        opset=asked.opset,
        calibration=_calibration(asked.calibration, checkpoint.labels) if asked.calibration else None,
        samples=asked.samples,
        tolerance=asked.tolerance,
        overwrite=asked.overwrite,
    )
    told = f"{asked.checkpoint} → {asked.out} ({asked.format}, {asked.precision}"
    if asked.calibration:
        console.say(f"{told}; {100 * record['same_label']:.1f} % of {record['judged_on']} labels stay the same)")
        if record["trained_on"]:
            console.say(f"{record['trained_on']:,} of these images were trained on, which flatters the figures")
    else:
        console.say(f"{told}; differs by {max(record['differences'].values()):.1g} at most)")
    return {"out": asked.out, **record}


def _calibration(data: str, labels: tuple[str, ...]) -> Any:
    """The training split, else another, with its labels where it has some and they are the checkpoint's."""
    from vitascope.data.open import open_data
    from vitascope.recipes.evaluation import relabelled

    try:
        splits = open_data(data)
    except UnlabelledError:
        splits = open_data(data, labels=False)
    found = splits.first("train", "validation", "test")
    if found is None:
        raise DataError(f"{data} holds no images to calibrate with")
    if not found[1].classes:
        return found[1]
    try:
        return relabelled(found[1], labels)
    except (DataError, CheckpointError):  # other classes calibrate as well
        return found[1]
