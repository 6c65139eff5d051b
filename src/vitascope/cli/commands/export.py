"""`vitascope export CHECKPOINT OUT --format onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("checkpoint", help="a file, a folder or a run, in any format that loads")
    parser.add("out", help="new folder for the model, its labels and its preprocessing")
    parser.add("--format", choices=["onnx"], default="onnx", help="what to write")
    parser.add_image_size("size of the images the exported model takes; default: as the checkpoint says")
    parser.add("--opset", type=int, default=18, help="version of the ONNX operators, 18 to 23")
    parser.add(
        "--tolerance", type=float, default=1e-4, help="largest difference accepted, as a share of the largest logit"
    )
    parser.add("--overwrite", action="store_true", help="replace what is at OUT")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    from vitascope.checkpoints.load import load
    from vitascope.inference.export import export_onnx

    checkpoint = load(args.checkpoint, image_size=args.image_size)
    record = export_onnx(
        checkpoint, Path(args.out), opset=args.opset, tolerance=args.tolerance, overwrite=args.overwrite
    )
    worst = max(record["differences"].values())
    console.say(f"{args.checkpoint} → {args.out}/model.onnx (opset {args.opset}; differs by {worst:.1g} at most)")
    return {"out": args.out, **record}
