"""`vitascope predict CHECKPOINT PATHS…`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.runs import stated


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("checkpoint", help="a file, a folder or a run, in any format that loads, or an exported folder")
    parser.add("paths", nargs="+", help="image files, and folders whose images are all taken")
    parser.add("--top", least=1, default=5, help="how many labels per image")
    parser.add("--batch", least=1, default=32, help="images per forward pass")
    parser.add_image_size("size of the images the model sees; default: as the checkpoint says")
    parser.add_stated()
    parser.add_engine("auto")
    parser.add("--precision", choices=["float32", "bfloat16", "auto"], default="float32", help="format of the products")
    parser.add("--device", help="cpu, cuda, …; default: the GPU if there is one")
    parser.add("--csv", help="also write every prediction to this new CSV file; the same command goes on after a kill")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    if args.csv:
        check_output(args.csv, None, remedy="choose another --csv file")
    from vitascope.inference.exported import open_model
    from vitascope.inference.files import FilePrediction, find_images, predict_files
    from vitascope.inference.partial import partial_csv
    from vitascope.inference.predictor import Predictor

    files = find_images(args.paths)
    predictor = Predictor(
        open_model(args.checkpoint, image_size=args.image_size, **stated(args)),
        engine=args.engine,
        device=args.device,
        batch=args.batch,
        precision=args.precision,
    )
    counter = console.counter("predicting")
    with ExitStack() as kept:
        results: list[FilePrediction] = []
        keep, finish = results.append, kept.close
        if args.csv:
            told = {"checkpoint": predictor.checkpoint.fingerprint(), "engine": args.engine}
            told |= {"precision": args.precision, "top": min(args.top, len(predictor.checkpoint.labels))}
            partial = kept.enter_context(partial_csv(args.csv, told, files))
            results, keep, finish = partial.done, partial.add, partial.finish
        known = len(results)
        first = known - known % args.batch  # so that the batches, and with them all rounding, are those of one go
        for n, result in enumerate(predict_files(predictor, files[first:], args.top), first):
            if n >= known:
                keep(result)
                counter(len(results), len(files))
        finish()
    rows = []
    for result in results:
        if result.error is not None:
            console.say(f"error: {result.error}")
            continue
        best, *others = result.predictions
        more = ", ".join(f"{label} {100 * probability:.1f} %" for label, _, probability in others)
        rows.append([result.file, best[0], f"{100 * best[2]:.1f} %", more])
    console.table("predictions", ["file", "label", "probability", "next"], rows)
    failed = sum(result.error is not None for result in results)
    if failed:
        console.say(f"{failed} of {len(results)} files could not be read")
    return {
        "predictions": [
            {
                "file": result.file,
                **({"error": result.error} if result.error is not None else {}),
                "labels": [
                    {"label": label, "index": index, "probability": probability}
                    for label, index, probability in result.predictions
                ],
            }
            for result in results
        ],
        "exit_code": 2 if failed else 0,
    }
