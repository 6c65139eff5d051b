"""`vitascope export CHECKPOINT OUT --format onnx|openvino|pt2|web`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.errors import CheckpointError, ConfigError, DataError, UnlabelledError
from vitascope.fields import DataName, FileName, Range, refuse_idle
from vitascope.inference.format_names import (
    CALIBRATED,
    DROP,
    OPSET,
    PHOTOGRAPHS,
    PRECISIONS,
    SAMPLES,
    ExportPrecision,
    Form,
    FormatName,
)
from vitascope.recipes.asked import Stated
from vitascope.wording import count, memory_text


@dataclass(frozen=True, kw_only=True)
class Export(Stated):
    """A model for runtimes without this package, or as a page for everybody."""

    FIRST: ClassVar[tuple[str, ...]] = (
        *("format", "input", "precision", "calibration", "verify", "compare"),
        *("one_file", "image_size", "labels", "overwrite"),
    )

    out: str
    """New folder for the model, its labels and its preprocessing; with --one-file an HTML file."""
    format: FormatName = "onnx"
    """What to write; pt2: torch.export's file, for PyTorch; web: a page that classifies photographs in any browser,
    without a network."""
    one_file: bool = False
    """Of a page: one HTML file instead of a folder."""
    title: str | None = None
    """Of a page: its heading; none: its kinds, or the checkpoint's name."""
    without_examples: bool = False
    """Of a page: leave out the photographs that the run keeps, which otherwise go to whoever gets the page."""
    runtime: FileName | None = None
    """Of a page: npm's package onnxruntime-web as a folder or .tgz; none: npm fetches it, once."""
    input: Form | None = None
    """One photograph of any size, which the graph resizes itself, or a batch already resized; none: image for onnx
    and web, batch for the others."""
    rollout: bool = False
    """Give the attention rollout of a photograph too, the share of each patch in what the head reads; of ViTs."""
    opset: int = OPSET
    """Version of the ONNX operators, 18 to 23."""
    precision: ExportPrecision = "float32"
    """Of the products; onnx: float32, float16, int8; openvino: float32, bfloat16, int8; pt2: float32; web: float32,
    float16."""
    calibration: DataName | None = None
    """For int8: images like those to come (`vitascope data` lists the kinds)."""
    samples: int = SAMPLES
    """For int8: images that calibrate, and without --verify as many that judge."""
    verify: DataName | None = None
    """Labelled images on which accuracy before and after is told, at most 2,000; an export that falls too low is not
    kept."""
    compare: DataName | None = None
    """Make every format that can be made here, show what each keeps of the labels of this data, its times and its size,
    and keep the one to take; a table, and formats.json in OUT."""
    drop: Annotated[float, Range(0, 100)] = DROP
    """Largest loss of accuracy that --verify and --compare accept, in percentage points."""
    tolerance: float | None = None
    """Largest difference accepted, as a share of the largest logit; none: 0.0001, of float16 0.01, of bfloat16 0.05;
    not for int8."""
    overwrite: bool = False
    """Replace what is at OUT."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compare:
            why = "--compare makes every format, for batches, and judges all of them on its data"
            refuse_idle(self, why, "format", "precision", "input", "rollout", "opset", "tolerance", "verify")
            refuse_idle(self, "it belongs to --format web", "one_file", "title", "without_examples", "runtime")
            return
        if self.precision not in PRECISIONS[self.format]:
            fits = ", ".join(PRECISIONS[self.format])
            raise ConfigError(f"--precision {self.precision} is not for --format {self.format}, which is {fits}")
        if self.precision == CALIBRATED:
            refuse_idle(self, "int8 is judged by the labels that stay the same", "tolerance")
        else:
            refuse_idle(self, f"nothing is calibrated for {self.precision}", "samples")
        if self.format not in PHOTOGRAPHS:
            if self.input == "image":
                raise ConfigError(f"--input image is for --format onnx; {self.format} takes --input batch")
            refuse_idle(self, f"{self.format} has no ONNX operators", "opset")
        if self.format == "web":
            if self.input == "batch":
                raise ConfigError("--input batch is for programs; a page takes photographs as they are")
            refuse_idle(self, "a page shows where a ViT looked unasked", "rollout")
        else:
            refuse_idle(self, "it belongs to --format web", "one_file", "title", "without_examples", "runtime")
        if self.form == "batch":
            refuse_idle(self, "a batch gives logits alone", "rollout")
        if not self.verify:
            refuse_idle(self, "without --verify nothing is judged by it", "drop")
        if (self.precision == CALIBRATED) != bool(self.calibration):
            raise ConfigError("--precision int8 and --calibration DATA belong together; give both or neither")

    @property
    def form(self) -> Form:
        """Of the input."""
        return self.input or ("image" if self.format in PHOTOGRAPHS else "batch")


def run(asked: Export, console: Console) -> dict[str, Any]:
    """Exports, and says how well it agrees."""
    sources = [asked.checkpoint, *filter(None, [asked.calibration, asked.verify, asked.compare])]
    what = "page" if asked.format == "web" else "export"
    check_output(asked.out, what, overwrite=asked.overwrite, sources=sources)
    from vitascope.checkpoints.load import load
    from vitascope.inference.contract import ROLLOUT
    from vitascope.inference.engines.traced import Further
    from vitascope.inference.export import export
    from vitascope.inference.judge import Judge
    from vitascope.recipes.evaluation import to_judge_on
    from vitascope.views.attention_rollout import logits_and_rollout

    checkpoint = load(asked.checkpoint, **asked.stated)
    if asked.compare:
        return _compare(asked, checkpoint, console)
    judge = Judge(checkpoint, to_judge_on(asked.verify, checkpoint, asked.checkpoint)[1]) if asked.verify else None
    how: dict[str, Any] = {
        "precision": asked.precision,
        "opset": asked.opset,
        "calibration": _calibration(asked.calibration, checkpoint.labels) if asked.calibration else None,
        "samples": asked.samples,
        "tolerance": asked.tolerance,
        "judge": judge,
        "drop": asked.drop,
        "overwrite": asked.overwrite,
    }
    if asked.format == "web":
        return _page(asked, checkpoint, how, console)
    further = Further(ROLLOUT, logits_and_rollout) if asked.rollout else None
    record = export(checkpoint, Path(asked.out), asked.format, form=asked.form, further=further, **how)
    _say(asked, record, console)
    return {"out": asked.out, **record}


def _page(asked: Export, checkpoint: Any, how: dict[str, Any], console: Console) -> dict[str, Any]:
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
        **how,
    )
    _say(asked, record, console)
    page = asked.out if asked.one_file else str(Path(asked.out) / "index.html")
    if examples:
        console.say(f"{count(len(examples), 'photograph')} of the run are in it; --without-examples leaves them out")
    console.say(f"open {page} in a browser; {asked.out} can be sent to anybody, or put on any web server as it is")
    return {"out": asked.out, **record}


def _compare(asked: Export, checkpoint: Any, console: Console) -> dict[str, Any]:
    """Makes all formats, and shows them."""
    from vitascope.data.open import open_data
    from vitascope.inference.format_contest import contest
    from vitascope.inference.judge import MOST, Judge, drawn
    from vitascope.recipes.evaluation import to_judge_on

    assert asked.compare
    opened = open_data(asked.compare)
    source = to_judge_on(asked.compare, checkpoint, asked.checkpoint, splits=opened)[1]
    theirs = asked.calibration
    calibration = _calibration(theirs or asked.compare, checkpoint.labels, None if theirs else opened)
    samples, positions = min(asked.samples, len(calibration)), None
    if theirs is None and len(source) > 1 and len(opened.present()) == 1:
        samples = min(samples, max(len(source) // 4, 1))  # what int8 takes its ranges from judges nothing
        calibration, positions = source, drawn(source)[samples:][:MOST]
    found = contest(
        checkpoint,
        Path(asked.out),
        Judge(checkpoint, source, positions),
        calibration,
        samples=samples,
        drop=asked.drop,
        overwrite=asked.overwrite,
        each=lambda name: console.say(f"{name} …"),
    )
    columns = ("format", "labels kept", "accuracy", "ms, one image", f"images/s, {found['throughput_batch']}", "MB")
    rows = []
    for row in found["formats"]:
        if "failed" in row:
            console.say(f"{row['name']} cannot be made: {row['failed']}")
            continue
        accuracy = f"{100 * row['top1']['after']:.1f} %" if "top1" in row else "–"
        times = f"{row['milliseconds']:.1f}", f"{row['images_per_second']:.0f}"
        rows.append((row["name"], f"{100 * row['same_label']:.1f} %", accuracy, *times, f"{row['megabytes']:.1f}"))
    console.table(f"formats on {found['images']:,} images of {found['data']}", columns, rows)
    console.say(
        f"take {found['take']}: the fastest that loses no more than {asked.drop:g} points; it is in {asked.out}"
    )
    return {"out": asked.out, **found}


def _say(asked: Export, record: dict[str, Any], console: Console) -> None:
    told = [memory_text(record["bytes"])] if "bytes" in record else []
    if "differences" in record:
        told.append(f"differs by {max(record['differences'].values()):.1g} at most")
    if "same_label" in record:
        told.append(f"{100 * record['same_label']:.1f} % of {record['judged_on']:,} labels stay the same")
    if "top1" in record:
        told.append(
            f"accuracy {100 * record['top1']['before']:.1f} % before, {100 * record['top1']['after']:.1f} % after"
        )
    console.say(f"{asked.checkpoint} → {asked.out} ({asked.format}, {asked.precision}; {'; '.join(told)})")
    if record.get("trained_on"):
        console.say(f"{record['trained_on']:,} of these images were trained on, which flatters the figures")


def _calibration(data: str, labels: tuple[str, ...], splits: Any = None) -> Any:
    """The training split, else another, with its labels where it has some and they are the checkpoint's; `splits` are
    those of `data` where they are open already."""
    from vitascope.data.open import open_data
    from vitascope.recipes.evaluation import relabelled

    try:
        splits = splits or open_data(data)
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
