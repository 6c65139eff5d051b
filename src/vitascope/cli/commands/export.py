"""`vitascope export CHECKPOINT OUT --format onnx|openvino`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.runs import stated
from vitascope.errors import CheckpointError, ConfigError, DataError


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("checkpoint", help="a file, a folder or a run, in any format that loads")
    parser.add("out", help="new folder for the model, its labels and its preprocessing")
    parser.add("--format", choices=["onnx", "openvino"], default="onnx", help="what to write")
    parser.add_image_size("size of the images the exported model takes; default: as the checkpoint says")
    parser.add_stated()
    parser.add("--opset", type=int, default=18, help="version of the ONNX operators, 18 to 23")
    parser.add(
        "--precision", choices=["float32", "int8"], default="float32", help="of the products; int8 for openvino only"
    )
    parser.add("--calibration", help="for int8: images like those to come (`vitascope data` lists the kinds)")
    parser.add("--samples", type=int, default=300, help="for int8: images that calibrate, and as many that judge")
    parser.add(
        "--tolerance", type=float, default=1e-4, help="largest difference accepted, as a share of the largest logit"
    )
    parser.add("--overwrite", action="store_true", help="replace what is at OUT")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    int8 = args.precision == "int8"
    if int8 and args.format != "openvino":
        raise ConfigError(f"--precision int8 is for --format openvino, not {args.format}")
    if int8 != bool(args.calibration):
        raise ConfigError("--precision int8 and --calibration DATA belong together; give both or neither")
    sources = [args.checkpoint, *filter(None, [args.calibration])]
    check_output(args.out, "export", overwrite=args.overwrite, sources=sources)
    from vitascope.checkpoints.load import load
    from vitascope.inference.export import export_onnx, export_openvino

    checkpoint = load(args.checkpoint, image_size=args.image_size, **stated(args))
    shared = {"tolerance": args.tolerance, "overwrite": args.overwrite}
    if args.format == "onnx":
        record = export_onnx(checkpoint, Path(args.out), opset=args.opset, **shared)
    else:
        calibration = _calibration(args.calibration, checkpoint.labels) if int8 else None
        record = export_openvino(checkpoint, Path(args.out), calibration=calibration, samples=args.samples, **shared)
    told = f"{args.checkpoint} → {args.out} ({args.format}, {args.precision}"
    if int8:
        console.say(f"{told}; {100 * record['same_label']:.1f} % of {record['judged_on']} labels stay the same)")
        if record["trained_on"]:
            console.say(f"{record['trained_on']:,} of these images were trained on, which flatters the figures")
    else:
        console.say(f"{told}; differs by {max(record['differences'].values()):.1g} at most)")
    return {"out": args.out, **record}


def _calibration(data: str, labels: tuple[str, ...]) -> Any:
    """The training split, else another, with its labels where they are the checkpoint's."""
    from vitascope.data.open import open_data
    from vitascope.recipes.evaluation import relabelled

    found = open_data(data).first("train", "validation", "test")
    if found is None:
        raise DataError(f"{data} holds no images to calibrate with")
    try:
        return relabelled(found[1], labels)
    except (DataError, CheckpointError):  # other classes calibrate as well
        return found[1]
