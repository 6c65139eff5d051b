"""`vitascope predict CHECKPOINT PATHS…`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.fields import Count, FileName
from vitascope.recipes.asked import Applied


@dataclass(frozen=True, kw_only=True)
class Predict(Applied):
    """Images, and how they are labelled."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "csv", "all", "top", "image_size", "labels", "prior", "batch", "engine", "device",
    )  # fmt: skip

    paths: tuple[str, ...]
    """Image files, and folders whose images are all taken."""
    top: Count = 5
    """How many labels per image; what a file has beyond them is not summed up either."""
    batch: Count = 32
    """Images per forward pass."""
    csv: FileName | None = None
    """Also write every prediction to this new CSV file, for spreadsheets; the same command goes on after a kill."""
    all: bool = False
    """Print the answer of every file; of more than 20 only what they come to is printed."""


def run(asked: Predict, console: Console) -> dict[str, Any]:
    """Predicts, and shows the labels."""
    if asked.csv:
        check_output(asked.csv, None, remedy="choose another --csv file")
    from vitascope.inference.exported import open_model
    from vitascope.inference.files import FilePrediction, find_images, predict_files
    from vitascope.inference.partial import partial_csv
    from vitascope.inference.predictor import Predictor
    from vitascope.inference.summed import each_row, summed, summed_lines

    files = find_images(asked.paths)
    predictor = Predictor(
        open_model(asked.checkpoint, **asked.stated),
        engine=asked.engine,
        device=asked.device,
        batch=asked.batch,
        precision=asked.precision,
    )
    sets = predictor.checkpoint.sets
    counter = console.counter("predicting")
    with ExitStack() as kept:
        results: list[FilePrediction] = []
        keep, finish = results.append, kept.close
        if asked.csv:
            told: dict[str, Any] = {"checkpoint": predictor.checkpoint.fingerprint(), "engine": asked.engine}
            told |= {"precision": asked.precision, "top": min(asked.top, len(predictor.checkpoint.labels))}
            partial = kept.enter_context(partial_csv(asked.csv, told, files))
            results, keep, finish = partial.done, partial.add, partial.finish
        known = len(results)
        first = known - known % asked.batch  # so that the batches, and with them all rounding, are those of one go
        for n, result in enumerate(predict_files(predictor, files[first:], asked.top), first):
            if n >= known:
                keep(result)
                counter(len(results), len(files))
        finish()
    several = predictor.checkpoint.activation == "sigmoid"
    found = summed(results, several=several)
    if len(results) > _FEW and not asked.all:
        for line in summed_lines(found, sets, classes=len(predictor.checkpoint.labels), several=several):
            console.tell(line)
        if not asked.csv:
            console.tell("each file's answer with --csv FILE, for a spreadsheet, or --all")
    else:
        console.table("predictions", *each_row(results, sets))
        for result in results:
            if result.error is not None:
                console.say(f"error: {result.error}")
    if asked.csv:
        console.tell(f"each file's answer is in {asked.csv}")
    failed = len(found.unreadable)
    if failed:
        console.say(f"{failed} of {len(results)} files could not be read; `vitascope check` says why")
    return {
        "predictions": [
            {
                "file": result.file,
                **({"error": result.error, "labels": []} if result.answer is None else result.answer.as_json()),
            }
            for result in results
        ],
        "summary": found.as_json(),
        "exit_code": 2 if failed else 0,
    }


_FEW = 20
"""Files whose answers are all shown; of more, a person sees what they come to."""
