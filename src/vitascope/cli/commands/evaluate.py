"""`vitascope evaluate CHECKPOINT DATA`."""

from __future__ import annotations

from typing import Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.runs import stated


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("checkpoint", help="a file, a folder or a run, in any format that loads, or an exported folder")
    parser.add("data", help="what to evaluate on (`vitascope data` lists the kinds)")
    parser.add("--split", choices=["train", "validation", "test"], help="default: test, else validation, else all")
    parser.add_image_size("size of the images the model sees; default: as the checkpoint says")
    parser.add_stated()
    parser.add("--batch", least=1, default=64, help="images per forward pass")
    parser.add("--workers", least=0, default=0, help="processes that read images besides this one")
    parser.add("--precision", choices=["float32", "bfloat16", "auto"], default="float32", help="format of the products")
    parser.add_engine("auto")
    parser.add("--device", help="cpu, cuda, …; default: the GPU if there is one")
    parser.add("--on_error", choices=["raise", "skip"], default="raise", help="unreadable images: stop, or count")
    parser.add("--confusion", help="write a picture of the confusion matrix to this PNG file")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    if args.confusion:
        check_output(args.confusion, None, remedy="choose another --confusion file")
    from vitascope.data.open import recognise

    recognise(args.data)  # refused before torch is loaded
    from vitascope.evaluation.interval import accuracy_text
    from vitascope.recipes.evaluation import evaluate_checkpoint

    result = evaluate_checkpoint(
        args.checkpoint,
        args.data,
        split=args.split,
        image_size=args.image_size,
        **stated(args),
        batch=args.batch,
        workers=args.workers,
        precision=args.precision,
        engine=args.engine,
        device=args.device,
        skip_unreadable=args.on_error == "skip",
        confusion=args.confusion,
        progress=console.counter("evaluating"),
    )
    rows = [[name, f"{100 * c['top1']:.2f} %", c["images"]] for name, c in result["per_class"].items()]
    if len(rows) > 40:
        rows = sorted(rows, key=lambda row: float(row[1].split()[0]))[:40]
        console.say(f"the 40 hardest of {len(result['per_class'])} classes:")
    console.table("per class", ["class", "top-1", "images"], rows)
    part = "" if result["part"] == "all" else f", {result['part']}"
    out = f"; {result['left_out']:,} images that were trained on are left out" if result["left_out"] else ""
    percent = [f"{100 * result[name]:.2f} %" for name in ("top5", "calibration_error")]
    console.table(
        f"{args.data} ({result['split']}{part}){out}",
        ["images", "top-1", "top-5", "calibration error", "loss", "unreadable"],
        [[result["images"], accuracy_text(result), *percent, f"{result['loss']:.4f}", result["skipped"]]],
    )
    return result
