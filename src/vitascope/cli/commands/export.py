"""`vitascope export CHECKPOINT OUT --format onnx|openvino|web`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.errors import CheckpointError, ConfigError, DataError, UnlabelledError
from vitascope.fields import DataName, FileName, refuse_idle
from vitascope.recipes.asked import Stated
from vitascope.wording import count, memory_text

if TYPE_CHECKING:
    from vitascope.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Export(Stated):
    """A model for runtimes without PyTorch, or as a page for everybody."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "format",
        "input",
        "precision",
        "calibration",
        "one_file",
        "title",
        "image_size",
        "labels",
        "overwrite",
    )

    out: str
    """New folder for the model, its labels and its preprocessing; with --one-file an HTML file."""
    format: Literal["onnx", "openvino", "web"] = "onnx"
    """What to write; web: a page that classifies photographs in any browser, without a network."""
    one_file: bool = False
    """Of a page: one HTML file instead of a folder."""
    title: str | None = None
    """Of a page: its heading; none: its kinds, or the checkpoint's name."""
    without_examples: bool = False
    """Of a page: leave out the photographs that the run keeps, which otherwise go to whoever gets the page."""
    runtime: FileName | None = None
    """Of a page: npm's package onnxruntime-web as a folder or .tgz; none: npm fetches it, once."""
    input: Literal["image", "batch"] | None = None
    """One photograph of any size, which the graph resizes itself, or a batch already resized; none: batch for
    openvino, which takes no other, else image."""
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
        if self.format == "web":
            if self.input == "batch":
                raise ConfigError("--input batch is for programs; a page takes photographs as they are")
            refuse_idle(self, "a page shows where a ViT looked unasked", "rollout")
        else:
            refuse_idle(self, "it belongs to --format web", "one_file", "title", "without_examples", "runtime")
        if self.form == "batch":
            refuse_idle(self, "a batch gives logits alone", "rollout")
        if (self.precision == "int8") != bool(self.calibration):
            raise ConfigError("--precision int8 and --calibration DATA belong together; give both or neither")

    @property
    def form(self) -> Literal["image", "batch"]:
        """Of the input."""
        return self.input or ("batch" if self.format == "openvino" else "image")


def run(asked: Export, console: Console) -> dict[str, Any]:
    """Exports, and says how well it agrees."""
    sources = [asked.checkpoint, *filter(None, [asked.calibration])]
    what = "page" if asked.format == "web" else "export"
    check_output(asked.out, what, overwrite=asked.overwrite, sources=sources)
    from vitascope.checkpoints.load import load
    from vitascope.inference.contract import ROLLOUT
    from vitascope.inference.export import export
    from vitascope.views.attention_rollout import rollout_in_graph

    checkpoint = load(asked.checkpoint, **asked.stated)
    if asked.format == "web":
        return _page(asked, checkpoint, console)
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


def _page(asked: Export, checkpoint: Checkpoint, console: Console) -> dict[str, Any]:
    """Writes a page with the run's own examples, and says what to do with it."""
    from vitascope.checkpoints.kept_examples import read_examples
    from vitascope.web.classifier import heading, write_classifier
    from vitascope.web.runtime import browser_runtime

    examples = [] if asked.without_examples else read_examples(asked.checkpoint)
    record = write_classifier(
        checkpoint,
        Path(asked.out),
        browser_runtime(asked.runtime),
        title=asked.title or heading(checkpoint, Path(asked.checkpoint).name),
        examples=examples,
        one_file=asked.one_file,
        opset=asked.opset,
        tolerance=asked.tolerance,
        overwrite=asked.overwrite,
    )
    page = asked.out if asked.one_file else str(Path(asked.out) / "index.html")
    differs = max(record["differences"].values())
    console.say(
        f"{asked.checkpoint} → {asked.out} (web, {memory_text(record['bytes'])}; differs by {differs:.1g} at most)"
    )
    if examples:
        console.say(f"{count(len(examples), 'photograph')} of the run are in it; --without-examples leaves them out")
    console.say(f"open {page} in a browser; {asked.out} can be sent to anybody, or put on any web server as it is")
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
